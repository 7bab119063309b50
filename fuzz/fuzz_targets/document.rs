//! Any text is an API's description or one error, and its tools are listed and called without a panic.
#![no_main]

#[path = "../checks/document.rs"]
mod document;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    document::hold(text);
});
