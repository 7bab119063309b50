#!/usr/bin/env bash
# Real APIs that nobody here wrote, through the real binary: httpbin under gunicorn, and PowerDNS.
# Exits non-zero on any failure.
source "$(dirname "$0")/../outside.sh"
PATH="$PATH:/usr/sbin"

need pdns_server pdns-server
[ -f /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql ] ||
    { echo "missing: the SQLite backend of PowerDNS (Debian package pdns-backend-sqlite3)" >&2; exit 1; }

python_with httpbin httpbin==0.10.4 gunicorn==27.0.1
GUNICORN="$(dirname "$python")/gunicorn" timeout 120 python3 tests/real/httpbin.py
timeout 60 python3 tests/real/powerdns.py
