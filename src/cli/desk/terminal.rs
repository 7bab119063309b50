//! The terminal that this process belongs to, whatever its standard streams are.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

use rustix::termios::{QueueSelector, tcflush};

/// The longest answer that is looked at, in bytes; whatever is longer is not what was asked for.
const MAX_ANSWER: u64 = 1 << 10;

/// What stands before the answer.
const PROMPT: &str = "> ";

/// The controlling terminal, with a person at it.
#[derive(Debug)]
pub(in crate::cli) struct Terminal {
    tty: File,
}

impl Terminal {
    /// # Errors
    /// This process has none.
    pub(in crate::cli) fn open() -> io::Result<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        Ok(Self { tty })
    }

    /// Shows a text, which holds nothing that a terminal acts upon.
    pub(in crate::cli) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.tty, "{text}")
    }

    /// One line, without the white space around it; nothing where the input ended. What was typed before the question was there
    /// does not count.
    pub(in crate::cli) fn line(&mut self, question: &str) -> io::Result<Option<String>> {
        tcflush(&self.tty, QueueSelector::IFlush)?;
        write!(self.tty, "{question}\n{PROMPT}")?;
        self.tty.flush()?;
        let mut line = Vec::new();
        let read = BufReader::new(&self.tty).take(MAX_ANSWER).read_until(b'\n', &mut line)?;
        Ok((read > 0).then(|| String::from_utf8_lossy(line.trim_ascii()).into_owned()))
    }

    /// The same, where the end of the input says no more than an empty line.
    pub(in crate::cli) fn ask(&mut self, question: &str) -> io::Result<String> {
        Ok(self.line(question)?.unwrap_or_default())
    }
}
