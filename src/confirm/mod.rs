//! Where a held request gets its human's answer, and what the human reads before.
//!
//! Nothing can ask a human yet, so nothing can approve: see [`approval::Approval`].

pub mod approval;
pub mod difference;
pub mod escape;
pub mod form;

mod page;
pub mod pretty;
mod tree;
