//! Checks between rules.

use super::file::File;
use super::finding::Findings;

pub(super) fn check(_file: &File, _findings: &mut Findings<'_>) {}
