#!/usr/bin/env bash
# Clients that nobody here wrote, over real stdio against the real binary: the Python `mcp` SDK,
# and both TypeScript SDKs (the one of the handshake era and the one of 2026-07-28).
# Exits non-zero on any failure.
source "$(dirname "$0")/../outside.sh"

python_with python mcp==2.3.0
for mode in legacy 2026-07-28 auto; do
    timeout 60 "$python" tests/clients/python_client.py "$mode"
done

modules_with tests/clients/typescript
cp tests/clients/typescript/*.mjs "$modules/"
for client in sdk client; do
    timeout 60 node "$modules/script.mjs" "$client"
done
