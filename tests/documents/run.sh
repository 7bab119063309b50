#!/usr/bin/env bash
# OpenAPI documents that nobody here wrote, through the real binary: how soon and how small the list is, whether every
# schema is one, and whether a mock server (Prism) finds fault with any request that generated calls make.
# CALLS and SEED choose the calls. Exits non-zero on any failure.
source "$(dirname "$0")/../outside.sh"
export PYTHONPATH="$PWD/tests/real"

python_with jsonschema jsonschema==4.26.0
modules_with tests/documents
timeout 120 "$python" tests/documents/large.py "$modules/node_modules"
timeout 300 python3 tests/documents/mock.py "$modules/node_modules"
