//! The template of a path: literal text and variables, each variable filled with part of one segment.
//!
//! Promises: a filled template has exactly the template's segments. It refuses a value that would end, begin or empty a
//! segment, in any spelling: with a slash or backslash, a percent sign, `?`, `#`, `;`, a control, or nothing but dots.

use std::ops::Range;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::arguments::ArgumentError;
use super::warning::TemplateError;
use crate::request::fold::is_invisible;
use crate::request::path::Path;

/// What R2.2 does not let stand raw and R2.3 lets be encoded.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'`');

/// The longest name of a variable, in bytes.
const MAX_VARIABLE: usize = 128;

/// The longest template, in bytes: any path that it could make would be longer (R2.8).
const MAX_TEMPLATE: usize = 8_192;

/// A path with variables, as the document writes it.
#[derive(Debug)]
pub(super) struct Template {
    text: Box<str>,
    /// Where the names of the variables stand in the text, in order.
    variables: Vec<Range<usize>>,
}

impl Template {
    /// Reads a key of `paths`.
    pub(super) fn read(text: &str) -> Result<Self, TemplateError> {
        // Before anything is made of it: a key of `paths` may be as long as the document.
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong);
        }
        // The agent reads the path as it stands there.
        if let Some(found) = text.chars().find(|c| is_invisible(*c)) {
            return Err(TemplateError::Invisible { found });
        }
        let mut template = Self { text: text.into(), variables: Vec::new() };
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(TemplateError::Braces)?;
            if name.is_empty() || name.len() > MAX_VARIABLE || name.contains(['{', '/']) || literal.contains('}') {
                return Err(TemplateError::Braces);
            }
            if template.variables().any(|known| known == name) {
                return Err(TemplateError::Twice);
            }
            let end = text.len() - after.len() - 1;
            template.variables.push(end - name.len()..end);
            rest = after;
        }
        if rest.contains('}') {
            return Err(TemplateError::Braces);
        }
        Path::parse(&template.with(|_| "x".to_owned()))?;
        Ok(template)
    }

    /// The text as the document has it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The names of the variables, in order.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter_map(|range| self.text.get(range.clone()))
    }

    /// The path with encoded values in the places of the variables.
    pub(super) fn with(&self, mut value: impl FnMut(&str) -> String) -> String {
        let mut path = String::with_capacity(self.text.len());
        let mut from = 0;
        for (range, name) in self.variables.iter().zip(self.variables()) {
            // One before and one behind are the braces.
            path.push_str(self.text.get(from..range.start - 1).unwrap_or_default());
            path.push_str(&value(name));
            from = range.end + 1;
        }
        path.push_str(self.text.get(from..).unwrap_or_default());
        path
    }
}

/// A value as part of one segment; `argument` is for the message.
pub(super) fn encode(argument: &str, value: &str) -> Result<String, ArgumentError> {
    let refused = |found: &'static str| ArgumentError::Segment { name: argument.to_owned(), found };
    if value.is_empty() {
        return Err(refused("is empty"));
    }
    if value.chars().all(|c| c == '.' || c.is_whitespace()) {
        return Err(refused("holds nothing but dots"));
    }
    let barred = [
        ('/', "holds `/`"),
        ('\\', "holds `\\`"),
        ('?', "holds `?`"),
        ('#', "holds `#`"),
        ('%', "holds `%`: give it unencoded"),
        (';', "holds `;`"),
    ];
    if let Some((_, found)) = barred.into_iter().find(|(c, _)| value.contains(*c)) {
        return Err(refused(found));
    }
    if value.chars().any(char::is_control) {
        return Err(refused("holds a control character"));
    }
    let encoded: String = utf8_percent_encode(value, ENCODED).collect();
    match Path::parse(&format!("/{encoded}")) {
        Ok(_) => Ok(encoded),
        Err(why) => Err(ArgumentError::Path { name: argument.to_owned(), why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_with_its_variables() {
        let template = Template::read("/a/{x}.json/{y}:{z}/").unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["x", "y", "z"]);
        assert_eq!(template.with(|name| name.repeat(2)), "/a/xx.json/yy:zz/");
        assert_eq!(Template::read("/").unwrap().variables().count(), 0);
    }

    #[test]
    fn an_odd_path_is_no_template() {
        let cases =
            ["", "a", "//", "/a//b", "/{", "/}", "/{}", "/{a", "/a}", "/{a}{a}", "/{a/b}", "/{{a}}", "/..", "/a/../b"];
        for path in cases.into_iter().chain([
            "/{a\u{200b}}",
            "/{\n}",
            "/a?b={c}",
            "/a#b",
            "/a b",
            "/a%2e",
            "/a;b",
            "/{a}/{a}",
            "/a\\b",
        ]) {
            assert!(Template::read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_value_is_one_segment_or_refused() {
        let good = [("a b", "a%20b"), ("Müller", "M%C3%BCller"), ("a\"<>[]^{|}`", "a%22%3C%3E%5B%5D%5E%7B%7C%7D%60")];
        for (value, encoded) in good {
            assert_eq!(encode("x", value).as_deref().unwrap_or("refused"), encoded);
        }
        assert_eq!(encode("x", "a-._~!$&'()*+,=:@").unwrap(), "a-._~!$&'()*+,=:@");
        let bad = ["", ".", "..", "...", " . ", "a/b", "a\\b", "a?b", "a#b", "a%b", "%2e%2e", "%2F", "a;b", "a\nb"];
        for value in bad.into_iter().chain(["\u{2044}", "\u{ff0f}", "\u{200b}", "\u{202e}x", "\u{ff0e}\u{ff0e}"]) {
            let error = encode("x", value).unwrap_err().to_string();
            assert!(error.contains("`x`") && !error.contains('\n'), "{value:?}: {error}");
        }
    }
}
