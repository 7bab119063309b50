//! `portcullis explain`: what a policy says of a request, of a tool, of all writes or of the whole API, and why.
//!
//! Promises that the verdict is the one that the gate makes: it comes of the same function. Sends nothing and reads no
//! secret.

mod judged;
mod operations;
mod quote;
mod tool;
mod writes;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::judged::Judged;
use super::call::Call;
use super::load::{self, Loaded};
use super::{FOUND, Format, complain, out};
use crate::config::Environment;

/// What is asked.
#[derive(Debug, Args)]
#[command(
    override_usage = "portcullis explain [OPTIONS] FILE METHOD PATH\n       portcullis explain [OPTIONS] FILE <--tool NAME|--writes|--all>"
)]
pub(super) struct Explain {
    /// The policy file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The method of a request: GET, HEAD, POST, PUT, PATCH or DELETE.
    #[arg(required_unless_present_any = ["tool", "writes", "all"], requires = "path")]
    method: Option<String>,
    /// Its path, below the policy's `base_url`: /organization/1/
    #[arg(conflicts_with_all = ["tool", "writes", "all"])]
    path: Option<String>,
    /// A name and value of its query; repeat it for several.
    #[arg(long, value_name = "NAME=VALUE", requires = "path")]
    query: Vec<String>,
    /// A header of its own; repeat it for several.
    #[arg(long, value_name = "NAME=VALUE", requires = "path")]
    header: Vec<String>,
    /// Its body, as JSON text.
    #[arg(long, value_name = "JSON", requires = "path")]
    body: Option<String>,
    /// A tool of the API's description: every request that it can make, and how the rules split them.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["writes", "all"])]
    tool: Option<String>,
    /// With `--tool`: the request that a call with these arguments makes, as JSON text.
    #[arg(long, value_name = "JSON", requires = "tool")]
    arguments: Option<String>,
    /// Every write that could pass, by rule, and who has to approve it.
    #[arg(long, conflicts_with = "all")]
    writes: bool,
    /// Every operation of the API's description: allowed, held or denied, and by which rule.
    #[arg(long)]
    all: bool,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Where an answer is printed, and how.
struct Page<W> {
    out: W,
    format: Format,
    coloured: bool,
}

/// Exit code 0 for a request that is let through or held, and for every table; 1 for one that is refused.
pub(super) fn run(asked: &Explain) -> ExitCode {
    match explain(asked) {
        Ok(code) | Err(code) => code,
    }
}

fn explain(asked: &Explain) -> Result<ExitCode, ExitCode> {
    let loaded = load::policy(&asked.file)?;
    let coloured = io::stdout().is_terminal() && !Environment::process().no_color();
    let mut page = Page { out: BufWriter::new(io::stdout().lock()), format: asked.format, coloured };
    let policy = &loaded.policy;
    let done = if asked.writes {
        (writes::print(&mut page, policy), ExitCode::SUCCESS)
    } else if asked.all {
        let none =
            "the policy names no description of the API (`[upstream] openapi`), so there is no list of operations";
        let catalog = loaded.catalog()?.0.ok_or_else(|| complain(&none))?;
        (operations::print(&mut page, policy, &catalog), ExitCode::SUCCESS)
    } else if let (Some(name), None) = (&asked.tool, &asked.arguments) {
        (tool::print(&mut page, policy, &tool::named(&loaded, name)?), ExitCode::SUCCESS)
    } else {
        let judged = judge(asked, &loaded)?;
        (judged.print(&mut page, policy), judged.exit_code())
    };
    let (written, code) = done;
    Ok(out::ended(written.and_then(|()| page.out.flush()), code))
}

fn judge(asked: &Explain, loaded: &Loaded) -> Result<Judged, ExitCode> {
    if let (Some(name), Some(arguments)) = (&asked.tool, &asked.arguments) {
        return tool::called(loaded, name, arguments);
    }
    let (method, path) = (asked.method.as_deref().unwrap_or_default(), asked.path.as_deref().unwrap_or_default());
    let call = Call::new(method, path, &asked.query, &asked.header, asked.body.as_deref());
    let call = call.map_err(|error| complain(&error))?;
    Ok(match call.request() {
        Ok(request) => Judged::request(&loaded.policy, request),
        Err(error) => Judged::refused(format!("{method} {path}"), Some(error.rule()), &error),
    })
}

impl Judged {
    fn exit_code(&self) -> ExitCode {
        if self.passes() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
    }
}
