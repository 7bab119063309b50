//! A policy file is parsed or found wrong, never both and never neither; each finding has a place in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::policy::{Policy, Severity};

fuzz_target!(|text: &str| {
    let parsed = Policy::parse("fuzz.toml", text);
    let errors = parsed.findings.iter().filter(|f| matches!(f.severity, Severity::Error)).count();
    assert_eq!(parsed.policy.is_some(), errors == 0);
    for finding in &parsed.findings {
        assert!(text.get(finding.span.clone()).is_some(), "{finding:?}");
    }
});
