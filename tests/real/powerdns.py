"""PowerDNS through the gate: a key in a header of its own, and writes that nobody confirms."""

import pathlib
import sqlite3
import subprocess
import tempfile

from gate import Gate, free_port, wait_for

KEY = "powerdns+key/of-this-test"
SCHEMA = pathlib.Path("/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql")
ZONES = "/api/v1/servers/localhost/zones"
POLICY = """version = 1
name = "powerdns"
[upstream]
base_url = "http://127.0.0.1:{port}/"
allow_http = true
[upstream.credential]
header = {{ name = "X-API-Key", value = {{ env = "KEY" }} }}
[access]
writes = true
[[allow]]
id = "read"
methods = ["GET"]
paths = ["/api/v1/servers", "/api/v1/servers/**"]
[[allow]]
id = "zones"
methods = ["POST"]
paths = ["/api/v1/servers/localhost/zones"]
confirm = "never"
body = {{ only = ["name", "kind", "nameservers"] }}
[[allow]]
id = "records"
methods = ["PATCH"]
paths = ["/api/v1/servers/localhost/zones/*"]
confirm = "never"
[[allow]]
id = "remove"
methods = ["DELETE"]
paths = ["/api/v1/servers/localhost/zones/*"]
[[deny]]
id = "keys"
paths = ["/**/cryptokeys/**", "/**/tsigkeys/**"]
"""


def session(gate):
    assert gate.get("/api/v1/servers").json[0]["id"] == "localhost"
    zone = {"name": "gate.test.", "kind": "Native", "nameservers": ["ns.gate.test."]}
    assert gate.send("POST", ZONES, body=zone).json["name"] == "gate.test."
    assert gate.send("POST", ZONES, body=zone).error["status"] == 409
    assert gate.send("POST", ZONES, body={**zone, "name": "other.test.", "masters": ["192.0.2.1"]}).code == "denied"

    record = {"name": "www.gate.test.", "type": "A", "ttl": 60, "changetype": "REPLACE"}
    change = {"rrsets": [{**record, "records": [{"content": "192.0.2.7", "disabled": False}]}]}
    changed = gate.send("PATCH", f"{ZONES}/gate.test.", body=change)
    assert not changed.refused and changed.status["status"] == 204, changed.texts
    contents = [entry["content"] for rrset in gate.get(f"{ZONES}/gate.test.").json["rrsets"] for entry in rrset["records"]]
    assert "192.0.2.7" in contents, contents

    assert gate.send("DELETE", f"{ZONES}/gate.test.").code == "approval_required"
    assert gate.get(f"{ZONES}/gate.test./cryptokeys").code == "denied"
    assert gate.get(f"{ZONES}/missing.test.").error["status"] in (404, 422)
    assert [zone["name"] for zone in gate.get(ZONES).json] == ["gate.test."]


def main():
    with tempfile.TemporaryDirectory(prefix="powerdns-") as home:
        database = f"{home}/p.db"
        with sqlite3.connect(database) as connection:
            connection.executescript(SCHEMA.read_text())
        port = free_port()
        server = subprocess.Popen(
            [
                "pdns_server", "--no-config", "--launch=gsqlite3", f"--gsqlite3-database={database}",
                "--local-address=127.0.0.1", f"--local-port={free_port()}", "--webserver=yes",
                "--webserver-address=127.0.0.1", f"--webserver-port={port}", "--api=yes", f"--api-key={KEY}",
                "--daemon=no", "--guardian=no", f"--socket-dir={home}", "--disable-syslog",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/api/v1/servers", {"X-API-Key": KEY}, server)
            with Gate(POLICY.format(port=port), {"KEY": KEY}) as gate:
                session(gate)
            with Gate(POLICY.format(port=port), {"KEY": "a wrong key"}) as gate:
                assert gate.get("/api/v1/servers").error["status"] == 401
        finally:
            server.terminate()
            server.wait(timeout=60)
    print("powerdns: reads, creates, changes, is refused what the policy refuses")


main()
