//! `portcullis audit show`, `tail`, `stats` and `export`: what a log says, for people and for other tools.

pub(super) mod calls;
pub(super) mod export;
pub(super) mod read;
pub(super) mod record;
pub(super) mod select;
pub(super) mod show;
pub(super) mod stats;
pub(super) mod text;
