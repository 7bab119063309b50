# Everyday commands. `.ci/run` does the same without `just`.

# What has to hold before a change is called done.
check: fmt lint test docs

# The whole test suite, with small counts where a test is random.
test:
    cargo test --locked

# The random tests with their full counts: half an hour. Comparisons of policies are tried optimised, by themselves.
soak:
    PORTCULLIS_SOAK=1 PROPTEST_CASES=5000 cargo test --locked -- --skip every_widening_is_found_and_none_where_there_is_none --skip every_segment_of_a_path_is_of_a_class_that_is_found
    PORTCULLIS_SOAK=1 cargo test --locked --lib --config profile.dev.package.portcullis.opt-level=2 -- --nocapture policy::diff::model policy::diff::class

# One fuzz target for so many seconds, with the pinned toolchain; needs cargo-fuzz and a C++ compiler.
fuzz target seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --dev -s none {{target}} -- -max_total_time={{seconds}}

# The figures of the README.
bench:
    cargo bench --locked --bench decide --bench diff --bench tools --bench shape --bench log
    benches/end_to_end/run.sh --reps 3

# One session through the gate, told in plain words.
demo:
    cargo run --release --locked -- demo

# Formatting, as a check.
fmt:
    cargo fmt --check

# Every lint is an error.
lint:
    cargo clippy --locked --all-targets -- -D warnings

# Documentation without a broken link.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Licences, bans, sources and advisories of the dependency tree; needs cargo-deny.
deny:
    cargo deny --locked check

# The real clients, the real APIs, the real documents and the editors' own program.
outside:
    tests/clients/run.sh
    tests/real/run.sh
    tests/documents/run.sh
    tests/editor/run.sh
