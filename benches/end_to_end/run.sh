#!/usr/bin/env bash
# Measures the gate beside the floors that bound it, in one run: ./run.sh [--quick] [--reps N] [--seconds S]
# Prints medians as Markdown tables. All traffic stays on 127.0.0.1; every loop is bounded in count and time.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --locked --manifest-path ../../Cargo.toml --target-dir ../../target
cargo build --release --locked --target-dir target
mkdir -p -m 700 run results
order=(direct raw-stdio rmcp-stdio rmcp-pipes rmcp-pipes-1t rmcp-pipes-socket portcullis portcullis-socket)
files=()
for name in "${order[@]}"; do files+=("scenarios/$name.json"); done
out="results/$(date +%Y%m%d-%H%M%S).jsonl"
target/release/mcpload run --out "$out" "$@" "${files[@]}"
rm -rf run/state
