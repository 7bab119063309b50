//! Where a secret is, as a person names it on a command line.

use std::path::Path;

use super::InitError;
use super::text::toml_string;

/// A credential, as the policy writes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credential {
    /// The value of `bearer`, or of `value` in `header`: `{ env = "TOKEN" }`.
    pub(super) toml: String,
    /// The name of a header of the API's own.
    pub(super) header: Option<String>,
    /// What a person has to do, so that the secret is there.
    pub(super) advice: String,
}

impl Credential {
    /// Whether a place is one of them, wherever the policy will lie.
    ///
    /// # Errors
    /// As [`Credential::read`].
    pub(super) fn judge(place: &str) -> Result<(), InitError> {
        Self::read(place, None, Path::new("/")).map(drop)
    }

    /// Reads `env:NAME` and its like; nothing for `none`. `directory` is where the policy will lie.
    ///
    /// # Errors
    /// It is none of them. It may be the secret itself, so it is not in the error.
    pub(super) fn read(place: &str, header: Option<&str>, directory: &Path) -> Result<Option<Self>, InitError> {
        if place == "none" {
            return Ok(None);
        }
        let (kind, value) =
            place.split_once(':').filter(|(_, value)| !value.is_empty()).ok_or(InitError::Credential)?;
        let (toml, advice) = match kind {
            "env" if !is_name(value, "_") => return Err(InitError::Credential),
            "systemd" if !is_name(value, "_.-") => return Err(InitError::Credential),
            "env" => (
                format!("{{ env = {} }}", toml_string(value)),
                format!(
                    "the variable {value} has to hold the secret where the gate runs. A client that is started from the \
                     desktop has no shell's variables: use file: or command: there"
                ),
            ),
            "systemd" => (
                format!("{{ systemd = {} }}", toml_string(value)),
                format!("the unit needs LoadCredential={value}:PATH"),
            ),
            "file" => {
                let path = named_from(Path::new(value), directory)?;
                let advice = format!("the file {value} has to hold the secret, for you alone: chmod 600 {value}");
                (format!("{{ file = {} }}", toml_string(&path)), advice)
            }
            "command" => {
                if value.contains(['"', '\'', '\\']) {
                    return Err(InitError::Quotes);
                }
                let words: Vec<_> = value.split_whitespace().map(toml_string).collect();
                let advice = "the command has to print the secret, without asking anybody".to_owned();
                (format!("{{ command = [{}] }}", words.join(", ")), advice)
            }
            _ => return Err(InitError::Credential),
        };
        Ok(Some(Self { toml, header: header.map(str::to_owned), advice }))
    }
}

fn is_name(text: &str, also: &str) -> bool {
    text.len() <= 255
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// How the policy names a file: from its own directory where it lies there, else from `/`.
///
/// # Errors
/// The current directory is gone.
pub(super) fn named_from(path: &Path, directory: &Path) -> Result<String, InitError> {
    let unwritable = |source| InitError::Unwritable { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(unwritable)?;
    let parent = absolute.parent().and_then(|parent| parent.canonicalize().ok());
    let whole = match (parent, absolute.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        (None | Some(_), _) => absolute,
    };
    Ok(whole.strip_prefix(directory).unwrap_or(&whole).to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_what_the_policy_says_of_it() {
        for (place, toml) in [
            ("env:API_TOKEN", r#"{ env = "API_TOKEN" }"#),
            ("systemd:api-token", r#"{ systemd = "api-token" }"#),
            ("file:/run/token", r#"{ file = "/run/token" }"#),
            ("command:pass show  api", r#"{ command = ["pass", "show", "api"] }"#),
        ] {
            let credential = Credential::read(place, None, Path::new("/nowhere")).unwrap().unwrap();
            assert_eq!(credential.toml, toml, "{place}");
        }
        assert_eq!(Credential::read("none", None, Path::new("/")).unwrap(), None);
    }

    #[test]
    fn what_may_be_the_secret_itself_is_not_repeated() {
        for place in [
            "s3cret",
            "env:s3cret value",
            "env:",
            "token:s3cret",
            "env:s3cret=",
            "env:sk-live-s3cret",
            "env:s3cret.x",
            "",
            "command:sh -c 's3cret'",
        ] {
            let error = Credential::read(place, None, Path::new("/")).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_file_beside_the_policy_is_named_by_its_name_alone() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap();
        assert_eq!(named_from(&directory.path().join("token"), &real).unwrap(), "token");
        assert_eq!(named_from(Path::new("/run/token"), &real).unwrap(), "/run/token");
    }
}
