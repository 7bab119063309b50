//! `portcullis test`: cases beside a policy, each a request and what the policy has to say of it.
//!
//! Promises that each verdict is what the gate's own decision makes of the rules; report mode, which passes with its day, is not
//! asked. A case that cannot be read ends the run (exit 2): a test that is skipped in silence is none.

mod case;
mod report;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::case::Case;
use self::report::{Ran, Report};
use super::{FOUND, UNUSABLE, complain, load, out};
use crate::config::{self, Environment};

/// The largest file of cases, in bytes.
const MAX_CASES_BYTES: usize = 8 << 20;

/// What is tested.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The policy file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Files of cases [default: the one beside the policy, `policy.cases.toml` for `policy.toml`].
    #[arg(value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// A rule that no case hits is a failure as well.
    #[arg(long)]
    cover: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people.
    Human,
    /// For programs: one JSON document.
    Json,
    /// For CI: JUnit's XML.
    Junit,
}

/// Exit code 0 where every case gets what it expects, 1 where one does not, 2 for files that cannot be used.
pub(super) fn run(asked: &Test) -> ExitCode {
    match test(asked) {
        Ok(code) | Err(code) => code,
    }
}

fn test(asked: &Test) -> Result<ExitCode, ExitCode> {
    let loaded = load::policy(&asked.file)?;
    let beside = [beside(&asked.file)];
    let files: &[PathBuf] = if asked.cases.is_empty() { &beside } else { &asked.cases };
    let mut ran = Vec::new();
    for file in files {
        let text = config::read_cases(file, MAX_CASES_BYTES).map_err(|error| complain(&error))?;
        let name = file.display().to_string();
        let cases = Case::read(&text).map_err(|error| complain(&format!("{name}:\n{error}")))?;
        for case in cases {
            let judged =
                case.judge(&loaded.policy).map_err(|error| complain(&format!("{name}:{}: {error}", case.line)))?;
            ran.push(Ran { file: name.clone(), case, judged });
        }
    }
    if ran.is_empty() {
        complain(&"there is no case: write `[[case]]` with `method`, `path` and `expect`");
        return Err(ExitCode::from(UNUSABLE));
    }
    let report = Report::new(&loaded.policy, ran);
    let coloured = io::stdout().is_terminal() && !Environment::process().no_color();
    let mut page = BufWriter::new(io::stdout().lock());
    let written = report.write(&mut page, asked.format, coloured).and_then(|()| page.flush());
    let uncovered = asked.cover && !report.unhit().is_empty();
    let code = if report.failed() > 0 || uncovered { ExitCode::from(FOUND) } else { ExitCode::SUCCESS };
    Ok(out::ended(written, code))
}

/// Where the cases of a policy are looked for.
fn beside(policy: &Path) -> PathBuf {
    policy.with_extension("cases.toml")
}
