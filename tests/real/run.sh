#!/usr/bin/env bash
# Real APIs that nobody here wrote, through the real binary: httpbin under gunicorn, and PowerDNS.
# Packages are installed once, below the target directory. Exits non-zero on any failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONDONTWRITEBYTECODE=1
PATH="$PATH:/usr/sbin"

need() { command -v "$1" >/dev/null || { echo "missing: $1 (Debian package $2)" >&2; exit 1; }; }
need python3 python3-venv
need timeout coreutils
need pdns_server pdns-server
[ -f /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql ] ||
    { echo "missing: the SQLite backend of PowerDNS (Debian package pdns-backend-sqlite3)" >&2; exit 1; }

target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --quiet --bin portcullis
export PORTCULLIS="$target/debug/portcullis"
home="$target/e2e"
mkdir -p "$home"

export GUNICORN="$home/httpbin/bin/gunicorn"
if ! "$home/httpbin/bin/python" -c 'import httpbin, importlib.metadata as m; assert m.version("httpbin") == "0.10.4"' 2>/dev/null ||
    [ ! -x "$GUNICORN" ]; then
    python3 -m venv "$home/httpbin" || { echo "missing: the venv module (Debian package python3-venv)" >&2; exit 1; }
    timeout 300 "$home/httpbin/bin/python" -m pip install --quiet --disable-pip-version-check httpbin==0.10.4 gunicorn==27.0.1
fi
timeout 120 python3 tests/real/httpbin.py
timeout 60 python3 tests/real/powerdns.py
