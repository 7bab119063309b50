//! What `pending` prints.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::confirm::REFUSALS;
use crate::confirm::desk::{self, Listing, Waiting, span};
use crate::confirm::page::{COLUMNS, Folded};

/// The margin left of a request, in columns: a code and the space behind it.
const MARGIN: usize = 9;
/// The most lines of one request's method, path and query.
const LINES: usize = 4;
/// What is shown of a digest where a request is not shown whole: enough to tell it from others.
const DIGITS: usize = 12;

/// Everything that waits, and where writes are closed.
#[derive(Debug, Serialize)]
pub(super) struct List {
    /// Oldest first.
    questions: Vec<Waiting>,
    closed: Vec<Closed>,
}

/// An API whose writes are closed.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) api: String,
    pub(super) seconds: u64,
}

impl List {
    pub(super) fn new(listings: impl IntoIterator<Item = Listing>) -> Self {
        let mut list = Self { questions: Vec::new(), closed: Vec::new() };
        for Listing { api, questions, closed_seconds } in listings {
            list.questions.extend(questions);
            if let Some(seconds) = closed_seconds {
                list.close(Closed { api, seconds });
            }
        }
        list.questions.sort_by_key(|question| std::cmp::Reverse(question.age_seconds));
        list
    }

    /// Gateways of one state directory say the same of the same API.
    fn close(&mut self, closed: Closed) {
        match self.closed.iter_mut().find(|other| other.api == closed.api) {
            Some(other) => other.seconds = other.seconds.max(closed.seconds),
            None => self.closed.push(closed),
        }
    }

    pub(super) fn closed(&self) -> &[Closed] {
        &self.closed
    }

    /// One JSON document, in printable ASCII: it holds requests as they are, and may be looked at in a terminal.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        for character in text.chars() {
            if character == '\n' || character == ' ' || character.is_ascii_graphic() {
                write!(out, "{character}")?;
            } else {
                // Beyond ASCII there is nothing outside of strings.
                character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            }
        }
        writeln!(out)
    }

    /// For a person whose terminal has 80 columns; `state_dir` as it was given, for the commands that are proposed.
    pub(super) fn write_human(&self, out: &mut impl Write, state_dir: Option<&Path>) -> io::Result<()> {
        let place = desk::place(state_dir);
        self.closed.iter().try_for_each(|closed| writeln!(out, "{closed}"))?;
        if !self.closed.is_empty() {
            writeln!(out, "To open them:  portcullis reopen{place}\n")?;
        }
        match self.questions.len() {
            0 => return writeln!(out, "Nothing waits for a person."),
            1 => writeln!(out, "1 write waits for a person:")?,
            many => writeln!(out, "{many} writes wait for a person, the oldest first:")?,
        }
        self.questions.iter().try_for_each(|question| write_question(out, question))?;
        writeln!(out, "\nTo see one and answer it:      portcullis approve CODE{place}")?;
        writeln!(out, "To refuse one without a look:  portcullis decline CODE{place}")?;
        writeln!(out, "To see all of each, as JSON:   portcullis pending --format json{place}")
    }
}

/// Two lines.
impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, seconds } = self;
        writeln!(f, "Writes to {api} are closed for another {},", span(*seconds))?;
        write!(f, "because {REFUSALS} questions in a row were answered with no.")
    }
}

fn write_question(out: &mut impl Write, question: &Waiting) -> io::Result<()> {
    let Waiting { code, api, method, target, rule, client, digest, age_seconds, expires_in_seconds, .. } = question;
    let Folded { head, left_out, tail } = Folded::new(&format!("{method} {target}"), COLUMNS - MARGIN, LINES);
    let cut = (left_out > 0).then(|| {
        let digits: String = digest.chars().take(DIGITS).collect();
        format!("[ {left_out} more characters; the digest begins with {digits} ]")
    });
    writeln!(out)?;
    let mut margin = code.as_str();
    for line in head.iter().chain(&cut).chain(&tail) {
        writeln!(out, "{margin:<MARGIN$}{line}")?;
        margin = "";
    }
    let client = client.as_ref().map(|client| format!("client {client}"));
    let time = format!("asked {} ago, ends in {}", span(*age_seconds), span(*expires_in_seconds));
    let mut line = format!("to {api}");
    for fact in [format!("rule {rule}")].into_iter().chain(client).chain([time]) {
        if MARGIN + line.len() + 2 + fact.len() <= COLUMNS {
            line = format!("{line}, {fact}");
        } else {
            writeln!(out, "{:MARGIN$}{line}", "")?;
            line = fact;
        }
    }
    writeln!(out, "{:MARGIN$}{line}", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirm::desk::Whole;

    fn question(code: &str, target: &str, age_seconds: u64) -> Waiting {
        Waiting {
            code: code.to_owned(),
            api: "a".repeat(32),
            method: "DELETE".to_owned(),
            target: target.to_owned(),
            rule: "r".repeat(64),
            client: Some(desk::name(&"client ".repeat(40))),
            digest: format!("{age_seconds:0<64}"),
            age_seconds,
            expires_in_seconds: 86_400 - age_seconds,
            message: String::new(),
            request: None,
            word: None,
        }
    }

    fn listing(questions: Vec<Waiting>, closed_seconds: Option<u64>) -> Listing {
        Listing { api: "a".repeat(32), questions, closed_seconds }
    }

    fn written(list: &List) -> String {
        let mut out = Vec::new();
        list.write_human(&mut out, None).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_a_gateway_lists_is_wider_than_a_terminal() {
        let targets = ["/a", &"/segment".repeat(1_000), &"x".repeat(8_000), &"é日\u{301}".repeat(500)];
        let questions = targets.map(|target| question("K7F-3QD", target, 86_399));
        let text = written(&List::new([listing(questions.to_vec(), Some(86_399))]));
        for line in text.lines() {
            assert!(line.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum::<usize>() <= COLUMNS, "{line}");
        }
        assert!(text.lines().count() < 50, "{text}");
    }

    #[test]
    fn a_request_is_whole_in_json_and_nothing_of_it_acts_on_a_terminal() {
        let body = "{\"a\":\"\u{9b}2J\u{202e}é😀\u{7f}\"}";
        let whole = Whole { url: "https://a/b".to_owned(), headers: Vec::new(), body: Some(body.to_owned()) };
        let questions = vec![Waiting { request: Some(whole), ..question("K7F-3QD", "/a", 1) }];
        let mut out = Vec::new();
        List::new([listing(questions, None)]).write_json(&mut out).unwrap();
        assert!(out.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["questions"][0]["request"]["body"], body);
    }

    #[test]
    fn the_oldest_comes_first_whoever_asked_it_and_an_api_is_closed_once() {
        let one = listing(vec![question("AAA-AAA", "/a", 3), question("BBB-BBB", "/b", 1)], Some(5));
        let two = listing(vec![question("CCC-CCC", "/c", 2)], Some(6));
        let list = List::new([one, two]);
        let codes: Vec<_> = list.questions.iter().map(|question| question.code.as_str()).collect();
        assert_eq!(codes, ["AAA-AAA", "CCC-CCC", "BBB-BBB"]);
        assert_eq!(list.closed(), [Closed { api: "a".repeat(32), seconds: 6 }]);
    }

    #[test]
    fn two_long_requests_that_differ_in_the_middle_are_told_apart() {
        let target = |middle: &str| format!("/{}{middle}{}", "x".repeat(300), "x".repeat(300));
        let text =
            written(&List::new([listing(vec![question("A", &target("1"), 1), question("B", &target("2"), 2)], None)]));
        let cut: Vec<_> = text.lines().filter(|line| line.contains("more characters")).collect();
        assert!(cut.len() == 2 && cut[0] != cut[1], "{text}");
    }
}
