//! The document behind `builtin:allstacks`.

/// OpenAPI 3.1, as reached by allstacks-mcp 0.1.6; see tests/data/allstacks/differences.md for where we differ.
pub(super) const DOCUMENT: &str = include_str!("allstacks.json");
