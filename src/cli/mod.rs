//! The commands. Exit codes: 0 good, 1 findings or a refused verdict, 2 unusable arguments or files.

pub mod check;

/// Something was found or refused.
const FOUND: u8 = 1;
/// Arguments or files that cannot be used.
const UNUSABLE: u8 = 2;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// For programs: one JSON document.
    Json,
}
