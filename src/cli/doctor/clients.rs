//! The clients: which of them start a gate for this policy, and whether they will find it.

use std::path::{Path, PathBuf};

use super::report::About;
use crate::cli::install::client::{Client, Start, Started};
use crate::cli::install::{Entries, entries, variables};
use crate::cli::load::Loaded;
use crate::config::Environment;
use crate::trust::quoted;

/// Looks at the configuration of every known client in its usual place.
pub(super) fn look(loaded: &Loaded, about: &mut About<'_>) {
    let environment = Environment::process();
    let mut found = 0_usize;
    for client in Client::ALL {
        let Some(path) = client.place(&environment).filter(|path| path.exists()) else { continue };
        let entries = match entries(client, &path) {
            Entries::Read(entries) => entries,
            Entries::Unreadable(why) => {
                about.warn(
                    "client",
                    &format!("{}: `{}`: {why}", client.title(), quoted(&path)),
                    "it may not start a gate",
                );
                continue;
            }
        };
        for (name, entry) in entries {
            let Some(started) = Started::read(&entry).filter(|started| names(started, loaded)) else { continue };
            found += 1;
            judge(client, &name, &started, loaded, about);
        }
    }
    if found == 0 {
        let message =
            "no configuration of a client in its usual place names this policy; `portcullis install` enters it";
        about.good("client", message);
    }
}

/// Whether an entry is about this policy, or seems to be: a relative path may lead anywhere.
fn names(started: &Started, loaded: &Loaded) -> bool {
    let real = &loaded.file.real_path;
    started.policies.iter().any(|policy| match policy.is_absolute() {
        true => policy.canonicalize().is_ok_and(|policy| policy == *real),
        false => policy.file_name() == real.file_name(),
    })
}

fn judge(client: Client, name: &str, started: &Started, loaded: &Loaded, about: &mut About<'_>) {
    let entry = format!("{}, entry `{name}`", client.title());
    let anew = "`portcullis install` writes it anew";
    let faults = faults(started);
    for fault in &faults {
        about.fail("client", &format!("{entry}: {fault}"), anew);
    }
    if faults.is_empty() && !is_this_program(&started.program) {
        let program = quoted(&started.program);
        about.warn("client", &format!("{entry} starts another program than this one, `{program}`"), anew);
    } else if faults.is_empty() {
        about.good("client", &format!("{entry} starts this program with this policy"));
    }
    for variable in variables(&loaded.policy) {
        match (started.variables.contains(&variable), client.start()) {
            (false, Start::Desktop) => about.warn(
                "client",
                &format!(
                    "{entry} gets no {variable}, and a client that is started from the desktop has no shell's variables"
                ),
                "let the policy take the secret from a `file` or a `command`",
            ),
            (true, _) => about.warn(
                "client",
                &format!("{entry} hands on {variable}: if that is the secret, it stands in the client's configuration"),
                "let the policy take the secret from a `file` or a `command`",
            ),
            (false, Start::Terminal) => {}
        }
    }
}

/// What keeps the client from starting a gate with this entry.
fn faults(started: &Started) -> Vec<String> {
    let mut faults = Vec::new();
    let program = &started.program;
    if !program.is_absolute() {
        faults.push(format!(
            "`{}` is no absolute path; which program that is, the client's PATH decides",
            quoted(program)
        ));
    } else if !program.is_file() {
        faults.push(format!("there is no program `{}`", quoted(program)));
    }
    let relative = started.policies.iter().filter(|policy| !policy.is_absolute());
    faults.extend(relative.map(|policy| {
        format!("`{}` is no absolute path, and the client starts a gate in a directory of its own", quoted(policy))
    }));
    faults
}

fn is_this_program(program: &Path) -> bool {
    let real = |path: PathBuf| path.canonicalize().ok();
    let this = std::env::current_exe().ok().and_then(real);
    this.is_some() && this == real(program.to_owned())
}
