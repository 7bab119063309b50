#!/usr/bin/env bash
# The schema of the policy, in the program that editors use for TOML (taplo): the example and every good policy of the tests pass,
# and what people misspell does not. Exits non-zero on any failure.
source "$(dirname "$0")/../outside.sh"

modules_with tests/editor
timeout 250 python3 tests/editor/schema.py "$modules/node_modules/.bin/taplo"
