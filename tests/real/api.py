"""An API on loopback that answers everything, for tests of where the log goes; standard library only."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The beginning of a policy that reads everything from it.
POLICY = """version = 1
name = "{name}"
[upstream]
base_url = "http://127.0.0.1:{port}/"
allow_http = true
{more}
[[allow]]
id = "read"
methods = ["GET"]
paths = ["{paths}"]
"""


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(b"{}")

    def answer(self, body: bytes):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(handler: type[Api] = Api) -> int:
    """Its port; it lives as long as this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def policy(name: str, port: int, sinks: str, paths: str = "/**", more: str = "") -> str:
    return POLICY.format(name=name, port=port, paths=paths, more=more) + sinks


def told(line: str) -> tuple[int, str, str]:
    """The number, kind and hash of a record."""
    record = json.loads(line)
    return record["seq"], record["kind"], hashlib.sha256(line.encode()).hexdigest()
