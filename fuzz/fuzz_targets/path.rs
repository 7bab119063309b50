//! A path is refused, or is canonical: parsed again it is itself, and a URL made of it keeps every byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::request::path::Path;

fuzz_target!(|text: &str| {
    let Ok(path) = Path::parse(text) else { return };
    let canonical = path.canonical();
    let again = Path::parse(canonical).expect("a canonical path parses");
    assert_eq!(again.canonical(), canonical);
    let base = "https://api.example.test";
    let url = url::Url::parse(&format!("{base}{canonical}")).expect("a canonical path makes a URL");
    assert_eq!(url.as_str(), format!("{base}{canonical}"));
    assert!(!path.deny_forms().is_empty());
});
