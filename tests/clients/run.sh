#!/usr/bin/env bash
# Clients that nobody here wrote, over real stdio against the real binary: the Python `mcp` SDK, and both TypeScript
# SDKs (the one of the handshake era and the one of both). Each calls tools and has a person approve writes, in each
# protocol era that it can speak. Exits non-zero on any failure.
source "$(dirname "$0")/../outside.sh"

python_with python mcp==2.3.0
for mode in legacy 2026-07-28 auto; do
    for script in calls approvals; do
        timeout 60 "$python" "tests/clients/python/$script.py" "$mode"
    done
done

modules_with tests/clients/typescript
cp tests/clients/typescript/*.mjs tests/clients/policy.toml "$modules/"
for script in calls approvals; do
    timeout 60 node "$modules/$script.mjs" sdk legacy
    for mode in legacy 2026-07-28 auto; do
        timeout 60 node "$modules/$script.mjs" client "$mode"
    done
done
echo "typescript sdk: cannot speak 2026-07-28"
