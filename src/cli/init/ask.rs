//! What only a person can say, asked at their terminal.

use std::path::Path;

use super::{Group, InitError};
use crate::cli::desk::terminal::Terminal;
use crate::cli::out::counted;
use crate::confirm::escape::{defused, shown};
use crate::trust::quoted;

/// How often one thing is asked for.
const TRIES: usize = 5;

/// The flag of the groups.
const GROUP: &str = "--group";

/// One thing that is asked for.
pub(super) struct Question<'a> {
    /// The flag that answers it.
    pub(super) flag: &'static str,
    /// What is asked.
    pub(super) words: &'a str,
    /// What an empty line says.
    pub(super) default: Option<&'a str>,
}

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

    /// What was given, or what a person says; an empty line is the default. A person is told at once what cannot be used, and
    /// asked again.
    ///
    /// # Errors
    /// What was given cannot be used, or nobody gave anything that can.
    pub(super) fn answer<T>(
        &mut self,
        given: Option<&str>,
        question: &Question<'_>,
        judge: impl Fn(&str) -> Result<T, InitError>,
    ) -> Result<T, InitError> {
        let Question { flag, words, default } = *question;
        if let Some(given) = given {
            return judge(given);
        }
        let said = |said: &str| match (said, default) {
            ("", Some(default)) => judge(default),
            ("", None) => Err(InitError::Missing(flag)),
            (said, _) => judge(said),
        };
        match self.mode {
            Mode::Defaults => said(""),
            Mode::Ask => {
                let or = default.map(|default| format!(" [{}]", shown(default))).unwrap_or_default();
                until_good(self.terminal(flag)?, flag, &format!("{words}{or}"), said)
            }
        }
    }

    /// The groups that a person chooses, by number or name.
    ///
    /// # Errors
    /// Nobody gave any that there are.
    pub(super) fn groups(&mut self, groups: &[Group]) -> Result<Vec<String>, InitError> {
        if self.mode == Mode::Defaults {
            return chosen(groups, "");
        }
        let terminal = self.terminal(GROUP)?;
        for (place, group) in groups.iter().enumerate() {
            let line = format!("{:>4}  {}  ({})", place + 1, group.id, counted(group.paths, "path"));
            terminal.say(&line).map_err(InitError::Terminal)?;
        }
        let question =
            "What may the agent read? Numbers or names, such as `1 3` or `1-3, 5`; an empty line is all of it.";
        until_good(terminal, GROUP, question, |said| chosen(groups, said))
    }

    /// Asks whether to write, where anything was asked.
    pub(super) fn confirm(&mut self, output: &Path) -> Result<(), InitError> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        let question = format!("Write `{}`? An empty line or `yes` writes it, anything else does not.", quoted(output));
        // Who ends the input has not said yes.
        match terminal.line(&question).map_err(InitError::Terminal)?.as_deref() {
            Some("" | "y" | "yes") => Ok(()),
            Some(_) | None => Err(InitError::Declined),
        }
    }

    fn terminal(&mut self, flag: &'static str) -> Result<&mut Terminal, InitError> {
        if self.terminal.is_none() {
            self.terminal = Some(Terminal::open().map_err(|source| InitError::NoTerminal { flag, source })?);
        }
        self.terminal.as_mut().ok_or(InitError::Missing(flag))
    }
}

/// Asks until an answer can be used; the last error ends it.
fn until_good<T>(
    terminal: &mut Terminal,
    flag: &'static str,
    question: &str,
    judge: impl Fn(&str) -> Result<T, InitError>,
) -> Result<T, InitError> {
    let mut left = TRIES;
    loop {
        left = left.saturating_sub(1);
        let said = terminal.line(question).map_err(InitError::Terminal)?.ok_or(InitError::Ended(flag))?;
        match judge(&said) {
            Err(error) if left > 0 => terminal.say(&defused(&error.to_string())).map_err(InitError::Terminal)?,
            judged => return judged,
        }
    }
}

/// The groups of an answer: their numbers counted from 1 (`1 3`, `1-3, 5`), or their names; all for an empty one.
///
/// # Errors
/// There is none of that number or name.
fn chosen(groups: &[Group], said: &str) -> Result<Vec<String>, InitError> {
    if said.is_empty() {
        return Ok(groups.iter().map(|group| group.id.clone()).collect());
    }
    // `1 - 3` is `1-3`; no name of a group has white space in it.
    let said = said.split('-').map(str::trim).collect::<Vec<_>>().join("-");
    let mut chosen: Vec<String> = Vec::new();
    for word in said.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        let some =
            numbered(groups, word).or_else(|| groups.iter().find(|group| group.id == word).map(std::slice::from_ref));
        chosen.extend(some.ok_or_else(|| unknown(groups, word))?.iter().map(|group| group.id.clone()));
    }
    if chosen.is_empty() { Err(unknown(groups, &said)) } else { Ok(chosen) }
}

/// The groups of a number or of a range of numbers.
fn numbered<'g>(groups: &'g [Group], word: &str) -> Option<&'g [Group]> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let place = |number: &str| number.parse::<usize>().ok()?.checked_sub(1);
    groups.get(place(first)?..=place(last)?).filter(|some| !some.is_empty())
}

/// That there is no such group.
pub(super) fn unknown(groups: &[Group], word: &str) -> InitError {
    let known: Vec<_> = groups.iter().map(|group| format!("`{}`", group.id)).collect();
    InitError::Group { group: word.to_owned(), known: known.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    fn group(id: &str) -> Group {
        let case = Sample { method: "GET", path: "/".to_owned(), body: None };
        Group { id: id.to_owned(), toml: String::new(), paths: 1, case }
    }

    #[test]
    fn groups_are_chosen_by_numbers_ranges_and_names() {
        let groups = ["a", "b-2", "c", "d", "e"].map(group);
        for (said, expected) in [
            ("", Some("a b-2 c d e")),
            ("1", Some("a")),
            ("1 3", Some("a c")),
            ("1,3", Some("a c")),
            ("1-3, 5", Some("a b-2 c e")),
            ("1 - 3 ,5", Some("a b-2 c e")),
            ("b-2 1", Some("b-2 a")),
            ("5-5", Some("e")),
            ("0", None),
            ("6", None),
            ("4-6", None),
            ("3-1", None),
            ("2-1", None),
            ("1-", None),
            ("-1", None),
            ("1-2-3", None),
            ("1-99999999999999999999999", None),
            ("f", None),
            ("1 f", None),
            (",", None),
        ] {
            assert_eq!(chosen(&groups, said).ok().map(|ids| ids.join(" ")).as_deref(), expected, "`{said}`");
        }
    }
}
