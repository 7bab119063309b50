//! The API's description that a policy names: built in, or a file beside the policy.

use std::path::{Path, PathBuf};

use crate::catalog::warning::{DocumentError, Warning};
use crate::catalog::{Catalog, MAX_DOCUMENT};
use crate::config::{self, ConfigError};
use crate::policy::{Openapi, Policy};

/// Why there is no catalog.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// It is no document of a kind that is known.
    #[error("`{}` cannot be used as the API's description: {source}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DocumentError,
    },
    /// The built-in description is broken.
    #[error("the built-in description cannot be used: {0}")]
    Builtin(DocumentError),
}

/// The catalog of a policy, if it names a description; `beside` is where the policy lies.
pub(super) fn of(policy: &Policy, beside: &Path) -> Result<Option<Catalog>, CatalogError> {
    let Some((catalog, warnings)) = read(policy, beside)? else { return Ok(None) };
    for warning in &warnings {
        tracing::debug!(%warning, "the API's description");
    }
    if !warnings.is_empty() {
        tracing::info!(count = warnings.len(), "notes on the API's description; `portcullis tools` prints them");
    }
    Ok(Some(catalog))
}

/// As [`of`], with everything that was found on the way.
pub(super) fn read(policy: &Policy, beside: &Path) -> Result<Option<(Catalog, Vec<Warning>)>, CatalogError> {
    match &policy.upstream().openapi {
        None => Ok(None),
        Some(Openapi::Allstacks) => Ok(Some((Catalog::allstacks().map_err(CatalogError::Builtin)?, Vec::new()))),
        Some(Openapi::File(name)) => {
            let path = beside.join(name);
            let text = config::read_document(&path, MAX_DOCUMENT)?;
            let read = Catalog::read(text).map_err(|source| CatalogError::Document { path, source })?;
            Ok(Some(read))
        }
    }
}
