//! What a write would change in what the API has now, as far as that can be said before it is sent.
//!
//! Promises: values are compared as JSON, names in any order, numbers by what they are worth, however they are written.
//! Work and size are bounded by the caps below; no input makes it panic. It says what the method means (RFC 9110, RFC
//! 7396 for PATCH), not what the API will do: whoever shows a [`Change`] says so.

use super::pretty::compact;
use super::tree::{Kind, Node, TreeError, by_name};
use crate::request::method::Method;

/// The longest JSON that is compared, in bytes; it may hold 50,000 values, 64 levels deep.
pub const MAX_BYTES: usize = 1 << 20;
/// The most rows that are kept; the rest is counted.
pub const MAX_ROWS: usize = 40;
/// The longest list whose elements are compared one by one.
pub const MAX_LIST: usize = 50;
/// The most characters of one value, and of one name in a path.
pub const MAX_VALUE: usize = 160;

/// What stands in place of a redacted value. Where the API itself has this text, it is not compared either.
const REDACTED: &str = "[redacted]";

/// What a write would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How the new state follows from the body.
    pub basis: Basis,
    /// Each value that would change, at most [`MAX_ROWS`]; in the order of the body, what is removed last.
    pub rows: Vec<Row>,
    /// The rows that there would be beyond those.
    pub more: usize,
    /// Values that would have another value.
    pub changed: usize,
    /// Values that are not there yet.
    pub added: usize,
    /// Values that would be gone.
    pub removed: usize,
    /// Values that the body names and that would stay as they are.
    pub unchanged: usize,
    /// Members, at any depth, that a PATCH does not name.
    pub unnamed: usize,
    /// Values that the body names and that are redacted, so that nobody here knows whether they would change.
    pub hidden: usize,
}

/// How the new state follows from the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// PATCH: the body is merged into it (RFC 7396).
    Merge,
    /// PUT: the body takes its place.
    Replace,
    /// DELETE: there is none.
    Delete,
}

/// One value that would change; with neither an old nor a new one, a value that was redacted and so not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where: `owner.name`, `labels[2]`, `["a name with signs"]`; empty for the whole.
    pub path: String,
    /// What is there now, as JSON, cut where it is long; `None`: nothing.
    pub old: Option<String>,
    /// What would be there, as JSON, cut where it is long; `None`: nothing.
    pub new: Option<String>,
}

/// Why there is nothing to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// GET, HEAD or POST.
    #[error("a {method} does not say what becomes of the thing that it is sent to")]
    Method {
        /// The method.
        method: Method,
    },
    /// A PATCH whose body is no object: JSON Patch, or something of the API's own.
    #[error("the body of the PATCH is no object that could be merged into what the API has now")]
    NoMerge,
    /// A PUT or PATCH without one.
    #[error("there is no body to compare with what the API has now")]
    NoBody,
    /// The state or the body has more bytes or values than are compared.
    #[error("it is too large to compare: more than 1 MiB or 50,000 values")]
    TooLarge,
    /// The state is not strict JSON in UTF-8.
    #[error("what the API has now cannot be read as JSON")]
    BeforeNotJson,
    /// The state is a single value.
    #[error("what the API has now is neither a JSON object nor an array")]
    BeforeNotContainer,
    /// The body is not strict JSON in UTF-8.
    #[error("the body cannot be read as JSON")]
    BodyNotJson,
}

/// Compares `before`, the API's JSON for a GET of the same target (redacted already), with what `method` and `body` would
/// make of it.
///
/// # Errors
/// [`ChangeError`], which says why nothing can be compared.
pub fn change(method: Method, before: &[u8], body: Option<&[u8]>) -> Result<Change, ChangeError> {
    let basis = match method {
        Method::Patch => Basis::Merge,
        Method::Put => Basis::Replace,
        Method::Delete => Basis::Delete,
        Method::Get | Method::Head | Method::Post => return Err(ChangeError::Method { method }),
    };
    let before = tree(before, ChangeError::BeforeNotJson)?;
    if !matches!(before.kind, Kind::Object(_) | Kind::Array(_)) {
        return Err(ChangeError::BeforeNotContainer);
    }
    let mut comparison = Comparison::new(basis);
    if basis == Basis::Delete {
        comparison.vanish(&before);
        return Ok(comparison.change);
    }
    let body = tree(body.ok_or(ChangeError::NoBody)?, ChangeError::BodyNotJson)?;
    match basis {
        Basis::Merge if !matches!(body.kind, Kind::Object(_)) => return Err(ChangeError::NoMerge),
        Basis::Merge => comparison.merge(&before, &body),
        Basis::Replace | Basis::Delete => comparison.compare(&before, &body),
    }
    Ok(comparison.change)
}

fn tree(json: &[u8], unreadable: ChangeError) -> Result<Node<'_>, ChangeError> {
    if json.len() > MAX_BYTES {
        return Err(ChangeError::TooLarge);
    }
    let text = std::str::from_utf8(json).map_err(|_| unreadable)?;
    Node::parse(text).map_err(|error| match error {
        TreeError::NotJson => unreadable,
        TreeError::TooLarge => ChangeError::TooLarge,
    })
}

/// One step of a path.
#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

struct Comparison<'a> {
    change: Change,
    /// The way from the root to the value that is looked at.
    way: Vec<Step<'a>>,
}

impl<'a> Comparison<'a> {
    fn new(basis: Basis) -> Self {
        let change = Change {
            basis,
            rows: Vec::new(),
            more: 0,
            changed: 0,
            added: 0,
            removed: 0,
            unchanged: 0,
            unnamed: 0,
            hidden: 0,
        };
        Self { change, way: Vec::new() }
    }

    fn at(&mut self, step: Step<'a>, then: impl FnOnce(&mut Self)) {
        self.way.push(step);
        then(self);
        self.way.pop();
    }

    /// RFC 7396 section 2.
    fn merge(&mut self, before: &'a Node<'_>, patch: &'a Node<'_>) {
        let Kind::Object(new) = &patch.kind else {
            return self.compare(before, patch);
        };
        let Kind::Object(old) = &before.kind else {
            return if stands_in(before) { self.hide() } else { self.replace(before, || merged(patch)) };
        };
        let named = by_name(new);
        self.change.unnamed += old.iter().filter(|(name, _)| !named.contains_key(&**name)).count();
        let old = by_name(old);
        for (name, value) in new {
            self.at(Step::Name(name), |this| match old.get(&**name) {
                Some(old) if value.is_null() => this.remove(old),
                Some(old) => this.merge(old, value),
                None if value.is_null() => this.change.unchanged += 1,
                None => this.add(|| merged(value)),
            });
        }
    }

    fn compare(&mut self, before: &'a Node<'_>, after: &'a Node<'_>) {
        match (&before.kind, &after.kind) {
            (Kind::Object(old), Kind::Object(new)) if !(old.is_empty() && new.is_empty()) => {
                let (old_names, new_names) = (by_name(old), by_name(new));
                for (name, value) in new {
                    self.at(Step::Name(name), |this| match old_names.get(&**name) {
                        Some(old) => this.compare(old, value),
                        None => this.add(|| compact(value.text)),
                    });
                }
                for (name, value) in old.iter().filter(|(name, _)| !new_names.contains_key(&**name)) {
                    self.at(Step::Name(name), |this| this.remove(value));
                }
            }
            (Kind::Array(old), Kind::Array(new)) if (1..=MAX_LIST).contains(&old.len().max(new.len())) => {
                for index in 0..old.len().max(new.len()) {
                    self.at(Step::Index(index), |this| match (old.get(index), new.get(index)) {
                        (Some(old), Some(new)) => this.compare(old, new),
                        (Some(old), None) => this.remove(old),
                        (None, Some(new)) => this.add(|| compact(new.text)),
                        (None, None) => {}
                    });
                }
            }
            (Kind::Object(_) | Kind::Array(_) | Kind::Text(_) | Kind::Number | Kind::Word, _) => {
                let same = before.same(after);
                if stands_in(before) || (same && is_redacted(before)) {
                    self.hide();
                } else if same {
                    self.change.unchanged += 1;
                } else {
                    self.replace(before, || compact(after.text));
                }
            }
        }
    }

    /// What a DELETE takes away: each top-level value, the containers as counts. What is empty is something, too.
    fn vanish(&mut self, before: &'a Node<'_>) {
        match &before.kind {
            Kind::Object(members) if members.is_empty() => self.remove_counted(before),
            Kind::Array(elements) if elements.is_empty() => self.remove_counted(before),
            Kind::Object(members) => {
                for (name, value) in members {
                    self.at(Step::Name(name), |this| this.remove_counted(value));
                }
            }
            Kind::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    self.at(Step::Index(index), |this| this.remove_counted(value));
                }
            }
            Kind::Text(_) | Kind::Number | Kind::Word => self.remove_counted(before),
        }
    }

    fn hide(&mut self) {
        self.change.hidden += 1;
        self.row(|| (None, None));
    }

    fn remove_counted(&mut self, value: &Node<'_>) {
        self.change.removed += 1;
        self.row(|| (Some(counted(value)), None));
    }

    fn remove(&mut self, value: &Node<'_>) {
        self.change.removed += 1;
        self.row(|| (Some(cut(&compact(value.text))), None));
    }

    fn add(&mut self, new: impl FnOnce() -> String) {
        self.change.added += 1;
        self.row(|| (None, Some(cut(&new()))));
    }

    fn replace(&mut self, old: &Node<'_>, new: impl FnOnce() -> String) {
        self.change.changed += 1;
        self.row(|| (Some(cut(&compact(old.text))), Some(cut(&new()))));
    }

    fn row(&mut self, values: impl FnOnce() -> (Option<String>, Option<String>)) {
        if self.change.rows.len() == MAX_ROWS {
            self.change.more += 1;
            return;
        }
        let (old, new) = values();
        self.change.rows.push(Row { path: path(&self.way), old, new });
    }
}

/// Whether a value, or something in it, stands there in place of what the API has.
fn is_redacted(value: &Node<'_>) -> bool {
    match &value.kind {
        Kind::Object(members) => members.iter().any(|(_, value)| is_redacted(value)),
        Kind::Array(elements) => elements.iter().any(is_redacted),
        Kind::Text(_) | Kind::Number | Kind::Word => stands_in(value),
    }
}

/// Whether a value stands there in place of what the API has.
fn stands_in(value: &Node<'_>) -> bool {
    matches!(&value.kind, Kind::Text(text) if text == REDACTED)
}

/// What a merge makes of a value where nothing was: the members that are null stay out (RFC 7396 section 2).
fn merged(value: &Node<'_>) -> String {
    let Kind::Object(members) = &value.kind else {
        return compact(value.text);
    };
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    let kept: Vec<_> = kept.map(|(name, value)| format!("{}: {}", quoted(name), merged(value))).collect();
    format!("{{{}}}", kept.join(", "))
}

fn counted(value: &Node<'_>) -> String {
    let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    match &value.kind {
        Kind::Object(members) => plural(members.len(), "member"),
        Kind::Array(elements) => plural(elements.len(), "element"),
        Kind::Text(_) | Kind::Number | Kind::Word => cut(value.text),
    }
}

fn path(way: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in way {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Name(name) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
                if name.is_empty() || !name.bytes().all(plain) {
                    path.push_str(&format!("[{}]", cut(&quoted(name))));
                } else {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(&cut(name));
                }
            }
        }
    }
    path
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// The beginning of a text, and where that is not all, how long it is.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
    }
}

#[cfg(test)]
mod tests;
