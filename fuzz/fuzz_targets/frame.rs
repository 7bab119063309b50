//! Any line is a message or a refusal, and whatever passes the strict pass is what serde_json reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::json::{Numbers, scan_with};

fuzz_target!(|line: &[u8]| {
    drop(portcullis::server::frame::read(line));
    let Ok(text) = std::str::from_utf8(line) else { return };
    if scan_with(text, 64, Numbers::Exact, &mut |member| assert!(text.get(member.value.clone()).is_some())).is_ok() {
        serde_json::from_str::<serde_json::Value>(text).expect("what passes is JSON");
    }
});
