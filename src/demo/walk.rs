//! The walk: one session, step by step, each step told and held against what the API received.

use std::path::Path;

use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::DemoError;
use super::desk::Desk;
use super::ending;
use super::sample::{Sample, Seen};
use super::scratch::{Credential, Scratch, made_up_token};
use super::screen::{Screen, Tone, cut, escaped};
use super::session::{Heard, Question, Session, Told};
use super::steps::{self, Call, Ends, Person, Step};

const OPENING: &str = "The gate opens";
const CLOSING: &str = "The session ends";
/// Characters of an answer that are shown.
const SHOWN: usize = 210;

/// Tells the whole session on `screen`.
pub(super) async fn run(screen: &mut Screen<'_>, exe: &Path) -> Result<(), DemoError> {
    let (tell, arrivals) = mpsc::unbounded_channel();
    let token = made_up_token();
    let sample = Sample::start(&token, tell).await.map_err(DemoError::Sample)?;
    let scratch = Scratch::make(sample.port(), &Credential::Environment).map_err(DemoError::Scratch)?;
    open(screen, &sample, &scratch)?;

    let (session, tools) = Session::start(exe, &scratch, &token, OPENING).await?;
    for wanted in ["list_projects", "api_get", "api_send", "read_more"] {
        if !tools.iter().any(|tool| tool == wanted) {
            return Err(unexpected(OPENING, &format!("the tool {wanted}"), &tools.join(", ")));
        }
    }
    screen.blank()?;
    screen.paragraph(&format!(
        "The agent sees {} tools: one for each operation of the API that some rule opens, and a few that take a path.",
        tools.len()
    ))?;
    let mut walk =
        Walk { screen, session, exe, scratch: &scratch, token: &token, arrivals, received: Vec::new(), shown: None };
    for (number, step) in (1_u32..).zip(steps::all()) {
        walk.tell(number, &step).await?;
    }
    let Walk { screen, session, mut arrivals, mut received, .. } = walk;
    let spoken = session.close(CLOSING).await?;
    let expected = received.len();
    received.extend(std::iter::from_fn(|| arrivals.try_recv().ok()));
    if received.len() != expected {
        return Err(unexpected(CLOSING, "nothing more at the API", &shown(&received)));
    }
    let log = ending::show_log(screen, &scratch)?;
    ending::search(&token, &spoken, &log, &scratch)?;
    ending::sum_up(screen, &received)
}

/// A step under way, and what the ones before it left.
struct Walk<'a, 's> {
    screen: &'a mut Screen<'s>,
    session: Session,
    exe: &'a Path,
    scratch: &'a Scratch,
    token: &'a str,
    arrivals: UnboundedReceiver<Seen>,
    received: Vec<Seen>,
    /// The question that was shown last.
    shown: Option<String>,
}

impl Walk<'_, '_> {
    async fn tell(&mut self, number: u32, step: &Step) -> Result<(), DemoError> {
        self.screen.title(&format!("{number}. {}", step.title))?;
        if !step.why.is_empty() {
            self.screen.paragraph(step.why)?;
        }
        for call in &step.calls {
            self.screen.pair("agent", &question(call), Tone::Plain)?;
            self.session.call(step.title, call.tool, &call.arguments).await?;
            let told = self.hear(step.title, call).await?;
            let seen: Vec<Seen> = std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect();
            self.check(step.title, call, &told, &seen)?;
            self.show(&told, &seen)?;
            self.received.extend(seen);
        }
        Ok(())
    }

    /// Answers the question to the person where there has to be one, and waits for the result.
    async fn hear(&mut self, step: &'static str, call: &Call) -> Result<Told, DemoError> {
        let mut person = call.person;
        loop {
            match (self.session.hear().await?, person.take()) {
                (Heard::Question(question), Some(person)) => self.asked(step, call, &question, person).await?,
                (Heard::Result(told), None) => return Ok(told),
                (Heard::Question(question), None) => {
                    return Err(unexpected(step, "no question to a person", &question.message));
                }
                (Heard::Result(told), Some(_)) => {
                    return Err(unexpected(step, "a question to a person first", &told.texts.concat()));
                }
            }
        }
    }

    /// Plays the person, once the question holds what the call asks for and the API has received nothing of it.
    async fn asked(
        &mut self,
        step: &'static str,
        call: &Call,
        question: &Question,
        person: Person,
    ) -> Result<(), DemoError> {
        let parts = ["/method", "/path", "/body/name"].map(|part| call.arguments.pointer(part)?.as_str());
        if !parts.into_iter().all(|part| part.is_some_and(|part| question.message.contains(part))) {
            return Err(unexpected(step, "a question that holds the request", &question.message));
        }
        if let Ok(seen) = self.arrivals.try_recv() {
            return Err(unexpected(step, "nothing at the API before the answer", &seen.to_string()));
        }
        match person {
            Person::Accepts => {
                self.ask("client", &question.message)?;
                let ticked = format!("(the demo) ticks `{}` and accepts", question.field);
                self.screen.pair("person", &ticked, Tone::Good)?;
                self.session.accept(question).await
            }
            Person::Declines => {
                self.ask("client", &question.message)?;
                self.screen.pair("person", "(the demo) declines", Tone::Refused)?;
                self.session.decline(question).await
            }
            Person::AtDesk => {
                self.screen.pair("client", "shows the question; nobody looks at it", Tone::Plain)?;
                let desk = Desk { exe: self.exe, state: self.scratch.state(), step };
                let waiting = desk.pending().await?;
                if waiting.message != question.message {
                    return Err(unexpected(step, "the client's question at the desk too", &waiting.message));
                }
                self.ask("desk", &at_desk(&waiting.message))?;
                let command = format!("portcullis approve {} --yes --digest {}", waiting.code, waiting.digest);
                self.screen.pair("desk", &cut(&command, 60), Tone::Plain)?;
                let said = desk.approve(&waiting).await?;
                self.screen.pair("desk", &said, Tone::Good)?;
                Ok(())
            }
        }
    }

    /// Shows the question, once where it comes twice.
    fn ask(&mut self, place: &str, message: &str) -> Result<(), DemoError> {
        if self.shown.as_deref() == Some(message) {
            self.screen.pair(place, "asks the same, word for word", Tone::Plain)?;
            return Ok(());
        }
        self.screen.pair(place, "asks:", Tone::Plain)?;
        self.screen.blank()?;
        self.screen.quote(message)?;
        self.screen.blank()?;
        self.shown = Some(message.to_owned());
        Ok(())
    }

    /// Holds the answer and the arrivals against what the step promises.
    fn check(&self, step: &'static str, call: &Call, told: &Told, seen: &[Seen]) -> Result<(), DemoError> {
        let text = told.texts.concat();
        if text.contains(self.token) {
            return Err(unexpected(step, "an answer without the credential", "an answer that holds it"));
        }
        let error = told.error();
        let code = error.as_ref().and_then(|error| error.get("code")?.as_str());
        let wait = error.as_ref().and_then(|error| error.get("retry_after_seconds")?.as_u64());
        let (wanted, fits) = match call.ends {
            Ends::Answer(part) => (format!("an answer with `{part}`"), error.is_none() && text.contains(part)),
            Ends::Refusal(wanted) => (format!("the code {wanted}"), code == Some(wanted)),
            Ends::Wait(wanted) => {
                (format!("the code {wanted} and retry_after_seconds"), code == Some(wanted) && wait.is_some())
            }
        };
        if !fits {
            return Err(unexpected(step, &wanted, &text));
        }
        let arrived: Vec<String> = seen.iter().map(|one| format!("{} {}", one.method, one.target)).collect();
        let wanted = call.arrives.as_slice();
        if arrived != wanted || !seen.iter().all(|one| one.credential) {
            return Err(unexpected(step, &format!("{wanted:?} at the API, with the credential"), &shown(seen)));
        }
        Ok(())
    }

    fn show(&mut self, told: &Told, seen: &[Seen]) -> Result<(), DemoError> {
        let error = told.error();
        if let Some(seen) = seen.first() {
            self.screen.pair("gate", &ending::granted(self.scratch)?, Tone::Good)?;
            self.screen.pair("API", &seen.to_string(), Tone::Plain)?;
        }
        match error {
            Some(error) => {
                let label = if seen.is_empty() { "gate" } else { "answer" };
                self.screen.pair(label, &refusal(&error), Tone::Refused)?;
            }
            None => {
                let text = told.texts.first().map(String::as_str).unwrap_or_default();
                self.screen.pair("answer", &cut(text, SHOWN), Tone::Faint)?;
            }
        }
        if seen.is_empty() {
            self.screen.pair("API", "received nothing", Tone::Plain)?;
        }
        Ok(())
    }
}

fn open(screen: &mut Screen<'_>, sample: &Sample, scratch: &Scratch) -> Result<(), DemoError> {
    screen.title("Portcullis, told in one session")?;
    screen.paragraph(&format!(
        "A sample of the Allstacks API with made-up data listens on {}. The gate stands between it and an agent, as a \
         process of its own, spoken to as any AI client would. Nothing leaves this machine. This is the policy:",
        sample.base_url(),
    ))?;
    screen.blank()?;
    screen.verbatim(&std::fs::read_to_string(scratch.policy()).map_err(DemoError::Scratch)?)?;
    Ok(())
}

/// The call as a person would say it: the tool, and what it is given but for a body.
fn question(call: &Call) -> String {
    let given = call.arguments.as_object().into_iter().flatten().filter_map(|(name, value)| match value {
        Value::String(text) if matches!(name.as_str(), "method" | "path") => Some(format!(" {text}")),
        Value::Number(number) => Some(format!(" {name}={number}")),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    });
    [call.tool.to_owned()].into_iter().chain(given).collect()
}

/// The text as `portcullis approve` shows it at a terminal: without the marks of a code block and what a form asks for.
fn at_desk(message: &str) -> String {
    let lines = message.lines().filter(|line| *line != "```").take_while(|line| !line.starts_with("To send it, "));
    lines.collect::<Vec<_>>().join("\n")
}

fn refusal(error: &Value) -> String {
    let word = |name: &str| error.get(name).and_then(Value::as_str);
    let mut text = format!("{}: {}", word("code").unwrap_or_default(), word("message").unwrap_or_default());
    if let Some(rule) = word("rule") {
        text.push_str(&format!(" [rule={rule}]"));
    }
    if let Some(seconds) = error.get("retry_after_seconds").and_then(Value::as_u64) {
        text.push_str(&format!(" [retry_after_seconds={seconds}]"));
    }
    text
}

fn shown(seen: &[Seen]) -> String {
    let all: Vec<String> = seen.iter().map(ToString::to_string).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

pub(super) fn unexpected(step: &'static str, wanted: &str, got: &str) -> DemoError {
    DemoError::Unexpected { step, wanted: wanted.to_owned(), got: cut(&escaped(got), 400) }
}
