//! Where in a JSON text something is, as RFC 6901 writes it.

use std::fmt::Write;

use super::cursor::{inner, name};

/// The longest pointer that is written, in bytes; of a longer one the end is left out.
const MAX_POINTER: usize = 512;
/// Stands at the end of what was cut.
pub(super) const ELLIPSIS: &str = "…";

/// A value inside others: written out only when it is told of, so that a way through long names costs nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    /// The value that was asked for, which has this pointer.
    Root(&'p str),
    /// The member of a container, by its name with the quotes.
    Member(&'p Place<'p>, &'p str),
    /// The element of an array.
    Element(&'p Place<'p>, usize),
}

impl Place<'_> {
    /// The pointer, at most [`MAX_POINTER`] bytes long.
    pub(super) fn pointer(&self) -> String {
        let mut way = Vec::new();
        let mut place = self;
        let root = loop {
            way.push(place);
            match place {
                Self::Root(pointer) => break *pointer,
                Self::Member(up, _) | Self::Element(up, _) => place = up,
            }
        };
        let mut pointer = root.to_owned();
        for place in way.into_iter().rev() {
            match place {
                Self::Root(_) => {}
                Self::Member(_, literal) => push_name(&mut pointer, literal),
                // Text does not fail to be written to.
                Self::Element(_, index) => write!(pointer, "/{index}").unwrap_or_default(),
            }
            if pointer.len() > MAX_POINTER {
                pointer.truncate(pointer.floor_char_boundary(MAX_POINTER - ELLIPSIS.len()));
                pointer.push_str(ELLIPSIS);
                break;
            }
        }
        pointer
    }
}

/// The pointer to the member that is reached by these names, each with its quotes, the innermost first.
pub(super) fn pointer(names: &[&str]) -> String {
    fn below(place: &Place<'_>, names: &[&str]) -> String {
        match names.split_last() {
            None => place.pointer(),
            Some((name, inner)) => below(&Place::Member(place, name), inner),
        }
    }
    below(&Place::Root(""), names)
}

fn push_name(pointer: &mut String, literal: &str) {
    pointer.push('/');
    // A name that a cursor has passed over can be unescaped, were it not, it stands as it is written.
    let name = name(literal).unwrap_or(inner(literal).into());
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_and_their_slashes_and_tildes_escaped() {
        let root = Place::Root("/x");
        let list = Place::Member(&root, r#""a\/b~\u0063""#);
        assert_eq!(Place::Element(&list, 7).pointer(), "/x/a~1b~0c/7");
        assert_eq!(root.pointer(), "/x");
        assert_eq!(pointer(&[r#""c""#, r#""b""#, r#""a""#]), "/a/b/c");
    }

    #[test]
    fn a_long_pointer_loses_its_end() {
        let name = format!("\"{}\"", "é".repeat(1_000));
        for names in [&[name.as_str()][..], &["\"a\"", &name, "\"b\""], &["\"abc\""; 200]] {
            let pointer = pointer(names);
            assert!(pointer.len() <= MAX_POINTER && pointer.ends_with(ELLIPSIS), "{pointer}");
        }
    }
}
