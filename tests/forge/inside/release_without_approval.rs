// refused: E0624
//! Makes an approval of its own.

use crate::confirm::approval::Approval;
use crate::policy::{Authorized, Held};

pub fn forge(held: Held) -> Option<Authorized> {
    let approval = Approval::new(held.digest(), None);
    held.release(approval).ok()
}
