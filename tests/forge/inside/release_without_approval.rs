// refused: E0574
//! Makes an approval of its own.

use crate::confirm::approval::Approval;
use crate::policy::{Authorized, Held};

pub fn forge(held: Held) -> Authorized {
    held.release(Approval {})
}
