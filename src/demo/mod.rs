//! The demonstration: a sample of the Allstacks API with made-up data, the real gate in front of it, and a session told
//! in plain words.
//!
//! Promises: the walk talks to the gate as any client does, over the stdin and stdout of a child process, and holds
//! every step against what the sample API received; the first difference ends it with an error that names the step.
//! Everything stays on the loopback interface and in one directory that is removed at the end.
//! Refuses: to report a step it did not check.
//! Trusts: the child, which is this very program. It shares no code with the gate but the log's verifier.

mod clients;
mod data;
mod desk;
mod ending;
mod sample;
mod scratch;
mod screen;
mod session;
mod steps;
mod walk;

use std::io;
use std::io::Write;
use std::path::Path;

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use self::clients::Connection;
use self::sample::Sample;
use self::scratch::{Credential, Scratch};
use self::screen::{Screen, Tone};

/// The name of the sample's policy, and so of the server in a client's list.
pub(crate) const NAME: &str = "allstacks-demo";

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The text could not be written. A closed pipe is the reader's wish to stop: [`DemoError::is_reader_gone`].
    #[error("cannot write to the terminal: {0}")]
    Screen(#[from] io::Error),
    /// Somebody pressed Ctrl-C or ended the process.
    #[error("stopped before the end")]
    Stopped,
    /// The directory of this run could not be made or filled.
    #[error("cannot set up the directory for the demo: {0}")]
    Scratch(#[source] io::Error),
    /// The sample API could not listen on the loopback interface.
    #[error("cannot start the sample API on 127.0.0.1: {0}")]
    Sample(#[source] io::Error),
    /// The program could not be started as a child process.
    #[error("step `{step}`: cannot start portcullis: {source}")]
    Start {
        /// What the demo was doing, as its title on the screen.
        step: &'static str,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The gate ended or closed its output while an answer was due.
    #[error("step `{step}`: the gate stopped answering; it said: {said}")]
    Silent {
        /// The title of the step.
        step: &'static str,
        /// The end of what the gate wrote to stderr, escaped.
        said: String,
    },
    /// The gate wrote something that is no answer to the question.
    #[error("step `{step}`: the gate did not answer in MCP: {line}")]
    Garbled {
        /// The title of the step.
        step: &'static str,
        /// The line, escaped and cut.
        line: String,
    },
    /// The gate answered, but not as this step must end.
    #[error("step `{step}`: expected {wanted}, got {got}")]
    Unexpected {
        /// The title of the step.
        step: &'static str,
        /// What should have come.
        wanted: String,
        /// What came, escaped and cut.
        got: String,
    },
}

impl DemoError {
    /// True when whoever read the text closed the pipe: no failure, nothing to report.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, DemoError::Screen(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Walks one session through the gate at `exe` and tells it on `out`, in at most 80 columns.
///
/// # Errors
/// The first step that does not end as it must.
pub async fn walk(out: &mut dyn Write, colour: bool, exe: &Path) -> Result<(), DemoError> {
    // Dropping the walk stops the gate and removes the directory, which the end of the process would not.
    let mut screen = Screen::new(out, colour);
    tokio::select! {
        told = walk::run(&mut screen, exe) => told,
        stopped = stopped() => stopped.and(Err(DemoError::Stopped)),
    }
}

/// Leaves the sample API up until Ctrl-C, prints how to connect a client to a gate in front of it, then shows every
/// request that arrives.
///
/// # Errors
/// The sample could not be set up, or its text not be written.
pub async fn serve(out: &mut dyn Write, colour: bool, exe: &Path) -> Result<(), DemoError> {
    let mut screen = Screen::new(out, colour);
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let token = scratch::made_up_token();
    let sample = Sample::start(&token, seen).await.map_err(DemoError::Sample)?;
    let scratch = Scratch::make(sample.port(), &Credential::File(&token)).map_err(DemoError::Scratch)?;

    screen.title("A sample of the Allstacks API is up")?;
    screen.paragraph(
        "The data is made up and nothing leaves this machine. Paste one of these into your client; it will start the \
         gate, and the gate will forward what the policy allows. Press Ctrl-C to stop and remove everything.",
    )?;
    screen.blank()?;
    screen.place("API", &sample.base_url())?;
    screen.place("policy", &scratch.policy().to_string_lossy())?;
    clients::print(&mut screen, &Connection { exe, policy: scratch.policy(), state: scratch.state() })?;
    screen.title("What the API receives")?;
    screen.paragraph("Only what passed the gate is shown here.")?;
    loop {
        tokio::select! {
            stopped = stopped() => {
                stopped?;
                screen.blank()?;
                return screen.paragraph("Stopped.").map_err(DemoError::Screen);
            }
            Some(seen) = arrivals.recv() => screen.pair("API", &seen.to_string(), Tone::Plain)?,
        }
    }
}

/// Waits for Ctrl-C, for a closed terminal or for a request to end.
async fn stopped() -> Result<(), DemoError> {
    let signal = |kind| unix::signal(kind).map_err(DemoError::Sample);
    let (mut end, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = end.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
