"""Prism, which validates every request against the document, behind the gate; it must refuse none that the gate sends."""

import collections
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

from gate import Gate, wait_for
from generate import Generator, Unsupported
from policy import ENV, TYPED, policy

CALLS = int(os.environ.get("CALLS", "200"))
SEED = int(os.environ.get("SEED", "1"))
# What a validator answers: no such request, no such path or method, or a body that it does not read.
WRONG = {400, 401, 403, 404, 405, 415, 422}
OWN = {"api_get", "api_send", "read_more"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def part(document, prefix: str):
    """The paths below `prefix`, and what they refer to."""
    paths = {path: item for path, item in document["paths"].items() if path.startswith(prefix)}
    kept, left = {}, list(references(paths))
    while left:
        reference = left.pop()
        if reference in kept:
            continue
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        kept[reference] = target
        left += references(target)
    components = collections.defaultdict(dict)
    for reference, target in kept.items():
        _, _, kind, name = reference.split("/")
        components[kind][name] = target
    head = {key: value for key, value in document.items() if not key.startswith("x-")}
    return {**head, "paths": paths, "components": components}


def typed_nulls(value):
    """Without each `nullable` beside no `type`: 3.0.3 gives it no meaning, and Prism passes any body because of it."""
    if isinstance(value, dict):
        stray = value.get("nullable") is True and "type" not in value
        return {key: typed_nulls(inner) for key, inner in value.items() if not (stray and key == "nullable")}
    return [typed_nulls(inner) for inner in value] if isinstance(value, list) else value


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def complaints(error):
    """What a validator says of a request; anything at all where it is not clear.

    Prism holds its own made-up answers against the document too. And it applies a parameter called `accept`, which
    OpenAPI says to ignore (3.1.1 section 4.8.12.2.1).
    """
    try:
        found = json.loads(error["body"])["validation"]
    except (KeyError, TypeError, ValueError):
        return [error]
    return [one for one in found if one["location"][0] != "response" and one["location"][-2:] != ["header", "accept"]]


def calls(gate: Gate, name: str) -> int:
    tools = [tool for tool in gate.tools() if tool["name"] not in OWN]
    assert tools, name
    generator = Generator(SEED)
    counts, wrong = collections.Counter(), []
    for number in range(CALLS):
        tool = tools[number % len(tools)]
        try:
            arguments = generator.arguments(tool["inputSchema"])
        except Unsupported as why:
            counts[f"not made ({why})"] += 1
            continue
        result = gate.call(tool["name"], **arguments)
        if not result.refused:
            counts["accepted"] += 1
            continue
        error = result.error
        status = error.get("status")
        if status == 500 and not complaints(error):
            counts["accepted, its own answer not"] += 1
            continue
        counts[f"answered {status}" if status else error["code"]] += 1
        if not status or status in WRONG | {500} and complaints(error):
            wrong.append((tool["name"], arguments, result.texts))
    print(f"{name}: {len(tools)} tools, {CALLS} calls: {', '.join(f'{n} {what}' for what, n in counts.most_common())}")
    for tool, arguments, texts in wrong[:10]:
        print(f"  {tool} {json.dumps(arguments)}\n    {' '.join(texts)[:1500]}", file=sys.stderr)
    accepted = counts["accepted"] + counts["accepted, its own answer not"]
    assert accepted >= CALLS // 2, f"{name}: only {accepted} of {CALLS} calls were accepted"
    return len(wrong)


def mocked(prism: pathlib.Path, document, name: str, control) -> int:
    with tempfile.TemporaryDirectory(prefix="documents-") as home:
        file = pathlib.Path(home) / f"{name}.json"
        file.write_text(json.dumps(document))
        port = free_port()
        with open(pathlib.Path(home) / "prism.log", "wb") as log:
            server = subprocess.Popen(
                ["node", prism, "mock", "--errors", "--multiprocess", "false", "-h", "127.0.0.1", "-p", str(port), file],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        try:
            wait_for(f"http://127.0.0.1:{port}/", server=server).close()
            with Gate(policy(file.name, port, True, TYPED), ENV, file) as gate:
                # One that it has to refuse: otherwise its silence says nothing.
                tool, arguments = control
                refused = gate.call(tool, **arguments)
                assert refused.refused and refused.error.get("status") in (400, 422), refused.texts
                return calls(gate, name)
        finally:
            server.terminate()
            server.wait(timeout=30)


def main():
    modules = pathlib.Path(sys.argv[1])
    prism = modules / "@stoplight/prism-cli/dist/index.js"
    github = json.loads((modules / "@octokit/openapi/generated/api.github.com.json").read_text())
    readme = json.loads((modules / "@readme/oas-examples/3.1/json/readme.json").read_text())
    issues = typed_nulls(part(github, "/repos/{owner}/{repo}/issues"))
    untitled = {"method": "POST", "path": "/repos/a/b/issues", "body": {"body": "a"}}
    wrong = mocked(prism, readme, "readme", ("api_send", {"method": "POST", "path": "/branches", "body": {}}))
    wrong += mocked(prism, issues, "issues", ("api_send", untitled))
    assert not wrong, f"{wrong} calls went wrong"


main()
