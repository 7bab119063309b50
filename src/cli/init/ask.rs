//! What only a person can say, asked at their terminal.

use std::path::Path;

use super::{Group, InitError};
use crate::cli::desk::terminal::Terminal;
use crate::confirm::escape::shown;
use crate::trust::quoted;

/// Asks, or takes the defaults.
#[derive(Debug)]
pub(super) struct Asker {
    mode: Mode,
    terminal: Option<Terminal>,
}

/// Whether anybody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// What no flag says.
    Ask,
    /// Nobody: what no flag says is as it is proposed.
    Defaults,
}

impl Asker {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, terminal: None }
    }

    /// What was given, or what a person says; an empty line is the default.
    pub(super) fn value(
        &mut self,
        given: Option<&str>,
        flag: &'static str,
        question: &str,
        default: Option<&str>,
    ) -> Result<String, InitError> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        let said = match self.mode {
            Mode::Defaults => String::new(),
            Mode::Ask => {
                let or = default.map(|default| format!(" [{}]", shown(default))).unwrap_or_default();
                self.terminal(flag)?.ask(&format!("{question}{or}")).map_err(InitError::Terminal)?
            }
        };
        match (said.is_empty(), default) {
            (false, _) => Ok(said),
            (true, Some(default)) => Ok(default.to_owned()),
            (true, None) => Err(InitError::Missing(flag)),
        }
    }

    /// The groups that a person chooses, by number or name; none for all of them.
    pub(super) fn groups(&mut self, groups: &[Group]) -> Result<Vec<String>, InitError> {
        if self.mode == Mode::Defaults {
            return Ok(Vec::new());
        }
        let terminal = self.terminal("--group")?;
        for (place, group) in groups.iter().enumerate() {
            let paths = if group.paths == 1 { "path" } else { "paths" };
            let line = format!("{:>4}  {}  ({} {paths})", place + 1, group.id, group.paths);
            terminal.say(&line).map_err(InitError::Terminal)?;
        }
        let question = "What may the agent read? Numbers or names, such as `1 3`; an empty line is all of it.";
        let said = terminal.ask(question).map_err(InitError::Terminal)?;
        let words = said.split([' ', ',']).filter(|word| !word.is_empty());
        Ok(words.map(|word| named(groups, word)).collect())
    }

    /// Asks whether to write, where anything was asked.
    pub(super) fn confirm(&mut self, output: &Path) -> Result<(), InitError> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        let question = format!("Write `{}`? An empty line or `yes` writes it, anything else does not.", quoted(output));
        let said = terminal.ask(&question).map_err(InitError::Terminal)?;
        if ["", "y", "yes"].contains(&said.as_str()) { Ok(()) } else { Err(InitError::Declined) }
    }

    fn terminal(&mut self, flag: &'static str) -> Result<&mut Terminal, InitError> {
        if self.terminal.is_none() {
            self.terminal = Some(Terminal::open().map_err(|source| InitError::NoTerminal { flag, source })?);
        }
        self.terminal.as_mut().ok_or(InitError::Missing(flag))
    }
}

/// The group of this number, counted from 1; else the word is a name.
fn named(groups: &[Group], word: &str) -> String {
    let number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    number.and_then(|place| groups.get(place)).map_or_else(|| word.to_owned(), |group| group.id.clone())
}
