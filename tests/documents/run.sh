#!/usr/bin/env bash
# OpenAPI documents that nobody here wrote, through the real binary: how soon and how small the list is, whether every
# schema is one, and whether a mock server (Prism) finds fault with any request that generated calls make.
# CALLS and SEED choose the calls. Packages are installed once, below the target directory.
# Exits non-zero on any failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH="$PWD/tests/real"

need() { command -v "$1" >/dev/null || { echo "missing: $1 (Debian package $2)" >&2; exit 1; }; }
need python3 python3-venv
need node nodejs
need npm npm
need timeout coreutils

target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --quiet --bin portcullis
export PORTCULLIS="$target/debug/portcullis"
home="$target/e2e"
mkdir -p "$home/documents"

python="$home/jsonschema/bin/python"
if ! "$python" -c 'import importlib.metadata as m; assert m.version("jsonschema") == "4.26.0"' 2>/dev/null; then
    python3 -m venv "$home/jsonschema" || { echo "missing: the venv module (Debian package python3-venv)" >&2; exit 1; }
    timeout 300 "$python" -m pip install --quiet --disable-pip-version-check jsonschema==4.26.0
fi

cp tests/documents/package.json "$home/documents/"
if ! cmp -s "$home/documents/package.json" "$home/documents/node_modules/.installed"; then
    (cd "$home/documents" && timeout 300 npm install --no-package-lock --no-audit --no-fund --ignore-scripts --silent)
    cp "$home/documents/package.json" "$home/documents/node_modules/.installed"
fi

timeout 120 "$python" tests/documents/large.py "$home/documents/node_modules"
timeout 300 python3 tests/documents/mock.py "$home/documents/node_modules"
