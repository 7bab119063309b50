"""Large documents: how long until the first list, how long the list, and whether every schema is one."""

import pathlib
import re
import sys
import time

from jsonschema import Draft202012Validator

from gate import Gate
from policy import ENV, TYPED, policy

MOST_MS = 2000
MOST_BYTES = 4096
TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")
ARGUMENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
HINTS = {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
# No gate of this file sends anything: port 9 is `discard`.
NOBODY = 9


def listed(document: pathlib.Path, writes: bool, first: dict[str, str]):
    """The list that is made unless a policy says otherwise: of the operations if they fit, of the search if not."""
    with Gate(policy(document.name, NOBODY, writes), ENV, document) as gate:
        tools = gate.tools()
        took = (time.monotonic() - gate.began) * 1000
        length = len(gate.said)
        names = {tool["name"] for tool in tools}
        searches = "find_operations" in names
        assert searches or not first, names
        assert not searches or ("call_write" in names) == writes, names
        assert not searches or length < MOST_BYTES, f"{document.name}: a list of {length} bytes"
        assert took < MOST_MS, f"{document.name}: {took:.0f} ms until the first list"
        for query, name in first.items():
            found = gate.call("find_operations", query=query).json
            assert found[0]["name"] == name, f"{query}: {[entry['name'] for entry in found]}"
    print(f"{document.name} {'all' if writes else 'reads'}: {took:.0f} ms to a list of {length} bytes, {'a search' if searches else 'typed'}")


def typed(document: pathlib.Path, writes: bool):
    with Gate(policy(document.name, NOBODY, writes, TYPED), ENV, document) as gate:
        tools = gate.tools()
        length = len(gate.said)
    names = [tool["name"] for tool in tools]
    assert "find_operations" not in names, names
    wrong = [f"{name}: twice" for name in set(names) if names.count(name) > 1]
    for tool in tools:
        wrong += [f"{tool['name']}: {fault}" for fault in faults(tool)]
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    assert not wrong, f"{document.name}: {len(wrong)} faults"
    print(f"{document.name} {'all' if writes else 'reads'}: {len(tools)} tools in {length} bytes, every schema valid")


def faults(tool):
    schema = tool["inputSchema"]
    if not TOOL.fullmatch(tool["name"]):
        yield "its name"
    if set(tool["annotations"]) & HINTS != HINTS:
        yield f"hints {sorted(tool['annotations'])}"
    if schema.get("type") != "object":
        yield "no object"
    yield from (f"argument {name!r}" for name in schema.get("properties", {}) if not ARGUMENT.fullmatch(name))
    yield from (f"requires {name!r}" for name in schema.get("required", []) if name not in schema["properties"])
    try:
        Draft202012Validator.check_schema(schema)
    except Exception as error:
        yield str(error).splitlines()[0]
    yield from (f"reference {reference!r}" for reference in references(schema) if not resolves(schema, reference))


def references(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("$ref", "$dynamicRef") and isinstance(inner, str):
                yield inner
            elif name not in ("enum", "const", "default"):
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolves(schema, reference: str) -> bool:
    if not reference.startswith("#"):
        return False
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(schema, dict) or step not in schema:
            return False
        schema = schema[step]
    return True


def main():
    modules = pathlib.Path(sys.argv[1])
    github = modules / "@octokit/openapi/generated/api.github.com.json"
    readme = modules / "@readme/oas-examples/3.1/json/readme.json"
    trek = modules / "@readme/oas-examples/3.0/json/star-trek.json"
    asked = {github: {"list issues of a repository": "issues_list-for-repo"}, readme: {}, trek: {}}
    for document, first in asked.items():
        for writes in (False, True):
            listed(document, writes, first)
            typed(document, writes)


main()
