//! The files: the program, the policy and its directory, its findings, what it names.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Unreadable;
use super::report::About;
use crate::catalog::Catalog;
use crate::cli::load::Loaded;
use crate::cli::sources::{self, Looked};
use crate::config;
use crate::policy::{Openapi, Parsed, Policy, SecretSpec, Severity, SourceSpec};
use crate::trust::{self, quoted};

/// Whether what the policy names is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sources {
    /// All of it.
    There,
    /// Something is missing, or cannot be used.
    Missing,
}

/// This program: whoever may change it is the gate.
pub(super) fn program(about: &mut About<'_>) {
    let found = std::env::current_exe().and_then(|path| path.canonicalize());
    let Ok(path) = found else {
        about.warn("program", "where this program lies cannot be told", "start it by its absolute path");
        return;
    };
    let version = env!("CARGO_PKG_VERSION");
    match trust::check_ancestors(&path).and_then(|()| trust::check_file(&path)) {
        Ok(()) => about.good("program", &format!("portcullis {version}, `{}`", quoted(&path))),
        Err(error) => about.warn("program", &error.to_string(), "who can change the program needs no policy"),
    }
}

/// The policy, where it can judge; what is wrong with it is reported.
///
/// # Errors
/// It cannot be read at all.
pub(super) fn policy(path: &Path, about: &mut About<'_>) -> Result<Option<Loaded>, Unreadable> {
    let file = match config::read_policy(path) {
        Ok(file) => file,
        Err(error) => {
            about.fail("file", &error.to_string(), "`serve` does not start with it");
            return Err(Unreadable);
        }
    };
    let mode = file.real_path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    about.good("file", &format!("mode {mode:04o}, in `{}`: nobody else may change them", quoted(file.directory())));
    if path.is_symlink() {
        let to = quoted(&file.real_path);
        about.warn("file", &format!("a symbolic link to `{to}`"), "a client is better told the file itself");
    }
    let Parsed { policy, mut findings, hidden: _ } = Policy::parse(&file.name(), &file.text);
    findings.extend(policy.iter().flat_map(|policy| sources::beyond(&file, policy)));
    sources::settle(&mut findings);
    let mut hints = 0;
    for finding in &findings {
        let message = format!("line {}: {} [{}]", finding.line, finding.message, finding.code);
        match finding.severity {
            Severity::Error => about.fail("policy", &message, "`portcullis check` shows it, with the right spelling"),
            Severity::Warning => about.warn("policy", &message, "`portcullis check` shows it"),
            Severity::Hint => hints += 1,
        }
    }
    match findings.len() {
        0 => about.good("policy", "no finding"),
        all if all == hints => about.good("policy", "nothing but hints; `portcullis check --hints` shows them"),
        _ => {}
    }
    Ok(policy.map(|policy| Loaded { file, policy }))
}

/// Each secret and each file of certificates; none is shown, and no command is run.
pub(super) fn sources(loaded: &Loaded, about: &mut About<'_>) -> Sources {
    let mut state = Sources::There;
    for Looked { source, finding } in sources::look(&loaded.file, &loaded.policy) {
        // The description has a line of its own, with what it holds.
        if matches!(source.spec, SourceSpec::Openapi(_)) {
            continue;
        }
        let check = check_of(&source.spec);
        match finding {
            Some(finding) => {
                state = Sources::Missing;
                let help = "`serve` does not start without it; `portcullis check` says where it is named";
                about.fail(check, &finding.message, help);
            }
            None => about.good(check, &format!("`{}`: {}", source.key, there(&source.spec))),
        }
    }
    if loaded.policy.upstream().credential.is_none() {
        about.good("secret", "none: the API is asked as anybody would");
    }
    state
}

fn check_of(spec: &SourceSpec) -> &'static str {
    match spec {
        SourceSpec::Secret(_) => "secret",
        SourceSpec::CaFile(_) | SourceSpec::ClientCertificate(_) => "certificate",
        SourceSpec::Openapi(_) => "description",
    }
}

/// What is there, never the thing itself.
fn there(spec: &SourceSpec) -> String {
    match spec {
        SourceSpec::Secret(SecretSpec::Env(name)) => format!("the variable {name} is set in this shell"),
        SourceSpec::Secret(SecretSpec::File(path)) => format!("`{}` is there, for you alone", quoted(path)),
        SourceSpec::Secret(SecretSpec::Systemd(name)) => format!("the systemd credential {name} is there"),
        SourceSpec::Secret(SecretSpec::Command(words)) => {
            let program = words.first().map(String::as_str).unwrap_or_default();
            format!("the program `{}` is there", quoted(Path::new(program)))
        }
        SourceSpec::CaFile(path) => format!("`{}` holds certificates", quoted(path)),
        SourceSpec::ClientCertificate(path) => format!("`{}` holds a certificate and its key", quoted(path)),
        SourceSpec::Openapi(path) => format!("`{}` is there", quoted(path)),
    }
}

/// The API's description, where the policy names one that can be read.
pub(super) fn description(loaded: &Loaded, about: &mut About<'_>) -> Option<Catalog> {
    let named = match &loaded.policy.upstream().openapi {
        None => {
            about.good("description", "none: the agent has api_get alone to read with");
            return None;
        }
        Some(Openapi::Allstacks) => "builtin:allstacks".to_owned(),
        Some(Openapi::File(path)) => quoted(path),
    };
    match crate::cli::catalog::read(&loaded.policy, loaded.file.directory()) {
        Ok(read) => {
            let (catalog, warnings) = read?;
            let count = catalog.operations().len();
            about.good("description", &format!("`{named}`: {count} operations, {} notes on it", warnings.len()));
            Some(catalog)
        }
        Err(error) => {
            about.fail("description", &error.to_string(), "`serve` does not start without it");
            None
        }
    }
}
