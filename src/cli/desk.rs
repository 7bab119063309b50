//! The approver's side: what waits for a person, and what the person says to it, from a terminal of their own.
//!
//! Promises: a yes is typed at a terminal, after the request was shown there, or carries the digest of the request; what
//! is printed was made safe by the gateway or is escaped here. Trusts the sockets in state directories that only this
//! user may write.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::termios::{QueueSelector, tcflush};

use super::{FOUND, Format, complain};
use crate::config::{self, ConfigError, Environment};
use crate::confirm::desk::{self, Answer, MAX_REPLY, Order, PATIENCE, Waiting};
use crate::confirm::form;
use crate::trust;

/// A gateway that answers, and the directory it lives in.
struct Gateway {
    socket: PathBuf,
}

/// Why the desk cannot be used.
#[derive(Debug, thiserror::Error)]
enum DeskError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "no gateway is running that could ask anybody; its state directory is given with --state-dir where it is not the default"
    )]
    Nobody,
    #[error("no question with the code `{0}` waits; `portcullis pending` lists those that do")]
    NoQuestion(String),
    #[error("several gateways have a question with this code; name one of them with --state-dir")]
    Ambiguous,
    #[error("the gateway behind `{}` cannot be spoken to: {source}", socket.display())]
    Gateway { socket: PathBuf, source: io::Error },
    #[error("there is no terminal to ask at ({0}); for a program, `approve` takes --yes together with --digest")]
    NoTerminal(io::Error),
    #[error("the request with this code has another digest; nothing was approved")]
    OtherDigest,
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
    #[error("{0}")]
    Refused(String),
}

/// `pending`: every question that waits.
pub(super) fn pending(state_dir: Option<&Path>, format: Format) -> ExitCode {
    let listed = gateways(state_dir).and_then(|gateways| questions(&gateways));
    let (questions, closed) = match listed {
        Ok((questions, closed)) => (questions.into_iter().map(|(_, question)| question).collect::<Vec<_>>(), closed),
        // Nobody asks, so nothing waits.
        Err(DeskError::Nobody) => (Vec::new(), None),
        Err(error) => return complain(&error),
    };
    let mut out = io::BufWriter::new(io::stdout());
    let written = match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &questions).map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        Format::Human => list(&mut out, &questions, closed),
    };
    match written.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

/// What `approve` was told beside the code.
pub(super) struct Approval<'a> {
    pub(super) digest: Option<&'a str>,
    pub(super) yes: bool,
}

/// `approve`: shows the request and asks.
pub(super) fn approve(state_dir: Option<&Path>, code: &str, approval: &Approval<'_>) -> ExitCode {
    ended(try_approve(state_dir, &spelled(code), approval))
}

/// `decline`: the answer is no.
pub(super) fn decline(state_dir: Option<&Path>, code: &str) -> ExitCode {
    let code = spelled(code);
    let declined = find(state_dir, &code).and_then(|(gateway, _)| {
        done(gateway.ask(&Order::Decline { code })?)?;
        say("declined: the call that waits, or comes next, is told so")?;
        Ok(ExitCode::SUCCESS)
    });
    ended(declined)
}

/// `reopen`: opens writes before their time.
pub(super) fn reopen(state_dir: Option<&Path>) -> ExitCode {
    ended(try_reopen(state_dir))
}

fn ended(result: Result<ExitCode, DeskError>) -> ExitCode {
    match result {
        Ok(code) => code,
        // What a gateway refuses, and what is not there, is an answer; the rest could not be done.
        Err(error @ (DeskError::Refused(_) | DeskError::NoQuestion(_) | DeskError::OtherDigest)) => {
            let _unusable = complain(&error);
            ExitCode::from(FOUND)
        }
        Err(error) => complain(&error),
    }
}

fn try_approve(state_dir: Option<&Path>, code: &str, approval: &Approval<'_>) -> Result<ExitCode, DeskError> {
    let (gateway, question) = find(state_dir, code)?;
    if approval.digest.is_some_and(|digest| !digest.eq_ignore_ascii_case(&question.digest)) {
        return Err(DeskError::OtherDigest);
    }
    let typed = match approval.yes {
        // Whoever has the digest has seen the request; the word is for people.
        true => question.word.clone(),
        false => match ask(&question)? {
            Said::Yes(typed) => typed,
            Said::No => return decline_after(&gateway, code),
            Said::Nothing => {
                say("left as it is: it waits on, until it ends by itself")?;
                return Ok(ExitCode::from(FOUND));
            }
        },
    };
    let order = Order::Approve { code: code.to_owned(), digest: question.digest, typed };
    let seconds = done(gateway.ask(&order)?)?.unwrap_or_default();
    say(&format!(
        "approved, for one use: a call that waits goes on; otherwise the same call has to come again within {seconds} s"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn decline_after(gateway: &Gateway, code: &str) -> Result<ExitCode, DeskError> {
    done(gateway.ask(&Order::Decline { code: code.to_owned() })?)?;
    say("declined: nothing is sent")?;
    Ok(ExitCode::from(FOUND))
}

fn try_reopen(state_dir: Option<&Path>) -> Result<ExitCode, DeskError> {
    let gateways = gateways(state_dir)?;
    let (_, closed) = questions(&gateways)?;
    let Some(seconds) = closed else {
        say("writes are open")?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut terminal = Terminal::open()?;
    terminal.say(&format!(
        "Writes are closed for another {seconds} s, because three questions in a row were answered with no."
    ))?;
    if terminal.ask("Type `yes` to open them again: ")?.trim() != "yes" {
        say("writes stay closed")?;
        return Ok(ExitCode::from(FOUND));
    }
    for gateway in &gateways {
        done(gateway.ask(&Order::Reopen)?)?;
    }
    say("writes are open again")?;
    Ok(ExitCode::SUCCESS)
}

/// What a person said at the terminal.
enum Said {
    /// With the word, where one was asked for.
    Yes(Option<String>),
    No,
    Nothing,
}

fn ask(question: &Waiting) -> Result<Said, DeskError> {
    let mut terminal = Terminal::open()?;
    terminal.say(&form::in_terminal(&question.message))?;
    let wanted = question.word.as_deref().unwrap_or("yes");
    let given = terminal
        .ask(&format!("Type `{wanted}` to approve it, `no` to decline it; anything else leaves it waiting.\n> "))?;
    let given = given.trim();
    Ok(match &question.word {
        // First: the word may be `no`.
        Some(word) if given == word => Said::Yes(Some(given.to_owned())),
        None if given == "yes" => Said::Yes(None),
        Some(_) | None if given == "no" => Said::No,
        Some(_) | None => Said::Nothing,
    })
}

/// The terminal that this process belongs to, whatever its standard streams are.
struct Terminal {
    tty: File,
}

impl Terminal {
    fn open() -> Result<Self, DeskError> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(DeskError::NoTerminal)?;
        Ok(Self { tty })
    }

    fn say(&mut self, text: &str) -> Result<(), DeskError> {
        writeln!(self.tty, "{text}")?;
        Ok(())
    }

    /// One line; what was typed before the question was there does not count.
    fn ask(&mut self, prompt: &str) -> Result<String, DeskError> {
        tcflush(&self.tty, QueueSelector::IFlush).map_err(io::Error::from)?;
        write!(self.tty, "{prompt}")?;
        self.tty.flush()?;
        let mut line = String::new();
        BufReader::new(&self.tty).take(1 << 10).read_line(&mut line)?;
        Ok(line)
    }
}

impl Gateway {
    fn ask(&self, order: &Order) -> Result<Answer, DeskError> {
        self.speak(order).map_err(|source| DeskError::Gateway { socket: self.socket.clone(), source })
    }

    fn speak(&self, order: &Order) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut text = serde_json::to_vec(order)?;
        text.push(b'\n');
        stream.write_all(&text)?;
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX);
        BufReader::new(stream.take(limit)).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

fn done(answer: Answer) -> Result<Option<u64>, DeskError> {
    match answer {
        Answer::Done { expires_in_seconds } => Ok(expires_in_seconds),
        Answer::Refused { why } => Err(DeskError::Refused(why)),
        Answer::Pending { .. } => {
            Err(DeskError::Refused("the gateway did not understand; it may be of another version".to_owned()))
        }
    }
}

/// The question with this code, and whose it is.
fn find(state_dir: Option<&Path>, code: &str) -> Result<(Gateway, Waiting), DeskError> {
    let (questions, _) = questions(&gateways(state_dir)?)?;
    let mut found = questions.into_iter().filter(|(_, question)| question.code == code);
    let Some((socket, question)) = found.next() else { return Err(DeskError::NoQuestion(code.to_owned())) };
    match found.next() {
        Some(_) => Err(DeskError::Ambiguous),
        None => Ok((Gateway { socket }, question)),
    }
}

type Questions = (Vec<(PathBuf, Waiting)>, Option<u64>);

/// Every question of these gateways, each with the socket of its gateway; and for how long writes stay closed.
fn questions(gateways: &[Gateway]) -> Result<Questions, DeskError> {
    let (mut all, mut closed) = (Vec::new(), None);
    for gateway in gateways {
        match gateway.ask(&Order::Pending)? {
            Answer::Pending { questions, closed_seconds } => {
                all.extend(questions.into_iter().map(|question| (gateway.socket.clone(), question)));
                closed = closed.max(closed_seconds);
            }
            other @ (Answer::Done { .. } | Answer::Refused { .. }) => {
                done(other)?;
            }
        }
    }
    all.sort_by_key(|(_, question)| std::cmp::Reverse(question.age_seconds));
    Ok((all, closed))
}

/// The gateways that live in the state directory, or in any directory one below it (several APIs, or the default place).
fn gateways(state_dir: Option<&Path>) -> Result<Vec<Gateway>, DeskError> {
    let root = config::state_root(state_dir, &Environment::process())?;
    let below = std::fs::read_dir(&root).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut directories: Vec<PathBuf> = below.filter(|path| path.is_dir() && !path.is_symlink()).collect();
    directories.push(root);
    directories.sort();
    // Whoever may write there may pretend to be a gateway.
    directories.retain(|directory| trust::check_directory(directory).is_ok());
    let sockets = directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten();
    let mut sockets: Vec<PathBuf> = sockets.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sockets.retain(|path| desk::pid_of(path).is_some() && UnixStream::connect(path).is_ok());
    sockets.sort();
    if sockets.is_empty() {
        return Err(DeskError::Nobody);
    }
    Ok(sockets.into_iter().map(|socket| Gateway { socket }).collect())
}

/// A code as the gateway spells it: upper case, with a hyphen in the middle.
fn spelled(code: &str) -> String {
    let letters: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    match letters.split_at_checked(3) {
        Some((first, rest)) if rest.len() == 3 => format!("{first}-{rest}"),
        Some(_) | None => code.escape_debug().to_string(),
    }
}

fn list(out: &mut impl Write, questions: &[Waiting], closed: Option<u64>) -> io::Result<()> {
    if let Some(seconds) = closed {
        writeln!(out, "Writes are closed for another {seconds} s; `portcullis reopen` opens them.")?;
    }
    if questions.is_empty() {
        return writeln!(out, "Nothing waits for a person.");
    }
    let width = |of: fn(&Waiting) -> &str, title: &str| {
        questions.iter().map(|question| of(question).len()).chain([title.len()]).max().unwrap_or_default()
    };
    let (api, rule) = (width(|q| &q.api, "API"), width(|q| &q.rule, "RULE"));
    writeln!(out, "CODE     {:api$}  {:rule$}  {:>6}  {:>7}  REQUEST", "API", "RULE", "AGE", "ENDS IN")?;
    for question in questions {
        let Waiting { code, method, target, age_seconds, expires_in_seconds, .. } = question;
        let (age, ends) = (format!("{age_seconds} s"), format!("{expires_in_seconds} s"));
        writeln!(
            out,
            "{code:7}  {:api$}  {:rule$}  {age:>6}  {ends:>7}  {method} {target}",
            question.api, question.rule
        )?;
    }
    writeln!(out, "\n`portcullis approve CODE` shows one of them whole and asks.")
}

fn say(sentence: &str) -> Result<(), DeskError> {
    writeln!(io::stdout(), "{sentence}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_spelled() {
        for code in ["K7F-3QD", "k7f-3qd", "k7f3qd", " K7F 3QD "] {
            assert_eq!(spelled(code), "K7F-3QD", "{code}");
        }
        assert_eq!(spelled("\u{1b}[2J"), "\\u{1b}[2J");
    }
}
