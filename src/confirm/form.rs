//! The text that a person reads before a write is sent, and what the person has to give back.
//!
//! Promises: what stands at the left margin is ours, whatever the facts hold; what came from outside stands behind a gutter,
//! after a label on the same line, or escaped. A message is at most [`MAX_BYTES`] long and 80 columns wide, reads the
//! same as plain text and as Markdown (it is one code block after one line), and says so where it does not show all.

mod answers;
mod changes;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use super::difference::Change;
use super::escape::shown;
use super::page::Section;
use super::pretty::{self, Line};
use crate::policy::Confirm;
use crate::request::method::Method;
use crate::request::path::Path;

/// The longest message, in bytes.
pub const MAX_BYTES: usize = 8 << 10;
/// The most lines of a body.
pub const BODY_LINES: usize = 48;
/// The most room for a body, in bytes; less where the rest of the message is long.
pub const BODY_BYTES: usize = 3_000;

/// The longest body that is shown without its SHA-256, in bytes.
const LONG_BODY: usize = 1_000;

/// The most room for each of the other parts, in bytes.
const REQUEST_BYTES: usize = 1_300;
const DECODED_BYTES: usize = 800;
const QUERY_BYTES: usize = 900;
const HEADERS_BYTES: usize = 600;
const NAME_BYTES: usize = 256;
const REASON_BYTES: usize = 600;
const CHANGE_BYTES: usize = 1_100;
/// What the first line, the fences and the note on what is not shown take together.
const FRAME_BYTES: usize = 600;

/// What the code block around the facts begins and ends with.
const FENCE: &str = "```";
/// How the last paragraph begins.
const TO_SEND: &str = "To send it, ";
/// How the warning begins that something was left out.
const NOT_ALL: &str = "NOT ALL IS SHOWN";

/// The longest name of an API in a policy, in characters.
const API_LENGTH: usize = 32;
/// The longest word to type, in characters, and the length of the code in place of one.
const WORD_LENGTH: usize = 40;
const CODE_LENGTH: usize = 6;
/// Letters and digits that nobody takes for one another.
const CODE_LETTERS: [char; 16] = ['3', '4', '6', '7', '9', 'a', 'c', 'd', 'e', 'f', 'h', 'j', 'k', 'p', 'r', 't'];

/// What a person is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The name of the API.
    pub api: &'a str,
    /// What is asked for.
    pub method: Method,
    /// Where the API is, without a `/` at the end.
    pub base_url: &'a str,
    /// The canonical path and query; begins with `/`.
    pub target: &'a str,
    /// The headers that the agent chose, and `if-match`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The headers that the policy adds; none of them is a secret.
    pub fixed: &'a [(&'a str, &'a str)],
    /// The bytes that are sent.
    pub body: Option<&'a [u8]>,
    /// The name of the credential; `None` is the default one.
    pub credential: Option<&'a str>,
    /// The id of the rule that asks for a person.
    pub rule: &'a str,
    /// Where the rule stands: file and line.
    pub place: &'a str,
    /// The rule's own words.
    pub reason: Option<&'a str>,
    /// The digest of the request, in hexadecimal.
    pub digest: &'a str,
    /// What it would change, where that is known.
    pub change: Option<&'a Change>,
    /// Why there is no change to show, where one was wanted.
    pub unseen: Option<&'a str>,
    /// What the person has to give back.
    pub word: &'a Word,
}

/// What a person has to give back so that a request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A plain yes: the form's `confirm` is true.
    Yes,
    /// These very characters.
    Typed(String),
}

impl Word {
    /// What `confirm` asks for. To be typed is the last segment of the path, decoded, if it has 1 to 40 characters of
    /// printable ASCII without a space, is shown as it is and is no answer like `no` or `cancel`; otherwise a code of six characters
    /// made from the digest.
    pub fn of(confirm: Confirm, path: &Path, digest: &str) -> Self {
        match confirm {
            Confirm::Never | Confirm::Each => Self::Yes,
            Confirm::Typed => Self::Typed(last_segment(path).unwrap_or_else(|| code(digest))),
        }
    }

    /// Whether this is what was asked for: `true` for a yes, the word itself for a word. White space around it does
    /// not count, case does.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        let given = given.trim_ascii();
        match self {
            Self::Yes => given == "true",
            Self::Typed(word) => !given.is_empty() && given == word,
        }
    }
}

fn last_segment(path: &Path) -> Option<String> {
    let segment = path.segments().rfind(|segment| !segment.is_empty())?;
    let word = percent_decode_str(segment).decode_utf8().ok()?;
    let typeable = (1..=WORD_LENGTH).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic());
    (typeable && !answers::is_answer(&word) && shown(&word) == word).then(|| word.into_owned())
}

fn code(digest: &str) -> String {
    let hash = Sha256::digest(digest.as_bytes());
    hash.iter().take(CODE_LENGTH).filter_map(|byte| CODE_LETTERS.get(usize::from(byte % 16))).collect()
}

/// The text that the person reads. Lines at the left margin are ours alone.
pub fn message(facts: &Facts<'_>) -> String {
    let before = [Some(request(facts)), decoded(facts.target), query(facts.target)];
    let after = [
        headers("headers", "Headers:", facts.headers),
        headers("headers of the policy", "Headers that the policy adds:", facts.fixed),
        Some(credential(facts.credential)),
    ];
    let has_query = facts.target.contains('?');
    let after = after.into_iter().chain(rule(facts)).chain([
        facts.change.map(|change| changes::changes(change, has_query)),
        facts.unseen.map(changes::unseen),
        Some(digest(facts.digest)),
    ]);
    let before: Vec<Section> = before.into_iter().flatten().collect();
    let after: Vec<Section> = after.flatten().collect();
    let used: usize = before.iter().chain(&after).map(Section::size).sum();
    let word = word(facts.word);
    let room = MAX_BYTES.saturating_sub(used + word.len() + FRAME_BYTES);
    let body = body(facts.body, room.min(BODY_BYTES));
    let sections: Vec<Section> = before.into_iter().chain([body]).chain(after).collect();
    let missing: Vec<&str> = sections.iter().filter_map(Section::cut).collect();
    let mut text = format!("An AI client asks to send this to the API {}.\n\n{FENCE}\n", name(facts.api));
    sections.into_iter().for_each(|section| text.push_str(&section.text()));
    if !missing.is_empty() {
        let warning = Section::new("warning", FRAME_BYTES).label("");
        let warning = warning.named(&format!("{NOT_ALL}. Cut short"), &missing.join(", "));
        text.push_str(&warning.label("Say no unless you know the rest from elsewhere.").text());
    }
    text.push_str(&word);
    text.push_str(FENCE);
    text.push('\n');
    text
}

/// A name for the one line outside the code block: characters that Markdown may act on are spelled out, and it ends
/// where a name of a policy does.
fn name(api: &str) -> String {
    let mut name = String::new();
    for character in api.chars() {
        let plain = character.is_ascii_alphanumeric() || character == '-';
        let written = if plain { character.to_string() } else { format!("u+{:x}", u32::from(character)) };
        if name.len() + written.len() > API_LENGTH {
            break;
        }
        name.push_str(&written);
    }
    name
}

fn request(facts: &Facts<'_>) -> Section {
    let mut section = Section::new("request", REQUEST_BYTES).label("Request:");
    section.value(0, &beside(facts.method.as_str(), " ", &format!("{}{}", facts.base_url, facts.target)));
    section
}

/// Each segment of the path that is encoded, beside what it stands for.
fn decoded(target: &str) -> Option<Section> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let encoded: Vec<&str> = path.split('/').filter(|segment| segment.contains('%')).collect();
    if encoded.is_empty() {
        return None;
    }
    let readings: Vec<(&str, Cow<'_, str>)> = encoded.into_iter().map(|segment| (segment, decode(segment))).collect();
    let section = Section::new("decoded path", DECODED_BYTES);
    let ascii = readings.iter().all(|(_, reading)| reading.is_ascii());
    let mut section = section.label(&flagged("In the path, decoded", ascii));
    for (segment, reading) in readings {
        section.value(0, &beside(segment, " = ", &reading));
    }
    Some(section)
}

/// The query, one parameter a line.
fn query(target: &str) -> Option<Section> {
    let (_, query) = target.split_once('?')?;
    let ascii = query.split(['&', '=']).all(|part| decode(part).is_ascii());
    let mut section = Section::new("query", QUERY_BYTES).label(&flagged("Query, decoded", ascii));
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        section.value(0, &beside(&decode(name), " = ", &decode(value)));
    }
    Some(section)
}

/// Two texts from outside on one line; a space of ours never joins one of theirs.
fn beside(left: &str, sign: &str, right: &str) -> String {
    format!("{}{sign}{}", shown(left), shown(right))
}

/// A label that warns of letters which the reader may take for others.
fn flagged(label: &str, ascii: bool) -> String {
    format!("{label}{}:", if ascii { "" } else { " (letters beyond ASCII can look like others)" })
}

/// What an encoded text stands for; the text itself where that is no UTF-8.
fn decode(encoded: &str) -> Cow<'_, str> {
    percent_decode_str(encoded).decode_utf8().unwrap_or(Cow::Borrowed(encoded))
}

fn body(body: Option<&[u8]>, room: usize) -> Section {
    let section = Section::new("body", room);
    let Some(bytes) = body else {
        return section.label("Body: none");
    };
    let size = bytes.len();
    if size <= LONG_BODY {
        let whole = laid_out(bytes, section.label(&flagged(&format!("Body, {size} bytes"), is_ascii(bytes))));
        if !whole.is_full() {
            return whole;
        }
    }
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let section = Section::new("body", room).label(&flagged(&format!("Body, {size} bytes"), is_ascii(bytes)));
    laid_out(bytes, section.named("SHA-256", &hash))
}

fn laid_out(json: &[u8], mut section: Section) -> Section {
    let Ok(text) = std::str::from_utf8(json) else {
        section.leave_out();
        return section;
    };
    for (number, line) in pretty::lines(text).enumerate() {
        if number < BODY_LINES { put(&mut section, &line) } else { section.leave_out() }
    }
    section
}

/// One line of a body, and what it reads as. No line of JSON begins with a word and a colon.
fn put(section: &mut Section, line: &Line) {
    let depth = line.depth.map(|depth| format!("depth {depth}: ")).unwrap_or_default();
    section.value(line.indent, &format!("{depth}{}", line.shown));
    if let Some(reads) = &line.reads {
        section.value(line.indent, &format!("reads: {reads}"));
    }
}

/// Whether nothing in a body is beyond ASCII, written out or as an escape.
fn is_ascii(json: &[u8]) -> bool {
    let escaped = |text: &str| pretty::reads(text).is_some_and(|reads| !reads.is_ascii());
    json.is_ascii() && !std::str::from_utf8(json).is_ok_and(escaped)
}

fn headers(section: &'static str, label: &str, headers: &[(&str, &str)]) -> Option<Section> {
    if headers.is_empty() {
        return None;
    }
    let mut section = Section::new(section, HEADERS_BYTES).label(label);
    for (name, value) in headers {
        section.value(0, &beside(name, ": ", value));
    }
    Some(section)
}

fn credential(name: Option<&str>) -> Section {
    let section = Section::new("credential", NAME_BYTES);
    match name {
        Some(name) => section.named("Credential", &shown(name)),
        None => section.named("Credential", "the default one"),
    }
}

fn rule(facts: &Facts<'_>) -> [Option<Section>; 3] {
    [
        Some(Section::new("rule", NAME_BYTES).named("Rule", &shown(facts.rule))),
        Some(Section::new("place", NAME_BYTES).named("Written at", &shown(facts.place))),
        facts.reason.map(|reason| Section::new("reason", REASON_BYTES).named("Reason", &shown(reason))),
    ]
}

fn digest(digest: &str) -> Section {
    Section::new("digest", NAME_BYTES).named("Digest", &shown(digest))
}

/// The same text where the person is asked by other means than the form: without its fence and what to answer.
#[must_use]
pub fn in_terminal(message: &str) -> String {
    // Lines at the left margin are ours alone, so that no fact ends the text here.
    let lines = message.lines().filter(|line| *line != FENCE).take_while(|line| !line.starts_with(TO_SEND));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a message does not show all of its request.
#[must_use]
pub fn is_cut(message: &str) -> bool {
    // Lines at the left margin are ours alone.
    message.lines().any(|line| line.starts_with(NOT_ALL))
}

fn word(word: &Word) -> String {
    match word {
        Word::Yes => format!("\n{TO_SEND}answer yes (`confirm: true`). Any other answer sends nothing.\n"),
        Word::Typed(word) => {
            let mut section = Section::new("word", NAME_BYTES);
            section.value(0, &shown(word));
            format!("\n{TO_SEND}type the word below. Any other answer sends nothing.\n{}", section.text())
        }
    }
}

#[cfg(test)]
mod tests;
