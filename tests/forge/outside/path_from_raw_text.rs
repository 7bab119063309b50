// refused: E0451
//! Makes a path from text that nobody checked.

pub fn forge(honest: portcullis::request::path::Path) -> portcullis::request::path::Path {
    portcullis::request::path::Path { canonical: "/../".into(), ..honest }
}
