"""The log in rsyslog: on a Unix socket, over TCP and over TLS, while it lives, dies and lives again."""

import pathlib
import subprocess
import tempfile
import time

from api import policy, serve, told
from gate import Gate, free_port

CONF = """
global(workDirectory="{home}" maxMessageSize="2m" defaultNetstreamDriverCAFile="{home}/ca.pem"
       defaultNetstreamDriverCertFile="{home}/cert.pem" defaultNetstreamDriverKeyFile="{home}/key.pem")
template(name="parts" type="string" string="%pri%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\\n")
module(load="imuxsock" sysSock.use="off")
module(load="imtcp")
ruleset(name="unix") {{ action(type="omfile" file="{home}/unix" template="parts") }}
ruleset(name="tcp") {{ action(type="omfile" file="{home}/tcp" template="parts") }}
ruleset(name="tls") {{ action(type="omfile" file="{home}/tls" template="parts") }}
input(type="imuxsock" socket="{home}/log" useSpecialParser="off" ruleset="unix")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="tcp")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="tls"
      streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
"""
CREDENTIAL = '[upstream.credential]\nbearer = { env = "TOKEN" }'
SINKS = """[[audit.sinks]]
name = "unix"
syslog = "unix:{home}/log"
[[audit.sinks]]
name = "tcp"
syslog = "tcp://127.0.0.1:{tcp}"
[[audit.sinks]]
name = "tls"
syslog = "tls://127.0.0.1:{tls}"
allow_private = true
ca_file = "{home}/ca.pem"
"""
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]


def certificates(home: str):
    def request(*words):
        subprocess.run(["openssl", "req", "-x509", *NEW_KEY, *words], check=True, capture_output=True, cwd=home)

    request("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    request(
        "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=syslog",
        "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
    )


def start(home: str) -> subprocess.Popen:
    return subprocess.Popen(["rsyslogd", "-n", "-f", f"{home}/conf", "-i", f"{home}/pid"])


def eventually(what: str, done):
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise SystemExit(f"waited a minute in vain: {what}")


def lines(path: pathlib.Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def check(way: str, got: list[str], log: str, name: str):
    """What rsyslog took apart is the log: every record once, in order, with its number and hash."""
    records = log.splitlines()
    messages = [line.split("|", 5) for line in got]
    numbers = [told(message[5].strip())[0] for message in messages]
    assert numbers == list(range(len(records))), (way, numbers)
    assert [message[5].strip() for message in messages] == records, way
    for (priority, app, process, kind, data, _), record in zip(messages, records, strict=True):
        seq, own_kind, digest = told(record)
        assert (app, kind, process) == ("portcullis", own_kind, name.rsplit("-", 1)[1].removesuffix(".jsonl"))
        assert data == f'[portcullis@32473 seq="{seq}" hash="{digest}" log="{name}"]', data
        assert 104 <= int(priority) <= 111, priority


def main():
    port = serve()
    with tempfile.TemporaryDirectory(prefix="rsyslog-") as home:
        certificates(home)
        ports = {"tcp": free_port(), "tls": free_port()}
        root = pathlib.Path(home)
        (root / "conf").write_text(CONF.format(home=home, **ports))
        server = start(home)
        try:
            eventually("rsyslog listens", lambda: (root / "log").exists())
            sinks = SINKS.format(home=home, **ports)
            gate = Gate(policy("syslog", port, sinks, more=CREDENTIAL), {"TOKEN": "token+of/this-test"})
            with gate:
                for _ in range(20):
                    assert not gate.get("/a").refused
                for way in ("unix", "tcp", "tls"):
                    eventually(f"{way} has the first half", lambda: len(lines(root / way)) >= 41)
                server.terminate()
                server.wait(timeout=60)
                for _ in range(20):
                    assert not gate.get("/b").refused, "no read waits for a dead sink"
                server = start(home)
                count = sum(len(log.read_text().splitlines()) for log in gate.state.glob("*.jsonl"))
                for way in ("unix", "tcp", "tls"):
                    eventually(f"{way} has all", lambda: len(lines(root / way)) >= count)
            [(name, log)] = gate.logs.items()
            for way in ("unix", "tcp", "tls"):
                eventually(f"{way} has the end", lambda: len(lines(root / way)) >= len(log.splitlines()))
                check(way, lines(root / way), log, name)
                assert "token+of/this-test" not in (root / way).read_text()
        finally:
            server.terminate()
            server.wait(timeout=60)
    print("rsyslog: every record once and in order over a Unix socket, TCP and TLS, across a restart")


main()
