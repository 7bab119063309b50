//! The approver's side: what waits for a person, and what the person says to it, from a terminal of their own.
//!
//! Promises: a yes is typed at a terminal, after the request was shown there, or carries the digest of the request; what
//! is printed was made safe to print by the gateway, and once more here.

mod gateways;
mod list;
pub(super) mod reload;
pub(super) mod terminal;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{FOUND, Format, complain};
use crate::config::ConfigError;
use crate::confirm::CODE_LENGTH;
use crate::confirm::desk::{self, Answer, Listing, Order, Waiting, span};
use crate::confirm::escape::shown;
use crate::confirm::form;
use crate::trust::{TrustError, quoted};
use gateways::{Found, Gateway, Replies};
use list::List;
use terminal::Terminal;

/// How a person consents.
#[derive(Debug, Clone, Copy)]
pub(super) enum Consent<'a> {
    /// By typing, once they have seen the request; it has this digest, where one is given.
    Typed(Option<&'a str>),
    /// By the digest of the request, which a program has shown them.
    Digest(&'a str),
}

/// Why an order cannot be given, or was not carried out.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no gateway runs below `{}`; name its state directory with --state-dir", quoted(.0))]
    Nobody(PathBuf),
    #[error("no question with the code `{}` waits; `portcullis pending` lists those that do", shown(.0))]
    NoQuestion(String),
    #[error(
        "several questions have this code; `pending --format json` tells their digests, and `approve` takes one with --digest"
    )]
    Ambiguous,
    #[error("the request with this code has another digest; nothing was approved")]
    OtherDigest,
    #[error("{0}")]
    Refused(String),
    #[error("no gateway there is believed: {0}")]
    Distrusted(TrustError),
    #[error("whether a gateway runs in `{}` cannot be seen: {source}", quoted(directory))]
    Unreadable { directory: PathBuf, source: io::Error },
    #[error("the gateway behind `{}` could not be heard: {source}", quoted(socket))]
    Unheard { socket: PathBuf, source: io::Error },
    #[error(
        "the gateway behind `{}` answered something else than was asked; it may be of another version",
        quoted(socket)
    )]
    Unexpected { socket: PathBuf },
    #[error("there is no terminal to ask at ({0}); for a program, `approve` takes --yes together with --digest")]
    NoTerminal(io::Error),
    #[error("there is no terminal to ask at ({0}); a person has to open writes")]
    NobodyToReopen(io::Error),
    #[error("there is no terminal to ask at ({0}); a person has to widen a policy")]
    NobodyToWiden(io::Error),
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
}

impl OrderError {
    /// What is not there, or is refused, is an answer; the rest could not be done.
    fn exit_code(&self) -> ExitCode {
        let unusable = complain(self);
        match self {
            Self::NoQuestion(_) | Self::OtherDigest | Self::Refused(_) => ExitCode::from(FOUND),
            Self::Config(_)
            | Self::Nobody(_)
            | Self::Ambiguous
            | Self::Distrusted(_)
            | Self::Unreadable { .. }
            | Self::Unheard { .. }
            | Self::Unexpected { .. }
            | Self::NoTerminal(_)
            | Self::NobodyToReopen(_)
            | Self::NobodyToWiden(_)
            | Self::Terminal(_) => unusable,
        }
    }
}

/// `pending`: every question that waits.
pub(super) fn pending(state_dir: Option<&Path>, format: Format) -> ExitCode {
    let Replies { root, mut answers, mut failed } = match Replies::listings(state_dir) {
        Ok(replies) => replies,
        Err(error) => return error.exit_code(),
    };
    let heard = !answers.is_empty();
    if format == Format::Json {
        failed.extend(fetch(&mut answers));
    }
    let list = List::new(answers.into_iter().map(|(_, listing)| listing));
    let mut out = io::BufWriter::new(io::stdout());
    let written = match format {
        Format::Json => list.write_json(&mut out),
        Format::Human if heard => list.write_human(&mut out, state_dir),
        Format::Human if failed.is_empty() => {
            writeln!(out, "Nothing waits for a person: no gateway runs below `{}`.", quoted(&root))
        }
        Format::Human => Ok(()),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return complain(&error),
        Ok(()) | Err(_) => {}
    }
    failed.iter().fold(ExitCode::SUCCESS, |_, error| complain(error))
}

/// Fetches each request whole; a list of them may be too long for one line. Why some could not be fetched.
fn fetch(answers: &mut [(Gateway, Listing)]) -> Vec<OrderError> {
    let mut failed = Vec::new();
    for (gateway, listing) in answers {
        for question in &mut listing.questions {
            match gateway.whole(&question.code) {
                Ok(whole) => question.request = whole,
                Err(error) => failed.push(error),
            }
        }
    }
    failed
}

/// `approve`: shows the request and asks, or takes the word of a program that did.
pub(super) fn approve(state_dir: Option<&Path>, code: &str, consent: Consent<'_>) -> ExitCode {
    ended(try_approve(state_dir, code, consent))
}

/// `decline`: the answer is no.
pub(super) fn decline(state_dir: Option<&Path>, code: &str) -> ExitCode {
    ended(try_decline(state_dir, code))
}

/// `reopen`: opens writes before their time.
pub(super) fn reopen(state_dir: Option<&Path>) -> ExitCode {
    ended(try_reopen(state_dir))
}

fn ended(done: Result<ExitCode, OrderError>) -> ExitCode {
    done.unwrap_or_else(|error| error.exit_code())
}

fn try_approve(state_dir: Option<&Path>, code: &str, consent: Consent<'_>) -> Result<ExitCode, OrderError> {
    let code = spelled(code)?;
    let digest = match consent {
        Consent::Typed(digest) => digest,
        Consent::Digest(digest) => Some(digest),
    };
    let Found { gateway, question, closed } = Replies::listings(state_dir)?.find(&code, digest)?;
    if let Some(seconds) = closed {
        return Err(OrderError::Refused(desk::closed(seconds)));
    }
    let typed = match consent {
        // Whoever has the digest has seen the request; the word is for people.
        Consent::Digest(_) => question.word,
        Consent::Typed(_) => match ask(&question, state_dir)? {
            Said::Yes(typed) => typed,
            Said::No => {
                gateway.decide(&code, &Order::Decline { code: code.clone() })?;
                say("declined: nothing is sent, and the agent is told so");
                return Ok(ExitCode::from(FOUND));
            }
            Said::Nothing => {
                say("left as it is: it still waits");
                return Ok(ExitCode::from(FOUND));
            }
        },
    };
    let decided = gateway.decide(&code, &Order::Approve { code: code.clone(), digest: question.digest, typed })?;
    match decided.call_waits {
        true => say("approved: the call that waits for it goes on"),
        false => say(&format!(
            "approved, for one use: the agent has to make the same call again within {}",
            span(decided.left.as_secs())
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// How many gateways of a state directory answer, and why others do not.
pub(super) fn heard(state_dir: &Path) -> (usize, Vec<String>) {
    match Replies::listings(Some(state_dir)) {
        Ok(Replies { answers, failed, .. }) => (answers.len(), failed.iter().map(ToString::to_string).collect()),
        Err(error) => (0, vec![error.to_string()]),
    }
}

/// Every gateway is told: a no needs no look at what it is about.
fn try_decline(state_dir: Option<&Path>, code: &str) -> Result<ExitCode, OrderError> {
    let code = spelled(code)?;
    let replies = Replies::to(&Order::Decline { code: code.clone() }, state_dir)?;
    if !replies.answers.iter().any(|(_, answer)| matches!(answer, Answer::Decided { .. })) {
        return Err(replies.none(&code));
    }
    say("declined: nothing is sent, and the agent is told so");
    Ok(ExitCode::SUCCESS)
}

fn try_reopen(state_dir: Option<&Path>) -> Result<ExitCode, OrderError> {
    let Replies { root, answers, failed } = Replies::listings(state_dir)?;
    let somebody_runs = !answers.is_empty();
    let (gateways, listings): (Vec<Gateway>, Vec<Listing>) =
        answers.into_iter().filter(|(_, listing)| listing.closed_seconds.is_some()).unzip();
    if gateways.is_empty() {
        return match failed.into_iter().next() {
            Some(error) => Err(error),
            None if somebody_runs => {
                say("writes are open");
                Ok(ExitCode::SUCCESS)
            }
            // Writes may be closed there all the same, until one does.
            None => Err(OrderError::Nobody(root)),
        };
    }
    let mut terminal = Terminal::open().map_err(OrderError::NobodyToReopen)?;
    for closed in List::new(listings).closed() {
        terminal.say(&format!("{closed}\n"))?;
    }
    if terminal.ask("Type `yes` to open them. Anything else leaves them closed.")? != "yes" {
        say("writes stay closed");
        return Ok(ExitCode::from(FOUND));
    }
    // Each of them, so that every log says who opened writes.
    for gateway in &gateways {
        gateway.open_writes()?;
    }
    say("writes are open again");
    Ok(ExitCode::SUCCESS)
}

/// What a person said at the terminal.
enum Said {
    /// With the word, where one was asked for.
    Yes(Option<String>),
    No,
    Nothing,
}

fn ask(question: &Waiting, state_dir: Option<&Path>) -> Result<Said, OrderError> {
    let mut terminal = Terminal::open().map_err(OrderError::NoTerminal)?;
    terminal.say(&form::in_terminal(&question.message))?;
    if form::is_cut(&question.message) {
        let place = desk::place(state_dir);
        terminal.say(&format!("To see all of it, in another terminal:  portcullis pending --format json{place}"))?;
    }
    let (age, left) = (span(question.age_seconds), span(question.expires_in_seconds));
    terminal.say(&format!("Asked {age} ago; ends in {left}."))?;
    let word = question.word.as_deref().unwrap_or("yes");
    let given = terminal.ask(&format!(
        "Type `{word}` to approve it, for one use.\nType `no` to decline it. Anything else leaves it waiting."
    ))?;
    Ok(match given {
        given if given == "no" => Said::No,
        given if given == word => Said::Yes(question.word.is_some().then_some(given)),
        _ => Said::Nothing,
    })
}

/// A code as the gateways spell it: upper case, with a hyphen in the middle.
fn spelled(code: &str) -> Result<String, OrderError> {
    let unknown = || OrderError::NoQuestion(code.to_owned());
    let letters: String = code.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect();
    if letters.len() != CODE_LENGTH || !letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(unknown());
    }
    let letters = letters.to_ascii_uppercase();
    let (first, last) = letters.split_at_checked(CODE_LENGTH / 2).ok_or_else(unknown)?;
    Ok(format!("{first}-{last}"))
}

/// What came of a command; a reader that is gone changes nothing of it.
fn say(sentence: &str) {
    drop(writeln!(io::stdout(), "{sentence}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_spelled() {
        for code in ["K7F-3QD", "k7f-3qd", "k7f3qd", " K7F 3QD "] {
            assert_eq!(spelled(code).unwrap(), "K7F-3QD", "{code}");
        }
    }

    #[test]
    fn what_is_no_code_is_none_and_is_shown_escaped() {
        for code in ["", "-", "K7F-3Q", "K7F-3QDX", "K7Fé3QD", "K7F_3QD", "\u{1b}[2J", "\u{202e}K7F3QD"] {
            let error = spelled(code).unwrap_err().to_string();
            assert!(error.starts_with("no question with the code `"), "{error}");
            assert!(!error.contains(['\u{1b}', '\u{202e}']), "{error:?}");
        }
    }
}
