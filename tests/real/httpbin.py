"""httpbin under gunicorn, through the gate: redirects, gzip, drip, status codes, basic and bearer auth."""

import os
import socket
import subprocess

from gate import Gate, wait_for

BEARER = "httpbin+bearer/credential=="
POLICY = """version = 1
name = "httpbin"
[upstream]
base_url = "http://127.0.0.1:{port}/"
allow_http = true
timeout = "{timeout}"
[upstream.credential]
{credential}
[access]
writes = true
[[allow]]
id = "everything-readable"
methods = ["GET"]
paths = ["/**"]
[[allow]]
id = "post"
methods = ["POST", "PUT", "PATCH"]
paths = ["/post", "/put", "/patch"]
confirm = "never"
[response]
read_max_bytes = "50KiB"
"""


def policy(port, credential='bearer = { env = "TOKEN" }', timeout="20s"):
    return POLICY.format(port=port, credential=credential, timeout=timeout)


def reads(gate):
    assert gate.get("/get", query={"a": ["1", "2"], "b": "x y&z"}).json["args"] == {"a": ["1", "2"], "b": "x y&z"}
    headers = gate.get("/headers", headers={"accept": "application/json"}).json["headers"]
    assert headers["Accept"] == "application/json" and headers["User-Agent"].startswith("portcullis/"), headers
    assert gate.get("/anything/a%20b/c").json["url"].endswith(("/anything/a%20b/c", "/anything/a b/c"))
    assert gate.get("/gzip").json["gzipped"] is True
    assert gate.get("/deflate").json["deflated"] is True
    assert "∮ E⋅da = Q" in gate.get("/encoding/utf8").texts[0]
    # Drop by drop, and of a type that is no text.
    drip = gate.get("/drip", query={"duration": 1, "numbytes": 5, "delay": 0}).error
    assert drip["code"] == "upstream_error" and "octet-stream" in drip["message"], drip
    etag = gate.get("/etag/v1")
    assert etag.status["headers"]["etag"].strip('"') == "v1", etag.texts
    assert gate.get("/etag/v1", headers={"if-none-match": '"v1"'}).status["status"] == 304
    assert gate.get("/bytes/102400").code == "response_too_large"
    assert gate.get("/stream-bytes/102400").code == "response_too_large"


def redirects(gate):
    for path in ["/redirect/3", "/absolute-redirect/3", "/relative-redirect/3"]:
        error = gate.get(path).error
        assert error["code"] == "upstream_error" and error["status"] == 302, error
    error = gate.get("/redirect-to", query={"url": "http://evil.test/"}).error
    assert error["status"] == 302 and "evil" not in str(error), error
    assert gate.get("/redirect-to", query={"url": "/get", "status_code": 307}).error["status"] == 307


def statuses(gate):
    for status in [400, 401, 403, 404, 409, 418, 429, 500, 502, 503]:
        error = gate.get(f"/status/{status}").error
        assert error["code"] == "upstream_error" and error["status"] == status, error
    for status in [200, 201, 204]:
        result = gate.get(f"/status/{status}")
        assert not result.refused and result.status["status"] == status, result.texts


def writes(gate):
    sent = gate.send("POST", "/post", body={"a": [1, 2.5, "ü"]}).json
    assert sent["json"] == {"a": [1, 2.5, "ü"]} and sent["headers"]["Content-Type"] == "application/json", sent
    assert gate.send("PUT", "/put", body=[1]).json["json"] == [1]
    assert gate.send("PATCH", "/patch", body={}).json["json"] == {}
    assert gate.send("DELETE", "/delete").code == "denied"


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    bind = f"fd://{listener.fileno()}"
    command = [os.environ["GUNICORN"], "-b", bind, "--threads", "4", "--no-control-socket", "httpbin:app"]
    server = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/get", server=server)
        with Gate(policy(port), {"TOKEN": BEARER}) as gate:
            # httpbin answers with the token it was given; the agent never sees it.
            assert gate.get("/bearer").json == {"authenticated": True, "token": "[redacted]"}
            for part in [reads, redirects, statuses, writes]:
                part(gate)
        basic = 'basic = { username = { env = "NAME" }, password = { env = "WORD" } }'
        with Gate(policy(port, basic), {"NAME": "gatekeeper-user", "WORD": "basic-credential"}) as gate:
            # A password that the agent may know: it is in the path.
            assert gate.get("/basic-auth/someone/else").error["status"] == 401
        known = {"NAME": "known-user", "WORD": "known-word"}
        gate = Gate(policy(port, basic), known)
        gate.env = {}
        with gate:
            assert gate.get("/basic-auth/known-user/known-word").json["authenticated"] is True
        with Gate(policy(port, timeout="1s"), {"TOKEN": BEARER}) as gate:
            assert gate.get("/delay/5").code == "upstream_timeout"
            assert gate.get("/drip", query={"duration": 5, "numbytes": 5, "delay": 0}).code == "upstream_timeout"
            assert not gate.get("/get").refused
    finally:
        server.terminate()
        server.wait(timeout=60)
    print("httpbin: reads, redirects, statuses, writes, bearer and basic auth, timeouts")


main()
