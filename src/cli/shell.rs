//! What a shell and `man` know of this program, made from the definition that its own `--help` is made from.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::complain;

/// The program's name.
const NAME: &str = "portcullis";

/// For which shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that will read them.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Which manual page.
#[derive(Debug, Args)]
pub(super) struct Manual {
    /// The command that the page is about, such as `serve` or `audit verify` [default: the program].
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write every page into this directory, which exists, in place of printing one.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    directory: Option<PathBuf>,
}

/// `completions`: a script on standard output.
pub(super) fn completions(asked: &Completions, mut program: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut program, NAME, &mut script);
    print(&script)
}

/// `man`: a page on standard output, or all of them in a directory.
pub(super) fn man(asked: &Manual, program: Command) -> ExitCode {
    match &asked.directory {
        Some(directory) => write_all(directory, program),
        None => page(&asked.command, program),
    }
}

fn write_all(directory: &Path, program: Command) -> ExitCode {
    match clap_mangen::generate_to(program, directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the pages cannot be written to `{}`: {error}", directory.display())),
    }
}

fn page(path: &[String], program: Command) -> ExitCode {
    let mut program = program.disable_help_subcommand(true);
    // So that each command knows its whole name.
    program.build();
    let mut command = &program;
    for word in path {
        let Some(found) = command.find_subcommand(word) else {
            return complain(&format!("there is no command `{}`; `portcullis --help` lists them", path.join(" ")));
        };
        command = found;
    }
    let title = command.get_display_name().unwrap_or(NAME).to_owned();
    let mut page = Vec::new();
    match Man::new(command.clone()).title(title).render(&mut page) {
        Ok(()) => print(&page),
        Err(error) => complain(&error),
    }
}

/// A reader that has seen enough is no fault.
fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(&error),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
