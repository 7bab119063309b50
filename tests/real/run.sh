#!/usr/bin/env bash
# What nobody here wrote, with the real binary: httpbin under gunicorn and PowerDNS as APIs; rsyslog, and the definitions of
# OpenTelemetry's protocol, as places that get the log.
# Exits non-zero on any failure.
source "$(dirname "$0")/../outside.sh"
PATH="$PATH:/usr/sbin"

need pdns_server pdns-server
[ -f /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql ] ||
    { echo "missing: the SQLite backend of PowerDNS (Debian package pdns-backend-sqlite3)" >&2; exit 1; }

need rsyslogd rsyslog
need openssl openssl
compgen -G '/usr/lib/*/rsyslog/lmnsd_gtls.so' >/dev/null ||
    { echo "missing: TLS for rsyslog (Debian package rsyslog-gnutls)" >&2; exit 1; }

python_with httpbin httpbin==0.10.4 gunicorn==27.0.1
GUNICORN="$(dirname "$python")/gunicorn" timeout 120 python3 tests/real/httpbin.py
timeout 60 python3 tests/real/powerdns.py
timeout 180 python3 tests/real/rsyslog.py
python_with otlp opentelemetry-proto==1.45.2 protobuf==7.36.2
timeout 120 "$python" tests/real/otlp.py
