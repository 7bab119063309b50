//! The names of tools: from an operation's id, the same whatever stands around it in the document.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::request::method::Method;

/// The longest name of a tool, in bytes.
pub(super) const MAX_NAME: usize = 64;

/// Names that no operation takes: the generic tools and the tools about tools.
pub(super) const TAKEN: [&str; 7] =
    ["api_get", "api_send", "call_read", "call_write", "describe_operation", "find_operations", "read_more"];

/// What an operation is named from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) method: Method,
    pub(super) path: &'a str,
}

/// A name for each origin, in the same order. Two origins with one name, or with one that is taken, get a mark of
/// method and path each, so that neither depends on which comes first. `None` where even that is another's name.
pub(super) fn names(origins: &[Origin<'_>]) -> Vec<Option<String>> {
    let plain: Vec<String> = origins.iter().map(plain_name).collect();
    let mut count: HashMap<&str, usize> = TAKEN.iter().map(|name| (*name, 1)).collect();
    for name in &plain {
        *count.entry(name.as_str()).or_default() += 1;
    }
    let alone = |name: &str| count.get(name).is_some_and(|count| *count == 1);
    let kept: HashSet<&str> = plain.iter().map(String::as_str).filter(|name| alone(name)).collect();
    let mut marked: HashSet<String> = HashSet::new();
    let mut named = |(origin, name): (&Origin<'_>, &String)| {
        if alone(name) {
            return Some(name.clone());
        }
        let name = with_mark(name, origin);
        let free = !kept.contains(name.as_str()) && marked.insert(name.clone());
        free.then_some(name)
    };
    origins.iter().zip(&plain).map(&mut named).collect()
}

fn plain_name(origin: &Origin<'_>) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let id: String = origin.id.unwrap_or_default().chars().map(allowed).collect();
    let name = if id.trim_matches('_').is_empty() { from_path(origin) } else { id };
    if name.len() <= MAX_NAME { name } else { with_mark(&name, origin) }
}

/// `get_users_id` for `GET /users/{id}`.
fn from_path(origin: &Origin<'_>) -> String {
    let words = origin.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = std::iter::once(origin.method.as_str().to_ascii_lowercase())
        .chain(words.map(|word| word.to_ascii_lowercase()))
        .collect();
    words.join("_")
}

/// The name, cut where need be, and eight hexadecimal digits of the hash of method and path.
fn with_mark(name: &str, origin: &Origin<'_>) -> String {
    const MARK: usize = 9;
    let hash = Sha256::digest(format!("{} {}", origin.method, origin.path));
    let mark: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.chars().take(MAX_NAME - MARK).collect();
    format!("{kept}_{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin<'a>(id: Option<&'a str>, path: &'a str) -> Origin<'a> {
        Origin { id, method: Method::Get, path }
    }

    #[test]
    fn a_name_is_the_operations_id_in_safe_characters() {
        let cases = [
            (Some("issues/list-for-repo"), "/x", "issues_list-for-repo"),
            (Some("Läufe.Alle"), "/x", "L_ufe_Alle"),
            (None, "/users/{id}/Keys", "get_users_id_keys"),
            (Some(""), "/", "get"),
            (Some("???"), "/a", "get_a"),
        ];
        for (id, path, expected) in cases {
            assert_eq!(names(&[origin(id, path)]), [Some(expected.to_owned())]);
        }
    }

    #[test]
    fn a_long_name_is_cut_and_marked() {
        let long = "n".repeat(200);
        let [Some(one), Some(two)] = &names(&[origin(Some(&long), "/a"), origin(Some(&long), "/b")])[..] else {
            panic!("two names");
        };
        assert!(one.len() == MAX_NAME && two.len() == MAX_NAME && one != two);
        assert_eq!(names(&[origin(Some(&"n".repeat(64)), "/a")]), [Some("n".repeat(64))]);
    }

    #[test]
    fn names_do_not_depend_on_the_order_and_none_is_taken_twice() {
        let mut origins =
            vec![origin(Some("a.b"), "/1"), origin(Some("a/b"), "/2"), origin(Some("c"), "/3"), origin(None, "/3")];
        origins.extend(TAKEN.map(|name| origin(Some(name), "/4")));
        let forward = names(&origins);
        let mut backward = {
            let reversed: Vec<_> = origins.iter().rev().copied().collect();
            names(&reversed)
        };
        backward.reverse();
        assert_eq!(forward, backward);
        let all: HashSet<&String> = forward.iter().flatten().collect();
        assert_eq!(all.len(), origins.len());
        assert!(TAKEN.iter().all(|taken| !forward.contains(&Some((*taken).to_owned()))));
    }
}
