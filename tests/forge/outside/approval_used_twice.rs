// refused: E0382
//! Lets two requests go with one person's approval.

use portcullis::confirm::approval::Approval;
use portcullis::policy::Held;

pub fn forge(first: Held, second: Held, approval: Approval) {
    drop(first.release(approval));
    drop(second.release(approval));
}
