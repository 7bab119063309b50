#!/usr/bin/env bash
# Clients that nobody here wrote, over real stdio against the real binary: the Python `mcp` SDK,
# and both TypeScript SDKs (the one of the handshake era and the one of 2026-07-28).
# Packages are installed once, below the target directory. Exits non-zero on any failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONDONTWRITEBYTECODE=1

need() { command -v "$1" >/dev/null || { echo "missing: $1 (Debian package $2)" >&2; exit 1; }; }
need python3 python3-venv
need node nodejs
need npm npm
need timeout coreutils

target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --quiet --bin portcullis
export PORTCULLIS="$target/debug/portcullis"
home="$target/e2e"
mkdir -p "$home/typescript"

python="$home/python/bin/python"
if ! "$python" -c 'import importlib.metadata as m; assert m.version("mcp") == "2.3.0"' 2>/dev/null; then
    python3 -m venv "$home/python" || { echo "missing: the venv module (Debian package python3-venv)" >&2; exit 1; }
    timeout 300 "$python" -m pip install --quiet --disable-pip-version-check mcp==2.3.0
fi
for mode in legacy 2026-07-28 auto; do
    timeout 60 "$python" tests/clients/python_client.py "$mode"
done

cp tests/clients/typescript/package.json tests/clients/typescript/*.mjs "$home/typescript/"
if ! cmp -s "$home/typescript/package.json" "$home/typescript/node_modules/.installed"; then
    (cd "$home/typescript" && timeout 300 npm install --no-package-lock --no-audit --no-fund --ignore-scripts --silent)
    cp "$home/typescript/package.json" "$home/typescript/node_modules/.installed"
fi
for client in sdk client; do
    timeout 60 node "$home/typescript/script.mjs" "$client"
done
