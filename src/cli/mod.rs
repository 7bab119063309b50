//! The commands. Exit codes: 0 good, 1 findings or a refused verdict, 2 unusable arguments or files.

mod audit;
mod call;
mod catalog;
pub mod check;
mod demo;
mod desk;
mod diff;
mod doctor;
mod explain;
mod init;
mod install;
mod learn;
mod load;
mod logged;
mod out;
mod put;
mod replay;
mod serve;
mod shell;
mod sources;
mod test;
mod tools;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::confirm::escape::defused;
use audit::export::{Form, export};
use audit::select::Select;
use audit::show::{Window, show};
use audit::stats::stats;
use desk::Consent;

/// Something was found or refused.
const FOUND: u8 = 1;
/// Arguments or files that cannot be used.
const UNUSABLE: u8 = 2;

/// A read-only-by-default, policy-gated MCP gateway for HTTP APIs.
///
/// An AI client gets exactly the methods and paths that a TOML policy names: GET only until writes are enabled, every
/// call limited before it is forwarded, every question and answer in a log that shows tampering. The credential never
/// leaves the gateway.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve APIs to one AI client over standard input and output (MCP).
    ///
    /// The client starts this command itself; see the README for how to tell it. The policy and its directory must not
    /// be writable by others. A wrong policy never starts: every finding is printed with its line (exit 1). A missing
    /// secret, an unwritable log or an unsafe file is one sentence (exit 2).
    ///
    /// With several policies each API keeps its own rules, limits, credentials and log, its tools are called NAME_tool,
    /// and one wrong file stops the start.
    Serve {
        /// A policy file; repeat it for several APIs.
        #[arg(long, required = true, value_name = "FILE")]
        policy: Vec<PathBuf>,
        /// Where the audit log and the counts live, with several policies in DIR/NAME [default:
        /// $XDG_STATE_HOME/portcullis/NAME].
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
    /// Show the gate at work: a made-up API on loopback and a real session through it. Needs nothing.
    Demo {
        /// Leave the sample API up and print how to connect a client to it.
        #[arg(long)]
        serve: bool,
    },
    /// Check policy files: every finding at once, with its place and the right spelling.
    ///
    /// Exit 1 when there is an error; warnings and hints alone exit 0. `--explain CODE` says what a code means.
    Check {
        /// The policy files.
        #[arg(required_unless_present = "explain", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A policy that none of the files may be wider than; each thing in which one is wider is an error.
        #[arg(long, value_name = "CEILING")]
        within: Option<PathBuf>,
        /// How findings are printed.
        #[arg(long, value_enum, default_value_t = check::Form::Human)]
        format: check::Form,
        /// Print hints as well.
        #[arg(long)]
        hints: bool,
        /// Say what the code of a finding means and what to do.
        #[arg(long, value_name = "CODE", conflicts_with = "files")]
        explain: Option<String>,
    },
    /// Say what a policy makes of a request, and why: the verdict, the rule, every rule that was considered.
    ///
    /// `explain FILE METHOD PATH` judges one request by the very function that the gate uses and prints it as it would be
    /// sent; `--tool NAME` tells how the rules split the calls of one tool, `--writes` every write that could pass, `--all`
    /// the whole API. Nothing is sent and no secret is read. Exit 1 for a request that is refused.
    Explain(Box<explain::Explain>),
    /// Run the cases beside a policy: each a request, and what the policy has to say of it.
    ///
    /// A file of cases is TOML: `[[case]]` with `method` (GET), `path`, `query`, `headers`, `body`, and what is expected: `expect`
    /// ("allow", "hold", "deny", or "refuse" for what is no request under any policy), `rule` and `code`. Says which rules no case
    /// hits. Exit 1 where a case fails.
    Test(test::Test),
    /// Print the smallest policy for what a log shows to have been done.
    ///
    /// Paths are folded by the API's description or by what varies, queries and bodies are held to the names that were seen, and
    /// the rest of the policy in force stays. Reads alone, unless `--writes`. The policy is compared with the one in force, and
    /// printed only where it is no wider, but for what report mode let through: that is told. Exit 1 where none can be proved.
    Learn(Box<learn::Learn>),
    /// Say which decisions of a log a policy would make otherwise, with examples.
    ///
    /// Each request of the log is put together again and judged; the values that a rule lists are found by their digests, with
    /// the key beside the log. What the log does not tell is counted apart. Exit 1 where a decision changes or cannot be decided.
    Replay(Box<replay::Replay>),
    /// Print the JSON Schema of the policy, for editors.
    ///
    /// taplo and VS Code (Even Better TOML) use it where the policy's first line is `#:schema policy.schema.json`, with the
    /// schema saved under that name beside it. It helps while writing; `check` says everything that is wrong.
    Schema,
    /// Compare two policies: whether NEW lets anything through that OLD does not, or asks for less.
    ///
    /// Exact: each difference is shown by a request, the shortest there is. Also says in what NEW is narrower. Exit 0 when
    /// NEW is no wider, 1 when it is wider or when that could not be told, 2 for a file that cannot be used.
    Diff {
        /// The policy that is in force.
        old: PathBuf,
        /// The policy to take its place.
        new: PathBuf,
        /// How the differences are printed.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Print what the agent will see: every tool, and what the list costs in bytes and about in tokens.
    ///
    /// What the API's description leaves out goes to standard error. Nothing is sent and no secret is read.
    Tools {
        /// The policy file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How the list is printed; `json` prints the tools as the agent gets them.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// List the writes that wait for a person.
    ///
    /// A write that the policy holds is sent once a person has approved it: in the client, where that can ask, or in a
    /// terminal with `approve`. Exit 2 when a gateway could not be heard, so that what waits there is missing.
    Pending {
        #[command(flatten)]
        place: Place,
        /// How the list is printed; `json` has each request whole: address, headers and every byte of the body.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Show a write that waits, and let it go once.
    ///
    /// Shows the request as it would be sent, and asks at the terminal. One approval lets one call through: the one that
    /// waits for it, or the same call made again in time. Exit 0 when it was approved, 1 when it was not, 2 when nobody
    /// could be asked.
    Approve {
        /// The code that the agent was told and `pending` lists; case and hyphen do not matter.
        code: String,
        /// Do not ask: for a program that has shown the request to a person in its own way.
        #[arg(long, requires = "digest")]
        yes: bool,
        /// Approve only the request with this digest, as `pending --format json` has it.
        #[arg(long, value_name = "HEX")]
        digest: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Refuse a write that waits, or take back an approval that no call has used.
    ///
    /// The call that waits for an answer, or comes next, is told so. Three refusals in a row close writes for a while.
    /// Exit 1 when no such write waits.
    Decline {
        /// The code that the agent was told and `pending` lists; case and hyphen do not matter.
        code: String,
        #[command(flatten)]
        place: Place,
    },
    /// Open writes again that three refusals in a row have closed.
    ///
    /// Says for how long they would stay closed, and asks at the terminal. Exit 0 when they are open, 1 when they stay
    /// closed, 2 when nobody could be asked or no gateway runs.
    Reopen {
        #[command(flatten)]
        place: Place,
    },
    /// Put the policy files of running gateways in force, as they are now.
    ///
    /// A file with errors changes nothing, nor does one that is wider than the policy in force (as `portcullis diff` finds it), or
    /// that may be: with --wider each widening is shown at the terminal, and a word is asked for. Writes that wait for a
    /// person have to be asked for again. Exit 0 when every file is in force, 1 when one is not, 2 when nobody could be
    /// asked.
    Reload {
        /// Show in what a file is wider, and ask.
        #[arg(long)]
        wider: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Read audit logs.
    #[command(subcommand)]
    Audit(Box<Audit>),
    /// Write a first policy: read-only, as small as it can be and be of use.
    ///
    /// Asks at the terminal what no flag says. For Allstacks it has the groups of `policy.example.toml` that a person
    /// chooses; from an OpenAPI document the GET operations, a rule for each tag, and what looks like access or people
    /// (tokens, keys, users, invitations and the like) denied. The secret is named, never asked for. Both files, the policy
    /// and its cases, are new and for their owner alone (mode 0600).
    Init(Box<init::Init>),
    /// Enter a gate for these policies into a client's own configuration.
    ///
    /// Writes one entry with absolute paths: this program, `serve`, the policies. Everything else in the file stays as it
    /// is, comments included, and a copy of it is laid beside it (`.TIME.bak`). No secret and no variable is written: the
    /// policy says where its secret is. An entry of that name that starts something else is not touched (exit 1); nor is
    /// anything where `--remove` finds no entry of that name (exit 1).
    Install(install::Install),
    /// Look at everything between a policy and an answer of its API: a line for each thing, and what to do about it.
    ///
    /// Files and their modes, findings, secrets (whether they are there, never what they are), certificates, the state
    /// directory, the log and its locks, gateways that run under an older policy, clients that name this one; then the
    /// API's name, its TLS certificate, one harmless GET that the policy allows, and the clock. That GET goes through the
    /// gate like an agent's, so it is in a log of the doctor's own. Exit 1 where something FAILs, 2 where a policy cannot
    /// be read.
    Doctor(doctor::Doctor),
    /// Print the completions of these commands for a shell.
    ///
    /// For bash: `portcullis completions bash > ~/.local/share/bash-completion/completions/portcullis`.
    Completions(shell::Completions),
    /// Print the manual page of this program, or of one of its commands: `portcullis man audit verify | man -l -`.
    Man(shell::Manual),
}

/// Where gateways are looked for.
#[derive(Debug, Args)]
struct Place {
    /// The gateways' state directory, or the one above several [default: $XDG_STATE_HOME/portcullis].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Check that a log, or every log of a directory, was not changed since it was written.
    ///
    /// Exit 0 when every record is in its place and every checkpoint is signed with the key, 1 on any doubt, 2 when
    /// nothing can be read. Records after the last checkpoint, as a gateway that runs or was killed leaves them, are
    /// chained and not anchored: that is said.
    Verify {
        /// A log file or a state directory.
        path: PathBuf,
        /// The public key of the checkpoints; repeat it for several [default: checkpoint.pub beside the log].
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// A checkpoint that was kept elsewhere, or a file with one on each line: what the logs held then must still be there.
        #[arg(long, value_name = "CHECKPOINT")]
        since: Vec<String>,
        /// Records that no signed checkpoint covers are a doubt (exit 1).
        #[arg(long)]
        strict: bool,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Print the newest checkpoint of each log, one line each: to be kept where the gateway's user cannot write.
    ///
    /// The log is checked first; exit 1 where it does not verify or has no checkpoint yet.
    Checkpoint {
        /// A log file or a state directory.
        path: PathBuf,
    },
    /// Say that a log does not verify and why that is known, so that the gateway starts beside it.
    ///
    /// Written to a log of its own, with the user and the reason, and good for the file as it is now.
    Acknowledge {
        /// The log file that the gateway named.
        file: PathBuf,
        /// Why the file is as it is.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Print the calls of a log, one line each, and what else it tells of.
    ///
    /// Only what is verified is printed, with a word about how much is not (exit 1). A call stands where it ended.
    Show {
        /// A log file or a state directory.
        #[arg(value_name = "PATH")]
        log: PathBuf,
        #[command(flatten)]
        select: Select,
        /// How the records are printed; `json` prints them as they stand, one a line.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Print the last calls of a log, and with `--follow` each that comes.
    Tail {
        /// A log file or a state directory.
        #[arg(value_name = "PATH")]
        log: PathBuf,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: usize,
        /// Go on with what comes, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        select: Select,
        /// How the records are printed; `json` prints them as they stand, one a line.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Count calls: by verdict, rule, code, status, agent, tool, request and hour, and how long they took.
    Stats {
        /// A log file or a state directory.
        #[arg(value_name = "PATH")]
        log: PathBuf,
        #[command(flatten)]
        select: Select,
        /// How the numbers are printed.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Print calls for other tools, one line each.
    #[command(group = clap::ArgGroup::new("form").required(true))]
    Export {
        /// A log file or a state directory.
        #[arg(value_name = "PATH")]
        log: PathBuf,
        /// As events of the Open Cybersecurity Schema Framework 1.6.0, class API Activity, one JSON object a line.
        #[arg(long, group = "form")]
        ocsf: bool,
        /// As comma-separated values (RFC 4180) with a head line.
        #[arg(long, group = "form")]
        csv: bool,
        #[command(flatten)]
        select: Select,
    },
}

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs: JSON.
    Json,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve { policy, state_dir } => serve::run(&policy, state_dir.as_deref()),
        Command::Demo { serve } => demo::run(serve),
        Command::Check { explain: Some(code), .. } => explain_code(&code),
        Command::Check { files, within, format, hints, explain: None } => {
            check_files(&files, within.as_deref(), format, hints)
        }
        Command::Diff { old, new, format } => diff::run(&old, &new, format),
        Command::Explain(asked) => explain::run(&asked),
        Command::Test(asked) => test::run(&asked),
        Command::Learn(asked) => learn::run(&asked),
        Command::Replay(asked) => replay::run(&asked),
        Command::Schema => schema(),
        Command::Tools { file, format } => tools::run(&file, format),
        Command::Pending { place, format } => desk::pending(place.state_dir.as_deref(), format),
        Command::Approve { code, yes, digest, place } => {
            let consent = match (yes, digest.as_deref()) {
                (true, Some(digest)) => Consent::Digest(digest),
                (true, None) | (false, _) => Consent::Typed(digest.as_deref()),
            };
            desk::approve(place.state_dir.as_deref(), &code, consent)
        }
        Command::Decline { code, place } => desk::decline(place.state_dir.as_deref(), &code),
        Command::Reopen { place } => desk::reopen(place.state_dir.as_deref()),
        Command::Reload { wider, place } => {
            let consent = if wider { desk::reload::Asking::AtTerminal } else { desk::reload::Asking::Nobody };
            desk::reload::run(place.state_dir.as_deref(), consent)
        }
        Command::Audit(command) => audit(*command),
        Command::Init(asked) => init::run(&asked),
        Command::Install(asked) => install::run(&asked),
        Command::Doctor(asked) => doctor::run(&asked),
        Command::Completions(asked) => shell::completions(&asked, Arguments::command()),
        Command::Man(asked) => shell::man(&asked, Arguments::command()),
    }
}

fn audit(command: Audit) -> ExitCode {
    match command {
        Audit::Verify { path, key, since, strict, format } => {
            let tail = if strict { verify::Tail::Refused } else { verify::Tail::Named };
            verify::run(&path, &key, &since, tail, format)
        }
        Audit::Checkpoint { path } => verify::checkpoint(&path),
        Audit::Acknowledge { file, reason } => verify::acknowledge(&file, &reason),
        Audit::Show { log, select, format } => show(&log, &select, Window::All, format),
        Audit::Tail { log, lines, follow, select, format } => {
            let window = if follow { Window::Follow(lines) } else { Window::Last(lines) };
            show(&log, &select, window, format)
        }
        Audit::Stats { log, select, format } => stats(&log, &select, format),
        Audit::Export { log, ocsf, csv: _, select } => export(&log, &select, if ocsf { Form::Ocsf } else { Form::Csv }),
    }
}

/// `check`: what the file says, and what only a look at the files and secrets it names can find.
fn check_files(files: &[PathBuf], within: Option<&Path>, form: check::Form, hints: bool) -> ExitCode {
    let ceiling = match within.map(load::policy).transpose() {
        Ok(ceiling) => ceiling.map(|loaded| loaded.policy),
        Err(code) => return code,
    };
    let hints = if hints { check::Hints::Shown } else { check::Hints::Counted };
    check::run(files, form, load::look(), hints, |file, policy| {
        let wider = ceiling.iter().flat_map(|ceiling| diff::within(ceiling, file, policy));
        sources::findings(file, policy).into_iter().chain(wider).collect()
    })
}

/// The JSON Schema of the policy.
const SCHEMA: &str = include_str!("../../docs/policy.schema.json");

fn schema() -> ExitCode {
    print(SCHEMA)
}

/// `check --explain`.
fn explain_code(code: &str) -> ExitCode {
    let Some(explained) = check::explained::of(code) else {
        return complain(&format!("there is no finding `{}`; docs/policy-findings.md lists them", code.escape_debug()));
    };
    print(&format!("{}\n\n{}\n", explained.code, explained.plain()))
}

/// A text on standard output; a reader that has seen enough ends it well.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => complain(&error),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// One clear sentence on standard error, and exit code 2.
fn complain(error: &dyn std::fmt::Display) -> ExitCode {
    use std::io::Write;
    // A closed standard error leaves nobody to tell.
    // What is quoted in it, such as a file's name, may hold what a terminal acts upon.
    drop(writeln!(std::io::stderr(), "portcullis: {}", defused(&error.to_string())));
    ExitCode::from(UNUSABLE)
}
