//! A JSON text as a tree that still knows how everything was written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::pretty::Tokens;
use crate::json::{self, Numbers};

/// The deepest nesting, in containers.
const DEPTH: usize = 64;
/// The most values in one tree.
const NODES: usize = 50_000;

/// One value.
pub(super) struct Node<'t> {
    /// As it was written.
    pub(super) text: &'t str,
    pub(super) kind: Kind<'t>,
}

pub(super) enum Kind<'t> {
    /// The members in order; no name stands twice.
    Object(Vec<(Cow<'t, str>, Node<'t>)>),
    Array(Vec<Node<'t>>),
    /// A string without its escapes.
    Text(Cow<'t, str>),
    Number,
    /// `true`, `false` or `null`.
    Word,
}

/// Why a text gives no tree.
pub(super) enum TreeError {
    NotJson,
    TooLarge,
}

impl<'t> Node<'t> {
    /// Reads strict JSON, with numbers of any length.
    pub(super) fn parse(text: &'t str) -> Result<Self, TreeError> {
        json::scan_with(text, DEPTH, Numbers::Any, &mut |_| ()).map_err(|_| TreeError::NotJson)?;
        let mut builder = Builder { tokens: Tokens::of(text), nodes: 0 };
        builder.node()
    }

    pub(super) fn is_null(&self) -> bool {
        self.text == "null"
    }

    /// Whether both are the same JSON value: members in any order, numbers by what they are worth.
    pub(super) fn same(&self, other: &Node<'_>) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Object(ours), Kind::Object(theirs)) => {
                let theirs = by_name(theirs);
                ours.len() == theirs.len()
                    && ours.iter().all(|(name, node)| theirs.get(&**name).is_some_and(|other| node.same(other)))
            }
            (Kind::Array(ours), Kind::Array(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(node, other)| node.same(other))
            }
            (Kind::Text(ours), Kind::Text(theirs)) => ours == theirs,
            (Kind::Number, Kind::Number) => json::same_number(self.text, other.text),
            (Kind::Word, Kind::Word) => self.text == other.text,
            (Kind::Object(_) | Kind::Array(_) | Kind::Text(_) | Kind::Number | Kind::Word, _) => false,
        }
    }
}

pub(super) type Names<'n, 't> = BTreeMap<&'n str, &'n Node<'t>>;

/// The members of an object to look up.
pub(super) fn by_name<'n, 't>(members: &'n [(Cow<'t, str>, Node<'t>)]) -> Names<'n, 't> {
    members.iter().map(|(name, node)| (&**name, node)).collect()
}

/// Builds from a text whose grammar was checked: what the grammar excludes is not looked for again.
struct Builder<'t> {
    tokens: Tokens<'t>,
    nodes: usize,
}

impl<'t> Builder<'t> {
    fn node(&mut self) -> Result<Node<'t>, TreeError> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(TreeError::TooLarge);
        }
        let from = self.tokens.rest().trim_start_matches([' ', '\t', '\n', '\r']);
        let token = self.tokens.next().ok_or(TreeError::NotJson)?;
        let kind = match token {
            "{" => Kind::Object(self.members()?),
            "[" => Kind::Array(self.elements()?),
            "true" | "false" | "null" => Kind::Word,
            string if string.starts_with('"') => Kind::Text(json::string(string).ok_or(TreeError::NotJson)?),
            _ => Kind::Number,
        };
        let length = from.len() - self.tokens.rest().len();
        Ok(Node { text: from.get(..length).unwrap_or_default(), kind })
    }

    fn members(&mut self) -> Result<Vec<(Cow<'t, str>, Node<'t>)>, TreeError> {
        let mut members = Vec::new();
        while let Some(token) = self.tokens.next() {
            match token {
                "}" => return Ok(members),
                "," => {}
                name => {
                    let name = json::string(name).ok_or(TreeError::NotJson)?;
                    self.tokens.next();
                    members.push((name, self.node()?));
                }
            }
        }
        Err(TreeError::NotJson)
    }

    fn elements(&mut self) -> Result<Vec<Node<'t>>, TreeError> {
        let mut elements = Vec::new();
        loop {
            match self.tokens.peek() {
                Some("]") => {
                    self.tokens.next();
                    return Ok(elements);
                }
                Some(",") => {
                    self.tokens.next();
                }
                Some(_) => elements.push(self.node()?),
                None => return Err(TreeError::NotJson),
            }
        }
    }
}
