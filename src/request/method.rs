//! R1: the method is one of six names, byte for byte. No trimming, no other case, no HEAD in place of GET.

use std::fmt;

/// An HTTP method that a request may have (RFC 9110 section 9, RFC 5789).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// Every method there is.
    pub const ALL: [Self; 6] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Reads the exact name.
    ///
    /// # Errors
    /// Any other bytes, also a known name in another case or with space around it.
    pub fn parse(name: &str) -> Result<Self, MethodError> {
        let known = |name: &str| Self::ALL.into_iter().find(|method| method.as_str() == name);
        match known(name) {
            Some(method) => Ok(method),
            None => Err(match known(&name.trim().to_ascii_uppercase()) {
                Some(method) => MethodError::Spelling { method },
                None => MethodError::Unknown,
            }),
        }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text names no method (R1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MethodError {
    /// Another case, or space around the name.
    #[error("`method` is not spelled exactly: write `{method}`")]
    Spelling {
        /// The method that was probably meant.
        method: Method,
    },
    /// Not a method that a request may have.
    #[error("`method` is not one of GET, HEAD, POST, PUT, PATCH, DELETE: use one of these")]
    Unknown,
}

impl MethodError {
    /// The rule that was broken.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Spelling { .. } | Self::Unknown => "R1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_methods_are_known_by_their_exact_names() {
        for name in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(Method::parse(name).map(Method::as_str), Ok(name));
        }
        assert_eq!(Method::ALL.len(), 6);
    }

    #[test]
    fn any_other_bytes_are_no_method() {
        let known = |method| MethodError::Spelling { method };
        let cases = [
            ("lower case", "get", known(Method::Get)),
            ("mixed case", "GeT", known(Method::Get)),
            ("a space before", " GET", known(Method::Get)),
            ("a space after", "PATCH ", known(Method::Patch)),
            ("a line end", "GET\r\n", known(Method::Get)),
            ("empty", "", MethodError::Unknown),
            ("an asterisk", "*", MethodError::Unknown),
            ("not for requests of ours", "OPTIONS", MethodError::Unknown),
            ("a tunnel", "CONNECT", MethodError::Unknown),
            ("an echo", "TRACE", MethodError::Unknown),
            ("a letter of another script", "G\u{415}T", MethodError::Unknown),
            ("a whole request line", "GET /x HTTP/1.1\r\nX: ", MethodError::Unknown),
            ("two methods", "GET,POST", MethodError::Unknown),
        ];
        for (name, raw, error) in cases {
            assert_eq!(Method::parse(raw), Err(error), "{name}");
            assert_eq!(error.rule(), "R1");
        }
        assert_eq!(Method::parse("get").unwrap_err().to_string(), "`method` is not spelled exactly: write `GET`");
    }
}
