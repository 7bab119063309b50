"""A server of the standard library on loopback, which counts what reaches it, and the gate in front of it."""

import contextlib
import http.server
import json
import os
import pathlib
import tempfile
import threading

from mcp import StdioServerParameters

TOKEN = "python-client-credential"
POLICY = pathlib.Path(__file__).parent.with_name("policy.toml")


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        assert self.headers["authorization"] == f"Bearer {TOKEN}", "the credential is the gate's to add"
        self.server.seen.append((self.command, self.path, body))
        text = json.dumps({"method": self.command, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PATCH = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class Sample:
    """`base` is where the API is, `seen` what it got: method, path and body. `gate` starts a gate of its own."""

    def __init__(self, upstream, home: pathlib.Path):
        self.base = f"http://127.0.0.1:{upstream.server_port}"
        self.seen = upstream.seen
        self.home = home
        policy = home / "policy.toml"
        policy.write_text(POLICY.read_text().replace("PORT", str(upstream.server_port)))
        self.gate = StdioServerParameters(
            command=os.environ["PORTCULLIS"],
            args=["serve", "--policy", str(policy), "--state-dir", str(home / "state")],
            env={"SAMPLE_TOKEN": TOKEN, "PORTCULLIS_LOG": "portcullis=warn"},
        )

    def log(self, kind: str):
        """The records of that kind, of all gates."""
        lines = (line for file in self.home.rglob("*.jsonl") for line in file.read_text().splitlines())
        return [record for record in map(json.loads, lines) if record["kind"] == kind]


@contextlib.contextmanager
def sample():
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    upstream.seen = []
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="python-client-") as home:
        yield Sample(upstream, pathlib.Path(home))


def error(result):
    assert result.is_error, result
    return json.loads(result.content[0].text)["error"]
