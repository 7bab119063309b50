"""A gate as a child over stdio, and one call after the other; standard library only."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
LIMITS = '[limits]\nrate = "1000000/s"\nburst = 1000\nwrites = "1000/s"\ndenials = "1000/s"\n'


class Gate:
    """`with Gate(policy, env) as gate: gate.get("/x")`; at the end the log must verify and hold no secret.

    `document` is a file to lay beside the policy, under its own name.
    """

    def __init__(self, policy: str, env: dict[str, str], document: pathlib.Path | None = None):
        self.home = tempfile.TemporaryDirectory(prefix="real-api-")
        self.env = env
        root = pathlib.Path(self.home.name)
        (root / "policy.toml").write_text(policy + LIMITS)
        if document is not None:
            shutil.copyfile(document, root / document.name)
        self.state = root / "state"
        self.binary = os.environ["PORTCULLIS"]
        self.stderr = open(root / "stderr", "w+b")
        self.began = time.monotonic()
        self.child = subprocess.Popen(
            [self.binary, "serve", "--policy", root / "policy.toml", "--state-dir", self.state],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, env=env,
        )
        self.calls = 0
        self.said = b""

    def call(self, tool: str, **arguments):
        return Result(self.ask("tools/call", name=tool, arguments=arguments))

    def tools(self):
        return self.ask("tools/list")["tools"]

    def ask(self, method: str, **params):
        self.calls += 1
        line = {"jsonrpc": "2.0", "id": self.calls, "method": method, "params": {**params, "_meta": META}}
        self.child.stdin.write(json.dumps(line).encode() + b"\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        self.said += answer
        assert answer, f"the gate is gone: {self.complaints()}"
        message = json.loads(answer)
        assert message["id"] == self.calls and "result" in message, message
        return message["result"]

    def get(self, path: str, **rest):
        return self.call("api_get", path=path, **rest)

    def send(self, method: str, path: str, **rest):
        return self.call("api_send", method=method, path=path, **rest)

    def complaints(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.child.stdin.close()
        self.said += self.child.stdout.read()
        code = self.child.wait(timeout=60)
        if kind is None:
            assert code == 0, f"exit {code}: {self.complaints()}"
            verified = subprocess.run([self.binary, "audit", "verify", self.state], capture_output=True, text=True)
            assert verified.returncode == 0, verified
            self.logs = {file.name: file.read_text() for file in sorted(self.state.glob("*.jsonl"))}
            logs = b"".join(file.read_bytes() for file in self.state.rglob("*") if file.is_file())
            for name, secret in self.env.items():
                for place, text in {"stdout": self.said, "stderr": self.complaints().encode(), "log": logs}.items():
                    assert secret.encode() not in text, f"{name} is in {place}"
        self.home.cleanup()


class Result:
    """What a tool call came back with."""

    def __init__(self, result):
        self.texts = [block["text"] for block in result["content"]]
        self.refused = result.get("isError", False)

    @property
    def error(self):
        assert self.refused and len(self.texts) == 1, self.texts
        return json.loads(self.texts[0])["error"]

    @property
    def code(self):
        return self.error["code"]

    @property
    def json(self):
        assert not self.refused, self.texts
        return json.loads(self.texts[0])

    @property
    def status(self):
        """The status and headers of the last block, where there is one."""
        return json.loads(self.texts[-1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(url: str, headers: dict[str, str] | None = None, server: subprocess.Popen | None = None):
    """Waits until `url` answers, for a minute at most."""
    for _ in range(600):
        if server is not None and server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5)
        except urllib.error.HTTPError as answered:
            return answered
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")
