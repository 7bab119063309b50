//! The `portcullis` command.

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    portcullis::cli::run()
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    use std::io::Write;
    let sentence =
        "portcullis: only Linux and macOS are supported: it checks who else may write its files by Unix's rules";
    // A closed standard error leaves nobody to tell.
    drop(writeln!(std::io::stderr(), "{sentence}"));
    ExitCode::from(2)
}
