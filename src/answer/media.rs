//! From the bytes of an answer to its text, by its content type.
//!
//! Promises text that is what the API meant: UTF-8, or one of the two western charsets that are decoded. Refuses binary
//! types by their name and what is in no such charset; nothing is ever replaced or guessed.

/// What an answer's content type says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Media {
    /// Lower case, without parameters.
    essence: String,
    charset: Option<String>,
}

/// Why an answer is not shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No text.
    #[error("the answer is {essence}, {bytes} bytes; only text is passed on")]
    Binary {
        /// Its media type.
        essence: String,
        /// Its size.
        bytes: usize,
    },
    /// Text that this build does not read.
    #[error("the answer is in the charset {0}; only UTF-8, ISO-8859-1 and Windows-1252 are read")]
    Charset(String),
    /// Text that is not what it says.
    #[error("the answer is not UTF-8 text, and only text is passed on")]
    NotUtf8,
    /// Said to be JSON, where members of it are to be redacted, and none.
    #[error("the answer cannot be read as JSON, so that nothing could be redacted in it; it is not shown")]
    NotJson,
    /// Text in which a member that is to be redacted may stand, among what is no JSON.
    #[error("the answer is text that may hold JSON, in which nothing could be redacted; it is not shown")]
    Mixed,
}

/// Types under `application/` that no model reads; `octet-stream` says that nobody knows what it is.
const BINARY: [&str; 22] = [
    "octet-stream",
    "pdf",
    "zip",
    "gzip",
    "x-gzip",
    "x-tar",
    "x-bzip2",
    "x-xz",
    "zstd",
    "x-7z-compressed",
    "x-rar-compressed",
    "vnd.rar",
    "java-archive",
    "wasm",
    "x-protobuf",
    "protobuf",
    "vnd.google.protobuf",
    "cbor",
    "msgpack",
    "x-msgpack",
    "msword",
    "x-sqlite3",
];

/// Text that holds JSON and is none.
const WRAPPED: [&str; 3] = ["text/event-stream", "text/javascript", "application/javascript"];

impl Media {
    /// Reads a `content-type` (RFC 9110, section 8.3); none is as good as an empty one.
    pub(super) fn parse(value: &str) -> Self {
        let mut parts = value.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let named = name.trim().eq_ignore_ascii_case("charset");
            named.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
        });
        Self { essence, charset }
    }

    /// The text, without a byte order mark.
    pub(super) fn text(&self, body: Vec<u8>) -> Result<String, Unreadable> {
        if self.is_binary() {
            return Err(Unreadable::Binary {
                essence: self.essence.escape_default().take(64).collect(),
                bytes: body.len(),
            });
        }
        let mut text = match self.charset.as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii" | "ascii" | "") => {
                String::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?
            }
            Some("iso-8859-1" | "iso8859-1" | "latin1" | "windows-1252" | "cp1252") => western(body),
            Some(other) => return Err(Unreadable::Charset(other.escape_default().take(40).collect())),
        };
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(text)
    }

    /// Whether the text is JSON, by its type or by its looks, or holds JSON as a whole.
    pub(super) fn claims_json(&self, text: &str) -> bool {
        let subtype = self.essence.split_once('/').map_or("", |(_, subtype)| subtype);
        subtype.contains("json") || WRAPPED.contains(&self.essence.as_str()) || looks_like_json(text)
    }

    fn is_binary(&self) -> bool {
        let Some((kind, subtype)) = self.essence.split_once('/') else { return false };
        let is_text = ["+json", "+xml", "+yaml", "+csv"].iter().any(|suffix| subtype.ends_with(suffix));
        match kind {
            "image" | "audio" | "video" | "font" | "model" => !is_text,
            "application" => {
                let office = subtype.starts_with("vnd.openxmlformats") || subtype.starts_with("vnd.ms-");
                let packed = ["+zip", "+gzip", "+cbor", "+protobuf"].iter().any(|suffix| subtype.ends_with(suffix));
                !is_text && (BINARY.contains(&subtype) || subtype.starts_with("grpc") || office || packed)
            }
            _ => false,
        }
    }
}

/// A text that begins as an object does, or as arrays with an object in them; wide enough for JSON behind a second byte
/// order mark, or in UTF-16, which nobody declared.
fn looks_like_json(text: &str) -> bool {
    let blank = |character: char| character.is_whitespace() || character.is_control() || character == '\u{feff}';
    let start = text.trim_start_matches(|character| blank(character) || character == '[');
    start.strip_prefix('{').is_some_and(|rest| rest.trim_start_matches(blank).starts_with(['"', '}']))
}

/// Windows-1252, as every browser reads ISO-8859-1 (WHATWG Encoding, section 9).
fn western(body: Vec<u8>) -> String {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    let character = |byte: u8| byte.checked_sub(0x80).and_then(|index| HIGH.get(usize::from(index)).copied());
    let body = match String::from_utf8(body) {
        Ok(text) if text.is_ascii() => return text,
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let characters = || body.iter().map(|&byte| character(byte).unwrap_or(char::from(byte)));
    // As much as it takes: what grows by doubling takes up to twice of that.
    let mut text = String::with_capacity(characters().map(char::len_utf8).sum());
    text.extend(characters());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &[u8]) -> Result<String, String> {
        Media::parse(content_type).text(body.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn text_of_every_kind_is_read_as_it_is() {
        for kind in
            ["", "text/plain", "text/csv", "TEXT/HTML; charset=UTF-8", "application/xml", "image/svg+xml", "odd"]
        {
            assert_eq!(read(kind, "a,é\n".as_bytes()).as_deref(), Ok("a,é\n"), "{kind}");
        }
        assert_eq!(read("application/json", b"\xef\xbb\xbf{}").as_deref(), Ok("{}"), "a byte order mark goes");
    }

    #[test]
    fn binary_answers_are_refused_by_their_type_and_size() {
        for kind in [
            "image/png",
            "application/pdf",
            "Application/Octet-Stream; charset=utf-8",
            "application/zip",
            "application/vnd.ms-excel",
            "application/epub+zip",
            "application/grpc+proto",
            "video/mp4",
        ] {
            let told = read(kind, b"abc").unwrap_err();
            let essence = kind.split(';').next().unwrap().to_lowercase();
            assert_eq!(told, format!("the answer is {essence}, 3 bytes; only text is passed on"));
        }
    }

    #[test]
    fn western_charsets_are_decoded_and_others_refused_by_name() {
        for charset in ["ISO-8859-1", "\"windows-1252\"", "latin1"] {
            let kind = format!("text/plain; charset={charset}");
            assert_eq!(read(&kind, b"caf\xe9 \x80 ok").as_deref(), Ok("café € ok"), "{charset}");
            assert_eq!(read(&kind, "é".as_bytes()).as_deref(), Ok("Ã©"), "{charset}");
        }
        assert!(read("text/plain; charset=utf-16", b"ab").unwrap_err().contains("charset utf-16"));
        assert!(read("text/plain", b"caf\xe9").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn json_is_known_by_its_type_or_by_its_looks() {
        for (kind, text, claims) in [
            ("application/json", "x", true),
            ("application/problem+json; charset=utf-8", "", true),
            ("application/x-ndjson", "", true),
            ("text/event-stream", "data: {}", true),
            ("text/plain", " [[ {\n \"a\":1", true),
            ("", "{}", true),
            ("text/plain", "\u{feff}{\"a\":1}", true),
            ("text/plain", "{\0\"\0a\0\"\0", true),
            ("text/plain", "\0{\0\"\0a\0\"", true),
            ("text/plain", "[INFO] started", false),
            ("text/markdown", "[link](x)", false),
            ("text/css", "{color:red}", false),
            ("text/csv", "a,b", false),
        ] {
            assert_eq!(Media::parse(kind).claims_json(text), claims, "{kind} {text}");
        }
    }
}
