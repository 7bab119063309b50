//! What only a look outside the policy's text can find: secrets and certificates that are not there or not safe, paths that
//! the API's description does not have.

use std::io;
use std::path::Path;

use super::catalog;
use super::check::{UNUSABLE_SOURCE, opened};
use crate::catalog::{Catalog, MAX_DOCUMENT};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Environment, PolicyFile};
use crate::policy::{Finding, Policy, Severity, Source, SourceSpec};
use crate::trust::TrustError;
use crate::upstream;
use crate::upstream::error::CertificateError;
use crate::upstream::source::{SourceError, SourceFault, Surroundings};

/// The code of the finding that report mode has ended.
const OVER: &str = "report-over";

/// The code of the finding that there is report mode, whatever the day.
const ON: &str = "report-mode";

/// Takes out what the policy's text alone says of report mode, where the day says that it has ended.
pub(super) fn settle(findings: &mut Vec<Finding>) {
    if findings.iter().any(|finding| finding.code == OVER) {
        findings.retain(|finding| finding.code != ON);
    }
}

/// A file or secret that the policy names, and what is wrong with it as it is now.
pub(super) struct Looked<'p> {
    pub(super) source: &'p Source,
    pub(super) finding: Option<Finding>,
}

/// One finding for each file or secret that cannot be used as it is now, and what else the policy's text does not tell.
pub(super) fn findings(file: &PolicyFile, policy: &Policy) -> Vec<Finding> {
    let mut found: Vec<Finding> = look(file, policy).into_iter().filter_map(|looked| looked.finding).collect();
    found.extend(beyond(file, policy));
    found
}

/// Looks at each of them. A command is looked for, not run.
pub(super) fn look<'p>(file: &PolicyFile, policy: &'p Policy) -> Vec<Looked<'p>> {
    let environment = Environment::process();
    let secrets = policy.sources().iter().filter_map(|source| match &source.spec {
        SourceSpec::Secret(spec) => Some(spec),
        SourceSpec::CaFile(_) | SourceSpec::ClientCertificate(_) | SourceSpec::Openapi(_) => None,
    });
    let surroundings = Surroundings::of(secrets, file.directory(), &|name| environment.get(name));
    let looked = |source| Looked { source, finding: finding(source, &surroundings) };
    policy.sources().iter().map(looked).collect()
}

/// What is wrong with the policy itself, as the API's description and the day tell.
pub(super) fn beyond(file: &PolicyFile, policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    // A description that cannot be read has a finding as a source.
    if let Ok(Some((catalog, _))) = catalog::read(policy, file.directory()) {
        found.extend(opened::findings(policy, &catalog));
    }
    found.extend(over(policy));
    found
}

/// Report mode whose time has passed.
fn over(policy: &Policy) -> Option<Finding> {
    let report = policy.report_until().filter(|report| report.is_over(SystemClock::new().since_epoch()))?;
    let message = format!("report mode ended on {}: nothing passes by it", report.day());
    Some(Finding::new(Severity::Warning, OVER, message, report.place(), Some("remove it".to_owned())))
}

fn finding(source: &Source, surroundings: &Surroundings) -> Option<Finding> {
    let (missing, sentence) = match &source.spec {
        SourceSpec::Secret(spec) => {
            let error = surroundings.probe(spec).err()?;
            (is_missing(&error), error.to_string())
        }
        SourceSpec::CaFile(path) => lacking(&upstream::authorities(&surroundings.path(path)).err()?),
        SourceSpec::Openapi(path) => description(&surroundings.path(path))?,
        SourceSpec::ClientCertificate(path) => lacking(&upstream::identity(&surroundings.path(path)).err()?),
    };
    let (severity, code) =
        if missing { (Severity::Warning, "source-missing") } else { (Severity::Error, UNUSABLE_SOURCE) };
    let help = missing.then(|| "`serve` will not start without it".to_owned());
    Some(Finding::new(severity, code, format!("`{}`: {sentence}", source.key), &source.place, help))
}

/// Whether the API's description is not there, and what is wrong with it.
fn description(path: &Path) -> Option<(bool, String)> {
    match config::read_document(path, MAX_DOCUMENT) {
        Ok(text) => Catalog::read(text).err().map(|error| (false, error.to_string())),
        Err(error) => Some((!path.exists(), error.to_string())),
    }
}

fn is_missing(error: &SourceError) -> bool {
    match error {
        SourceError::Source { fault, .. } => is_absent(fault),
        SourceError::HeaderName { .. } | SourceError::Unsearchable | SourceError::Poisoned => false,
    }
}

fn is_absent(fault: &SourceFault) -> bool {
    match fault {
        SourceFault::Unset | SourceFault::NoCredentialsDirectory => true,
        SourceFault::Untrusted(error) => is_not_there(error),
        SourceFault::Empty
        | SourceFault::TooLong
        | SourceFault::Unreadable(_)
        | SourceFault::CredentialName
        | SourceFault::NoCommand
        | SourceFault::RelativeCommand
        | SourceFault::CommandNotFound
        | SourceFault::CommandBroken(_)
        | SourceFault::CommandFailed(_)
        | SourceFault::CommandTimeout
        | SourceFault::NotVisible
        | SourceFault::Colon
        | SourceFault::NotASigningSecret
        | SourceFault::HeaderTooLong => false,
    }
}

fn lacking(error: &CertificateError) -> (bool, String) {
    let missing = match error {
        CertificateError::Untrusted(error) => is_not_there(error),
        CertificateError::Unreadable(_) | CertificateError::Unusable => false,
    };
    (missing, error.to_string())
}

fn is_not_there(error: &TrustError) -> bool {
    matches!(error, TrustError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
