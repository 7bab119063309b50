//! Any bytes are a log that verifies or one error.
#![no_main]

#[path = "../checks/log.rs"]
mod log;

use libfuzzer_sys::fuzz_target;
use portcullis::audit::verify::Against;

fuzz_target!(|bytes: &[u8]| {
    log::hold(bytes, &Against::default());
});
