"""Lists and calls the tools of a gate with the Python `mcp` SDK, over stdio.

Usage: python_client.py legacy|auto|2026-07-28, with the binary in $PORTCULLIS.
The upstream is a server of the standard library on loopback, which counts what reaches it.
"""

import http.server
import json
import os
import sys
import tempfile
import threading

import anyio
from mcp import StdioServerParameters
from mcp.client.client import Client

TOKEN = "python-client-credential"
POLICY = """version = 1
name = "sample"
[upstream]
base_url = "http://127.0.0.1:{port}/"
allow_http = true
[upstream.credential]
bearer = {{ env = "SAMPLE_TOKEN" }}
[access]
writes = true
[[allow]]
id = "read"
methods = ["GET"]
paths = ["/items/**"]
[[allow]]
id = "label"
methods = ["PATCH"]
paths = ["/items/*/labels"]
confirm = "never"
[[allow]]
id = "remove"
methods = ["DELETE"]
paths = ["/items/*"]
"""


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, bytes]] = []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        assert self.headers["authorization"] == f"Bearer {TOKEN}", "the credential is the gate's to add"
        self.seen.append((self.command, self.path, body))
        text = json.dumps({"method": self.command, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


def refusal(result):
    assert result.is_error, result
    return json.loads(result.content[0].text)["error"]["code"]


async def session(mode: str, policy: str, state: str):
    server = StdioServerParameters(
        command=os.environ["PORTCULLIS"],
        args=["serve", "--policy", policy, "--state-dir", state],
        env={"SAMPLE_TOKEN": TOKEN},
    )
    async with Client(server, mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["api_get", "api_send", "read_more"], tools
        assert tools[0].annotations.read_only_hint and not tools[1].annotations.read_only_hint, tools

        read = await client.call_tool("api_get", {"path": "/items/7", "query": {"q": "a&b"}})
        assert not read.is_error and json.loads(read.content[0].text)["path"] == "/items/7?q=a%26b", read
        write = await client.call_tool("api_send", {"method": "PATCH", "path": "/items/7/labels", "body": {"a": 1}})
        assert not write.is_error, write

        assert refusal(await client.call_tool("api_get", {"path": "/users/7"})) == "denied"
        assert refusal(await client.call_tool("api_get", {"path": "/items/../users/7"})) == "bad_request"
        held = await client.call_tool("api_send", {"method": "DELETE", "path": "/items/7"})
        assert refusal(held) == "approval_required"

        many = []
        async with anyio.create_task_group() as group:

            async def one(number):
                result = await client.call_tool("api_get", {"path": f"/items/{number}"})
                many.append(json.loads(result.content[0].text)["path"] == f"/items/{number}")

            for number in range(8):
                group.start_soon(one, number)
        assert many == [True] * 8, many


def main():
    mode = sys.argv[1]
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="python-client-") as home:
        policy = os.path.join(home, "policy.toml")
        with open(policy, "w") as file:
            file.write(POLICY.format(port=upstream.server_port))
        anyio.run(session, mode, policy, os.path.join(home, "state"))
    methods = [method for method, _, _ in Upstream.seen]
    assert sorted(methods) == ["GET"] * 9 + ["PATCH"], Upstream.seen
    assert Upstream.seen[1][2] == b'{"a":1}', Upstream.seen
    print(f"python mcp {mode}: lists, reads, writes, is refused")


main()
