//! `audit show` and `audit tail`: one line for each call, and for each other thing that the log tells of.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::super::{FOUND, Format, complain};
use super::calls::{Item, Line};
use super::read::{Gathering, Hidden, ReadError, against, read};
use super::record::{Person, Record};
use super::select::Select;
use super::text::{Tone, printable};
use crate::audit::verify::{self, Reader};
use crate::config::Environment;

/// What of the found is printed.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Window {
    All,
    /// The last so many.
    Last(usize),
    /// The last so many, and what comes.
    Follow(usize),
}

/// A log that is followed is looked at so often.
const OFTEN: Duration = Duration::from_millis(250);

/// Exit 0 when everything that was found is verified, 1 where something is hidden, 2 when nothing can be read.
pub(in crate::cli) fn show(path: &Path, select: &Select, window: Window, format: Format) -> ExitCode {
    let coloured = io::stdout().is_terminal() && !Environment::process().no_color();
    let (mut out, printer) = (io::BufWriter::new(io::stdout()), Printer { format, coloured });
    let read = match window {
        Window::All => read(path, select, &mut |_, item| printer.print(&mut out, &item)),
        Window::Last(most) => {
            let mut last = Last::new(most);
            read(path, select, &mut |_, item| last.push(item)).and_then(|hidden| {
                last.print(&mut out, &printer)?;
                Ok(hidden)
            })
        }
        Window::Follow(most) => follow(path, select, most, &mut out, &printer),
    };
    finish(read.and_then(|hidden| {
        out.flush()?;
        Ok(hidden)
    }))
}

/// Prints the last calls and then each as it ends, until something is wrong or the reader has seen enough. The last line
/// of a log that is written is shown at once: whether it stays is seen by the next.
fn follow(
    path: &Path,
    select: &Select,
    most: usize,
    out: &mut impl Write,
    printer: &Printer,
) -> Result<Hidden, ReadError> {
    // A place without a log is said to be one before anything is said of its key.
    verify::whole_logs(path)?;
    let against = against(path)?;
    let mut logs: Vec<(Reader<'_>, Gathering<'_>)> = Vec::new();
    let (mut last, mut faults) = (Some(Last::new(most)), Vec::new());
    loop {
        for log in verify::whole_logs(path)? {
            match logs.iter_mut().find(|(reader, _)| reader.reads(&log)) {
                Some((reader, _)) => reader.extend(log),
                None => logs.push((Reader::following(log, &against), Gathering::new(select))),
            }
        }
        for (reader, gathering) in &mut logs {
            let mut each = |_: &Path, item: Item| match &mut last {
                Some(last) => last.push(item),
                None => printer.print(out, &item),
            };
            let read = reader.advance(&mut |_| (), &mut |file, line| gathering.take(file, line, &mut each));
            match read {
                Ok(()) => reader.hand_on_last(&mut |file, line| gathering.take(file, line, &mut each)),
                // It was deleted, as the policy says, before it was opened: the next look at the directory tells.
                Err(fault) if fault.is_gone() => {}
                Err(fault) => faults.push(fault),
            }
            gathering.check()?;
        }
        if let Some(last) = last.take() {
            last.print(out, printer)?;
        }
        out.flush()?;
        if !faults.is_empty() {
            return Ok(Hidden { faults, lines: None });
        }
        thread::sleep(OFTEN);
    }
}

/// The last of what was found.
struct Last {
    most: usize,
    items: VecDeque<Item>,
}

impl Last {
    fn new(most: usize) -> Self {
        Self { most, items: VecDeque::new() }
    }

    fn push(&mut self, item: Item) -> io::Result<()> {
        if self.items.len() == self.most {
            self.items.pop_front();
        }
        if self.most > 0 {
            self.items.push_back(item);
        }
        Ok(())
    }

    fn print(&self, out: &mut impl Write, printer: &Printer) -> io::Result<()> {
        self.items.iter().try_for_each(|item| printer.print(out, item))
    }
}

/// Says what is hidden; the exit code.
pub(super) fn finish(read: Result<Hidden, ReadError>) -> ExitCode {
    match read {
        Ok(hidden) => {
            let sentences = hidden.sentences();
            for sentence in &sentences {
                complain(sentence);
            }
            if sentences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
        }
        // A reader that has seen enough is no error.
        Err(ReadError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

struct Printer {
    format: Format,
    coloured: bool,
}

impl Printer {
    fn print(&self, out: &mut impl Write, item: &Item) -> io::Result<()> {
        match (self.format, item) {
            (Format::Json, Item::Call(question, answer)) => {
                writeln!(out, "{}", question.text)?;
                answer.iter().try_for_each(|answer| writeln!(out, "{}", answer.text))
            }
            (Format::Json, Item::Event(line)) => writeln!(out, "{}", line.text),
            (Format::Human, Item::Call(question, answer)) => {
                let row = Row::call(&question.record, answer.as_deref().map(|line: &Line| &line.record));
                row.print(out, self.coloured)
            }
            (Format::Human, Item::Event(line)) => Row::event(line).print(out, self.coloured),
        }
    }
}

/// What stands in one line, escaped.
struct Row {
    time: String,
    word: String,
    tone: Tone,
    result: String,
    what: String,
    more: Vec<String>,
}

impl Row {
    fn call(question: &Record, answer: Option<&Record>) -> Self {
        let code = answer.and_then(Record::code).or_else(|| question.code());
        let status = answer.and_then(|answer| answer.status);
        let result = match (status, &code, answer) {
            (Some(status), _, _) => status.to_string(),
            (None, Some(code), _) => printable(code, 24),
            (None, None, Some(_)) => "told".to_owned(),
            (None, None, None) => "no end".to_owned(),
        };
        let tone = match (question.verdict.as_str(), &code) {
            ("allow", None) => Tone::Good,
            ("hold", _) | ("report", None) => Tone::Waiting,
            _ => Tone::Refused,
        };
        Self {
            time: printable(&question.time, 30),
            word: printable(&question.verdict, 8),
            tone,
            result,
            what: printable(&question.subject(), 120),
            more: details(question, answer, status.and(code.as_deref())),
        }
    }

    fn event(Line { record, text }: &Line) -> Self {
        let (what, more) = event(record, text);
        Self {
            time: printable(&record.time, 30),
            word: printable(&record.kind, 10),
            tone: Tone::Faint,
            result: record.code().map(|code| printable(&code, 24)).unwrap_or_default(),
            what,
            more,
        }
    }

    fn print(&self, out: &mut impl Write, coloured: bool) -> io::Result<()> {
        let Self { time, word, tone, result, what, more } = self;
        let (time, word) = (Tone::Faint.paint(time, coloured), format!("{word:<8}"));
        let line = format!("{time}  {} {result:<17} {what}", tone.paint(&word, coloured));
        let more = if more.is_empty() { String::new() } else { format!("  ({})", more.join("; ")) };
        writeln!(out, "{}{}", line.trim_end(), Tone::Faint.paint(&more, coloured))
    }
}

/// What else is worth knowing of a call: the rule and why, the person, the size and the time.
fn details(question: &Record, answer: Option<&Record>, code: Option<&str>) -> Vec<String> {
    let mut more = Vec::new();
    if !question.rule.is_empty() {
        more.push(format!("rule {}", printable(&question.rule, 60)));
    }
    more.extend(question.person.as_ref().map(Person::words));
    more.extend(code.map(|code| printable(code, 24)));
    let causes = [Some(question), answer].into_iter().flatten().map(|record| &record.cause);
    more.extend(causes.filter(|cause| !cause.is_empty()).map(|cause| printable(cause, 120)));
    let Some(answer) = answer else { return more };
    more.extend(answer.bytes.map(|bytes| format!("{bytes} bytes")));
    more.extend(answer.attempts.map(|attempts| format!("sent {attempts} times")));
    more.extend(answer.redacted.map(|places| format!("the credential taken out in {places} places")));
    more.extend(answer.duration_us.map(duration));
    more
}

/// Microseconds, in the unit that is read best.
pub(super) fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{}.{} ms", microseconds / 1_000, microseconds % 1_000 / 100),
        1_000_000.. => format!("{}.{} s", microseconds / 1_000_000, microseconds % 1_000_000 / 100_000),
    }
}

/// What a record that is no call says, and what else.
fn event(record: &Record, text: &str) -> (String, Vec<String>) {
    let subject = printable(&record.subject(), 120);
    let user = || format!("by user {}", record.uid.unwrap_or_default());
    match record.kind.as_str() {
        "start" => {
            (format!("policy {}", printable(&record.policy, 60)), vec![format!("log {}", printable(&record.log, 20))])
        }
        "ask" => {
            let channels = printable(&record.channels.join(" and "), 40);
            (
                subject,
                vec![format!("rule {}", printable(&record.rule, 60)), format!("a person is asked at the {channels}")],
            )
        }
        "decision" => (format!("{} at the desk", printable(&record.said, 20)), vec![user()]),
        "writes" => match record.seconds {
            Some(seconds) => {
                (format!("closed for {seconds} s"), vec!["three questions in a row were answered with no".to_owned()])
            }
            None => (printable(&record.state, 20), vec![user()]),
        },
        "policy" => {
            let [before, now] = [&record.before, &record.now].map(|hash| printable(hash, 12));
            let wider = if record.wider { "wider" } else { "no wider" };
            let by = if record.uid.is_some() { user() } else { "by SIGHUP".to_owned() };
            (format!("{before} -> {now}"), vec![wider.to_owned(), by])
        }
        "stop" => {
            let calls = record.calls.map(|calls| format!("{calls} calls"));
            (printable(&record.reason, 60), calls.into_iter().collect())
        }
        "frame" => (printable(&record.cause, 120), Vec::new()),
        _ => (String::new(), members(text)),
    }
}

/// What a record says beside its place in the chain, member by member.
fn members(text: &str) -> Vec<String> {
    let record: serde_json::Map<_, _> = serde_json::from_str(text).unwrap_or_default();
    let own = record.iter().filter(|(name, _)| !matches!(name.as_str(), "v" | "seq" | "time" | "prev" | "kind"));
    let member = |(name, value): (&String, &serde_json::Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\n', " "));
        format!("{} {}", printable(name, 40), printable(value.trim_end(), 120))
    };
    own.map(member).collect()
}
