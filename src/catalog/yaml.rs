//! YAML becomes JSON text, so that one reader does for both.
//!
//! Promises: the JSON says what the YAML said under the core schema, keys being strings. It refuses what would grow
//! without end: an alias is put in as the text of its anchor, and the text has a greatest length; values and anchors have
//! a greatest number, since reading them takes its time and memory. Numbers keep their digits; what is no number of JSON (`.inf`, `0x1f`, `012`) is a string.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::MAX_DOCUMENT;
use super::excerpt::Excerpt;
use super::warning::DocumentError;

/// The deepest nesting.
const MAX_DEPTH: usize = 100;

/// The most scalars, aliases, beginnings and ends; a tenth of that is what documents of 10 MB hold.
const MAX_EVENTS: usize = 2_000_000;

/// The most anchors.
const MAX_ANCHORS: usize = 10_000;

/// The JSON that a YAML document stands for.
pub(super) fn to_json(text: &str) -> Result<String, DocumentError> {
    // The reader puts the text of such a directive into every tag that uses it, and nobody needs one.
    if let Some(line) = text.lines().take_while(|line| !line.starts_with("---")).position(|l| l.starts_with("%TAG")) {
        return Err(DocumentError::Yaml { line: line + 1, found: Excerpt::of("`%TAG` is not read") });
    }
    let mut writer = Writer { json: Vec::with_capacity(text.len()), ..Writer::default() };
    let mut documents = 0;
    for (count, event) in Parser::new_from_str(text).enumerate() {
        let (event, span) = event
            .map_err(|error| DocumentError::Yaml { line: error.marker().line(), found: Excerpt::of(error.info()) })?;
        let line = span.start.line();
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
        }
        if documents > 1 {
            return Err(DocumentError::Yaml { line, found: Excerpt::of("a second document begins") });
        }
        writer.event(event, line)?;
        if writer.json.len() > MAX_DOCUMENT {
            return Err(DocumentError::YamlTooLong { line });
        }
        if count > MAX_EVENTS || writer.anchors.len() > MAX_ANCHORS {
            return Err(DocumentError::YamlTooMany { line });
        }
    }
    if writer.json.is_empty() {
        writer.json.extend(b"null");
    }
    // Scalars are text, and all else is ASCII.
    Ok(String::from_utf8(writer.json).unwrap_or_default())
}

/// What an open container waits for.
enum Open {
    Sequence { empty: bool },
    Key { empty: bool },
    Value,
}

#[derive(Default)]
struct Writer {
    json: Vec<u8>,
    open: Vec<(Open, usize, usize)>,
    anchors: HashMap<usize, Range<usize>>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), DocumentError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::Alias(anchor) => self.alias(anchor, line)?,
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), line)?,
            Event::SequenceStart(anchor, _) => self.begin(b'[', Open::Sequence { empty: true }, anchor, line)?,
            Event::MappingStart(anchor, _) => self.begin(b'{', Open::Key { empty: true }, anchor, line)?,
            Event::SequenceEnd => self.end(b']'),
            Event::MappingEnd => self.end(b'}'),
        }
        Ok(())
    }

    fn begin(&mut self, bracket: u8, open: Open, anchor: usize, line: usize) -> Result<(), DocumentError> {
        if self.at_key() {
            return Err(DocumentError::Yaml { line, found: Excerpt::of("a key is not a scalar") });
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(DocumentError::YamlTooDeep { line });
        }
        self.before();
        self.open.push((open, anchor, self.json.len()));
        self.json.push(bracket);
        Ok(())
    }

    fn end(&mut self, bracket: u8) {
        self.json.push(bracket);
        if let Some((_, anchor, from)) = self.open.pop() {
            self.keep(anchor, from);
        }
        self.after();
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), DocumentError> {
        let key = self.at_key();
        self.before();
        let from = self.json.len();
        let plain = style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix != "str");
        match (plain && !key).then(|| bare(text)).flatten() {
            Some(bare) => self.json.extend(bare.bytes()),
            // Writing text to memory cannot fail.
            None => serde_json::to_writer(&mut self.json, text).map_err(|_| DocumentError::YamlTooLong { line })?,
        }
        self.keep(anchor, from);
        self.after();
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), DocumentError> {
        let Some(range) = self.anchors.get(&anchor).cloned() else {
            return Err(DocumentError::Yaml { line, found: Excerpt::of("an alias stands before its anchor ends") });
        };
        if self.at_key() && self.json.get(range.start) != Some(&b'"') {
            return Err(DocumentError::Yaml { line, found: Excerpt::of("a key is not a string") });
        }
        if self.json.len() + range.len() > MAX_DOCUMENT {
            return Err(DocumentError::YamlTooLong { line });
        }
        self.before();
        self.json.extend_from_within(range);
        self.after();
        Ok(())
    }

    fn keep(&mut self, anchor: usize, from: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, from..self.json.len());
        }
    }

    fn at_key(&self) -> bool {
        matches!(self.open.last(), Some((Open::Key { .. }, ..)))
    }

    /// What parts this node from the one before.
    fn before(&mut self) {
        let separator = match self.open.last_mut() {
            Some((Open::Sequence { empty } | Open::Key { empty }, ..)) => {
                let first = std::mem::replace(empty, false);
                (!first).then_some(b',')
            }
            Some((Open::Value, ..)) => Some(b':'),
            None => None,
        };
        self.json.extend(separator);
    }

    fn after(&mut self) {
        if let Some((open, ..)) = self.open.last_mut() {
            match open {
                Open::Key { .. } => *open = Open::Value,
                Open::Value => *open = Open::Key { empty: false },
                Open::Sequence { .. } => {}
            }
        }
    }
}

/// The JSON word or number that a plain scalar stands for (YAML 1.2.2 section 10.3.2); `None` for a string.
fn bare(text: &str) -> Option<Cow<'_, str>> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Cow::Borrowed("null")),
        "true" | "True" | "TRUE" => Some(Cow::Borrowed("true")),
        "false" | "False" | "FALSE" => Some(Cow::Borrowed("false")),
        number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            serde_json::from_str::<&serde_json::value::RawValue>(number).ok().map(|raw| Cow::Borrowed(raw.get()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_says_in_json_what_it_said() {
        let cases = [
            ("a mapping", "a: 1\nb: [x, 'y', \"z\\n\"]\n", r#"{"a":1,"b":["x","y","z\n"]}"#),
            ("words", "a: true\nb: ~\nc:\nd: 'true'\n", r#"{"a":true,"b":null,"c":null,"d":"true"}"#),
            ("numbers keep digits", "a: 1.50\nb: 012\nc: 0x1f\nd: -3\n", r#"{"a":1.50,"b":"012","c":"0x1f","d":-3}"#),
            ("keys are strings", "200: ok\ntrue: x\n", r#"{"200":"ok","true":"x"}"#),
            ("a block", "a: |\n  one\n  two\n", r#"{"a":"one\ntwo\n"}"#),
            ("an alias", "a: &x {b: 1}\nc: *x\n", r#"{"a":{"b":1},"c":{"b":1}}"#),
            ("a tag", "a: !!str 1\n", r#"{"a":"1"}"#),
            ("nothing in it", "a: {}\nb: []\n", r#"{"a":{},"b":[]}"#),
            ("sequences of mappings", "- a: 1\n  b: 2\n- c\n", r#"[{"a":1,"b":2},"c"]"#),
        ];
        for (name, yaml, json) in cases {
            assert_eq!(to_json(yaml).as_deref(), Ok(json), "{name}");
        }
    }

    #[test]
    fn a_bomb_is_one_clear_error() {
        let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let before = vec![format!("*a{}", n - 1); 10].join(", ");
            yaml.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        assert!(matches!(to_json(&yaml), Err(DocumentError::YamlTooLong { .. })));
        assert!(matches!(to_json("a: &a [*a]\n"), Err(DocumentError::Yaml { .. })));
        let deep = "[".repeat(5_000);
        assert!(to_json(&deep).is_err());
        assert!(matches!(to_json("? [a]\n: b\n"), Err(DocumentError::Yaml { .. })));
        assert!(matches!(to_json("a: 1\n---\nb: 2\n"), Err(DocumentError::Yaml { .. })));
        assert!(matches!(to_json("a: [1\n"), Err(DocumentError::Yaml { .. })));
        let anchors: String = (0..=MAX_ANCHORS).map(|n| format!("- &a{n} 1\n")).collect();
        assert!(matches!(to_json(&anchors), Err(DocumentError::YamlTooMany { line: 10_001 })));
        assert!(matches!(to_json(&"- a\n".repeat(MAX_EVENTS)), Err(DocumentError::YamlTooMany { .. })));
        let tags = "%YAML 1.2\n%TAG !e! tag:example.test,2000:\n---\na: !e!x 1\n";
        assert!(matches!(to_json(tags), Err(DocumentError::Yaml { line: 2, .. })));
        assert_eq!(to_json("%YAML 1.2\n---\na: |\n  %TAG\nb: 1\n").as_deref(), Ok(r#"{"a":"%TAG\n","b":1}"#));
    }
}
