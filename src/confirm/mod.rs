//! Where a held request gets its human's answer.
//!
//! Nothing can ask a human yet, so nothing can approve: see [`approval::Approval`].

pub mod approval;
