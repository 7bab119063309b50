// refused: E0061
//! Releases a held write without an approval.

use portcullis::policy::{Authorized, Held};

pub fn forge(held: Held) -> Option<Authorized> {
    held.release().ok()
}
