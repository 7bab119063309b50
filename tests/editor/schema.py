"""Holds `portcullis schema` against taplo, which editors check TOML with."""

import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

TAPLO = pathlib.Path(sys.argv[1]).resolve()
PORTCULLIS = os.environ["PORTCULLIS"]
ROOT = pathlib.Path.cwd()

HEAD = 'version = 1\nname = "x"\n[upstream]\nbase_url = "https://api.example.test/"\n'
RULE = '[[allow]]\nid = "a"\nmethods = ["GET"]\npaths = ["/a/*"]\n'

# What a person may write, and a word of what the editor tells them.
WRONG = {
    "a misspelt table": (HEAD + "[acces]\nwrites = true\n", "acces"),
    "a misspelt key": (HEAD + RULE + 'confrm = "each"\n', "confrm"),
    "a method in lower case": (HEAD + RULE.replace("GET", "get"), "get"),
    "a query in a path": (HEAD + RULE.replace("/a/*", "/a?b=1"), "/a?b=1"),
    "braces in a path": (HEAD + RULE.replace("/a/*", "/{a}"), "/{a}"),
    "a secret in the file": (HEAD + '[upstream.credential]\nbearer = "a"\n', "not of type"),
    "two places of a secret": (HEAD + '[upstream.credential]\nbearer = { env = "A", file = "b" }\n', "more than 1"),
    "a rate without a unit": (HEAD + '[limits]\nrate = "100"\n', "100"),
    "a duration in words": (HEAD + '[confirm]\nttl = "2 minutes"\n', "2 minutes"),
    "no upstream": ('version = 1\nname = "x"\n', "upstream"),
    "another version": (HEAD.replace("1", "2", 1), "1"),
    "a sink of two kinds": (HEAD + '[[audit.sinks]]\nname = "s"\notlp = "https://a/"\nwebhook = "https://b/"\n', "oneOf"),
}


def check(directory, texts):
    """The exit code and all that taplo says of these policies, each under its name."""
    schema = directory / "policy.schema.json"
    schema.write_bytes(subprocess.run([PORTCULLIS, "schema"], check=True, capture_output=True).stdout)
    files = []
    for name, text in texts:
        files.append(directory / f"{name.replace(' ', '-')}.toml")
        files[-1].write_text(text)
    command = ["node", TAPLO, "check", "--schema", schema.as_uri(), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=directory)
    return done.returncode, done.stdout + done.stderr


def good():
    """Every policy of the repository that has no error."""
    yield "policy.example.toml", (ROOT / "policy.example.toml").read_text()
    for path in sorted((ROOT / "tests/cases").glob("*.toml")):
        yield path.name, tomllib.loads(path.read_text())["policy"]


def main():
    """Prints a line for each policy."""
    with tempfile.TemporaryDirectory() as directory:
        texts = list(good())
        code, said = check(pathlib.Path(directory), texts)
        assert code == 0 and len(texts) > 10, said
        print(f"taplo takes {len(texts)} good policies")
    with tempfile.TemporaryDirectory() as directory:
        code, said = check(pathlib.Path(directory), [(name, text) for name, (text, _) in WRONG.items()])
        for name, (_, word) in WRONG.items():
            assert f"{name.replace(' ', '-')}.toml" in said and word in said, f"{name}: {said}"
            print(f"taplo refuses {name}")


main()
