//! Settings as people write them: JSON in which comments and a comma at the end of a list may stand.
//!
//! Promises that a change touches one member and nothing else: every other byte stays where it is, comments and order
//! included, and the changed text was read again before anybody gets it. Refuses a text that it cannot read whole, and
//! a name that stands twice in an object, since readers differ in which of the two counts.

use std::ops::Range;

use serde_json::{Map, Value};

/// How deep settings may nest.
const MAX_DEPTH: usize = 64;

/// The indentation where the text shows none.
const INDENT: &str = "  ";

/// A text that was read whole.
#[derive(Debug)]
pub(super) struct Settings {
    text: String,
    root: Node,
}

/// Why a text is none that can be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// No JSON, with or without comments.
    #[error("it is no JSON at line {line}")]
    Syntax {
        /// From 1.
        line: usize,
    },
    /// One object has a name twice.
    #[error("the name `{}` stands twice in one object", name.escape_debug())]
    Twice {
        /// The name.
        name: String,
    },
    /// The top, or the table of servers, is something else than an object.
    #[error("{0} is no object")]
    NoObject(&'static str),
    /// The change would touch more than it should.
    #[error("the change cannot be made without touching what stands beside it")]
    Entangled,
}

/// A value and where it stands.
#[derive(Debug)]
struct Node {
    span: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Scalar(Value),
}

#[derive(Debug)]
struct Member {
    name: String,
    /// Where the name begins.
    start: usize,
    value: Node,
    /// Where the comma behind it stands, if one does.
    comma: Option<usize>,
}

/// One piece of the text, and what comes in its place.
type Edit = (Range<usize>, String);

impl Settings {
    /// Reads a text; an empty one is an empty object.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub(super) fn read(text: &str) -> Result<Self, SettingsError> {
        let text = if text.trim().is_empty() { "{}\n".to_owned() } else { text.to_owned() };
        let mut reader = Reader { text: &text, at: 0 };
        let root = reader.node(0)?;
        reader.skip()?;
        if reader.at != text.len() {
            return Err(reader.wrong());
        }
        match root.kind {
            Kind::Object(_) => Ok(Self { text, root }),
            Kind::Array(_) | Kind::Scalar(_) => Err(SettingsError::NoObject("the whole text")),
        }
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The members of the object under `table`, in order; none where there is no such object.
    pub(super) fn entries(&self, table: &str) -> Vec<(&str, Value)> {
        let found = self.root.member(table).map(|member| member.value.members()).unwrap_or_default();
        found.iter().map(|member| (member.name.as_str(), member.value.value())).collect()
    }

    /// The member `name` of the object under `table`.
    pub(super) fn entry(&self, table: &str, name: &str) -> Option<Value> {
        Some(self.root.member(table)?.value.member(name)?.value.value())
    }

    /// The text with `entry` under that name.
    ///
    /// # Errors
    /// [`SettingsError::NoObject`] and [`SettingsError::Entangled`].
    pub(super) fn with(&self, table: &str, name: &str, entry: &Value) -> Result<String, SettingsError> {
        let edits = match self.root.member(table) {
            None => self.insert(&self.root, table, &one(name, entry.clone())),
            Some(Member { value, .. }) => match (&value.kind, value.member(name)) {
                (Kind::Array(_) | Kind::Scalar(_), _) => return Err(SettingsError::NoObject("the table of servers")),
                (Kind::Object(_), None) => self.insert(value, name, entry),
                (Kind::Object(_), Some(old)) => self.exchange(old, entry)?,
            },
        };
        let mut expected = self.root.value();
        if let Some(members) = expected.as_object_mut() {
            let of = members.entry(table).or_insert_with(|| Value::Object(Map::new()));
            of.as_object_mut().map(|of| of.insert(name.to_owned(), entry.clone()));
        }
        self.changed(edits, &expected)
    }

    /// The text without the member of that name.
    ///
    /// # Errors
    /// [`SettingsError::Entangled`].
    pub(super) fn without(&self, table: &str, name: &str) -> Result<String, SettingsError> {
        let Some(of) = self.root.member(table) else { return Ok(self.text.clone()) };
        let mut expected = self.root.value();
        let members = expected.get_mut(table).and_then(Value::as_object_mut);
        members.map(|members| members.shift_remove(name));
        self.changed(self.remove(&of.value, name), &expected)
    }

    /// The text after these edits, if it says what it should.
    fn changed(&self, mut edits: Vec<Edit>, expected: &Value) -> Result<String, SettingsError> {
        edits.sort_by_key(|(range, _)| range.start);
        let mut text = String::with_capacity(self.text.len());
        let mut from = 0;
        for (range, new) in edits {
            text.push_str(self.text.get(from..range.start).ok_or(SettingsError::Entangled)?);
            text.push_str(&new);
            from = range.end;
        }
        text.push_str(self.text.get(from..).ok_or(SettingsError::Entangled)?);
        match Self::read(&text) {
            Ok(read) if read.root.value() == *expected && same_comments(&self.text, &text) => Ok(text),
            Ok(_) | Err(_) => Err(SettingsError::Entangled),
        }
    }

    /// Another value for a member.
    fn exchange(&self, member: &Member, value: &Value) -> Result<Vec<Edit>, SettingsError> {
        let old = self.text.get(member.value.span.clone()).unwrap_or_default();
        if !comments(old).is_empty() {
            return Err(SettingsError::Entangled);
        }
        let new = if old.contains('\n') || !self.is_one_line() {
            rendered(value, self.indent_at(member.start), self.unit())
        } else {
            value.to_string()
        };
        Ok(vec![(member.value.span.clone(), new)])
    }

    /// One more member, the last one.
    fn insert(&self, object: &Node, name: &str, value: &Value) -> Vec<Edit> {
        let close = object.span.end.saturating_sub(1);
        let last = object.members().last();
        let mut edits = Vec::new();
        if let Some(last) = last.filter(|last| last.comma.is_none()) {
            edits.push((last.value.span.end..last.value.span.end, ",".to_owned()));
        }
        let one_line =
            last.is_some() && self.text.get(object.span.clone()).is_some_and(|within| !within.contains('\n'));
        if one_line {
            let member = format!(" {}: {value}", Value::from(name));
            let after = last.and_then(|last| last.comma).map_or(close, |comma| comma + 1);
            let at = if after == close { self.content_end(object) } else { after };
            edits.push((at..at, member));
            return edits;
        }
        let (inner, outer) = match last {
            Some(last) => (self.indent_at(last.start).to_owned(), None),
            None => {
                let outer = self.indent_at(object.span.start).to_owned();
                (format!("{outer}{}", self.unit()), Some(outer))
            }
        };
        let comma = if last.is_some_and(|last| last.comma.is_some()) { "," } else { "" };
        let member = format!("\n{inner}{}: {}{comma}", Value::from(name), rendered(value, &inner, self.unit()));
        let end = self.content_end(object);
        match outer {
            // What stands before the brace is nothing but white space.
            Some(outer) => edits.push((end..close, format!("{member}\n{outer}"))),
            None => edits.push((end..end, member)),
        }
        edits
    }

    fn remove(&self, object: &Node, name: &str) -> Vec<Edit> {
        let members = object.members();
        let Some(place) = members.iter().position(|member| member.name == name) else { return Vec::new() };
        let Some(member) = members.get(place) else { return Vec::new() };
        let before = self.text.get(..member.start).unwrap_or_default().trim_end().len();
        let end = member.comma.map_or(member.value.span.end, |comma| comma + 1);
        let previous = place.checked_sub(1).and_then(|place| members.get(place));
        let mut edits = vec![(before..end, String::new())];
        match (previous.and_then(|previous| previous.comma), member.comma) {
            // It was the last, and nobody writes a comma behind the last: the one before it has none either.
            (Some(comma), None) if comma < before => {
                if comma + 1 == before {
                    edits = vec![(comma..end, String::new())];
                } else {
                    edits.push((comma..comma + 1, String::new()));
                }
            }
            (Some(_), None | Some(_)) | (None, _) => {}
        }
        let close = object.span.end.saturating_sub(1);
        let alone = members.len() == 1
            && before == object.span.start + 1
            && self.text.get(end..close).is_some_and(|rest| rest.trim().is_empty());
        if alone {
            edits = vec![(before..close, String::new())];
        }
        edits
    }

    /// Behind the last thing in an object that is no white space.
    fn content_end(&self, object: &Node) -> usize {
        let close = object.span.end.saturating_sub(1);
        self.text.get(..close).unwrap_or_default().trim_end().len()
    }

    fn is_one_line(&self) -> bool {
        !self.text.trim_end().contains('\n')
    }

    /// The white space that the line of this place begins with.
    fn indent_at(&self, at: usize) -> &str {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(line..).unwrap_or_default();
        let length = line.len() - line.trim_start_matches([' ', '\t']).len();
        line.get(..length).unwrap_or_default()
    }

    /// By what one level is deeper than the other.
    fn unit(&self) -> &str {
        let first = self.root.members().first().map(|member| self.indent_at(member.start));
        first.filter(|unit| !unit.is_empty()).unwrap_or(INDENT)
    }
}

impl Node {
    fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Object(members) => members,
            Kind::Array(_) | Kind::Scalar(_) => &[],
        }
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.name == name)
    }

    fn value(&self) -> Value {
        match &self.kind {
            Kind::Object(members) => {
                let members = members.iter().map(|member| (member.name.clone(), member.value.value()));
                Value::Object(members.collect())
            }
            Kind::Array(elements) => Value::Array(elements.iter().map(Self::value).collect()),
            Kind::Scalar(value) => value.clone(),
        }
    }
}

fn one(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// A value over several lines, the first of which stands behind a name that is indented so.
fn rendered(value: &Value, indent: &str, unit: &str) -> String {
    let deeper = format!("{indent}{unit}");
    match value {
        Value::Object(members) if !members.is_empty() => {
            let member = |(name, value): (&String, &Value)| {
                format!("{deeper}{}: {}", Value::from(name.as_str()), rendered(value, &deeper, unit))
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{\n{}\n{indent}}}", members.join(",\n"))
        }
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(Value::to_string).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn same_comments(before: &str, after: &str) -> bool {
    comments(before) == comments(after)
}

/// The comments of a text, which is or was part of settings.
fn comments(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut reader = Reader { text, at: 0 };
    while let Some(byte) = reader.peek() {
        let start = reader.at;
        match byte {
            b'"' if reader.string().is_ok() => {}
            b'/' if reader.comment() == Ok(Comment::Read) => {
                found.extend(text.get(start..reader.at).map(str::trim_end))
            }
            _ => reader.at += 1,
        }
    }
    found
}

/// Whether there was a comment.
#[derive(Debug, PartialEq, Eq)]
enum Comment {
    Read,
    None,
}

/// One pass over a text.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self) -> SettingsError {
        SettingsError::Syntax { line: self.text.get(..self.at).unwrap_or_default().matches('\n').count() + 1 }
    }

    /// Goes on past this byte, if it is the next.
    fn take(&mut self, byte: u8) -> Option<usize> {
        let at = self.at;
        (self.peek() == Some(byte)).then(|| {
            self.at += 1;
            at
        })
    }

    /// Past white space and comments.
    fn skip(&mut self) -> Result<(), SettingsError> {
        loop {
            while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
                self.at += 1;
            }
            if self.comment()? == Comment::None {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<Comment, SettingsError> {
        let rest = self.rest();
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(inside) = rest.strip_prefix("/*") {
            inside.find("*/").map(|end| end + 4).ok_or_else(|| self.wrong())?
        } else {
            return Ok(Comment::None);
        };
        self.at += length;
        Ok(Comment::Read)
    }

    fn node(&mut self, depth: usize) -> Result<Node, SettingsError> {
        self.skip()?;
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(self.wrong());
        }
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.members(depth)?),
            Some(b'[') => Kind::Array(self.elements(depth)?),
            Some(b'"') => Kind::Scalar(self.string()?.into()),
            Some(_) | None => Kind::Scalar(self.word()?),
        };
        Ok(Node { span: start..self.at, kind })
    }

    fn members(&mut self, depth: usize) -> Result<Vec<Member>, SettingsError> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        loop {
            self.skip()?;
            let separated = members.last().is_none_or(|last| last.comma.is_some());
            if self.take(b'}').is_some() {
                return Ok(members);
            }
            let start = self.at;
            if !separated || self.peek() != Some(b'"') {
                return Err(self.wrong());
            }
            let name = self.string()?;
            if members.iter().any(|member| member.name == name) {
                return Err(SettingsError::Twice { name });
            }
            self.skip()?;
            self.take(b':').ok_or_else(|| self.wrong())?;
            let value = self.node(depth + 1)?;
            self.skip()?;
            let comma = self.take(b',');
            members.push(Member { name, start, value, comma });
        }
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Node>, SettingsError> {
        self.at += 1;
        let mut elements = Vec::new();
        let mut separated = true;
        loop {
            self.skip()?;
            if self.take(b']').is_some() {
                return Ok(elements);
            }
            if !separated {
                return Err(self.wrong());
            }
            elements.push(self.node(depth + 1)?);
            self.skip()?;
            separated = self.take(b',').is_some();
        }
    }

    fn string(&mut self) -> Result<String, SettingsError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.wrong()),
            }
        }
        self.at += 1;
        let token = self.text.get(start..self.at).ok_or_else(|| self.wrong())?;
        serde_json::from_str(token).map_err(|_| self.wrong())
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<Value, SettingsError> {
        let rest = self.rest();
        let word = |c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c));
        let length = rest.find(word).unwrap_or(rest.len());
        let value = serde_json::from_str(rest.get(..length).unwrap_or_default()).map_err(|_| self.wrong())?;
        self.at += length;
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
