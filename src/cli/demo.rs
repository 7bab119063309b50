//! `portcullis demo`: a session through the gate in front of a made-up API, told in plain words.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::config::Environment;
use crate::demo::{self, DemoError};

/// Runs the demo and prints it on stdout, in colour on a terminal unless `NO_COLOR` is set (<https://no-color.org>).
///
/// Exit code 0 when every step ended as it must or the reader closed the pipe, else 1 with one sentence on stderr.
pub(super) fn run(serve: bool) -> ExitCode {
    let mut out = io::stdout();
    let colour = out.is_terminal() && !Environment::process().no_color();
    match told(&mut out, serve, colour) {
        Err(error) if !error.is_reader_gone() => {
            // With stderr closed as well there is nobody left to tell.
            drop(writeln!(io::stderr(), "portcullis demo: {error}"));
            ExitCode::from(1)
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn told(out: &mut dyn Write, serve: bool, colour: bool) -> Result<(), DemoError> {
    let exe = std::env::current_exe().map_err(DemoError::Scratch)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Sample)?;
    runtime.block_on(async {
        if serve { demo::serve(out, colour, &exe).await } else { demo::walk(out, colour, &exe).await }
    })
}
