// refused: E0382
//! Lets two requests go with one person's approval.

use crate::confirm::approval::Approval;
use crate::policy::Held;

pub fn forge(first: Held, second: Held, approval: Approval) {
    drop(first.release(approval));
    drop(second.release(approval));
}
