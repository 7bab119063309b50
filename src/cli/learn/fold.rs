//! Many paths as few patterns: what varies from call to call becomes `*`, by the API's description or by evidence.
//!
//! Promises that each path is matched by the pattern that it is folded into, and that a pattern has as many segments as
//! each of its paths.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::PathGlob;
use crate::request::template::globbed;

/// Different names in one place after which it is taken for a variable, where nothing says that they are ids.
const MANY: usize = 4;

/// The path templates of an API, with a `*` for each variable, by method.
#[derive(Debug, Default)]
pub(super) struct Templates(Vec<(String, Vec<String>)>);

impl Templates {
    pub(super) fn new(operations: impl Iterator<Item = (String, String)>) -> Self {
        let starred = |template: &str| segments(&globbed(template)).map(|segment| one_star(&segment)).collect();
        Self(operations.map(|(method, template)| (method, starred(&template))).collect())
    }

    /// The template of a path with the fewest variables.
    fn of(&self, method: &str, path: &[String]) -> Option<Vec<String>> {
        let fits = |template: &[String]| {
            template.len() == path.len() && template.iter().zip(path).all(|(one, other)| fits(one, other))
        };
        let known = self.0.iter().filter(|(of, template)| of == method && fits(template));
        let known = known.map(|(_, template)| template);
        known.min_by_key(|template| template.iter().filter(|segment| segment.contains('*')).count()).cloned()
    }
}

/// Whether a segment of a template, with at most one `*`, matches a segment.
fn fits(template: &str, segment: &str) -> bool {
    match template.split_once('*') {
        None => template == segment,
        Some((before, after)) => {
            segment.len() > before.len() + after.len() && segment.starts_with(before) && segment.ends_with(after)
        }
    }
}

/// The segments of a path; the last one is empty for a trailing `/`.
fn segments(path: &str) -> impl Iterator<Item = String> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(str::to_owned)
}

/// Several variables in one segment are one, with what is between them.
fn one_star(segment: &str) -> String {
    match (segment.split_once('*'), segment.rsplit_once('*')) {
        (Some((before, _)), Some((_, after))) => format!("{before}*{after}"),
        (None, _) | (_, None) => segment.to_owned(),
    }
}

/// The pattern of each path, all of them asked with one method.
pub(super) fn fold<'p>(
    method: &str,
    paths: impl Iterator<Item = &'p str>,
    templates: &Templates,
) -> BTreeMap<String, String> {
    let mut folded = BTreeMap::new();
    let mut unknown: BTreeSet<Vec<String>> = BTreeSet::new();
    for path in paths {
        let parts: Vec<String> = segments(path).collect();
        match templates.of(method, &parts) {
            // A template may hold what is no pattern.
            Some(template) if covers(&joined(&template), path) => {
                folded.insert(path.to_owned(), joined(&template));
            }
            Some(_) | None => drop(unknown.insert(parts)),
        }
    }
    for (path, pattern) in by_evidence(&unknown) {
        folded.insert(joined(&path), joined(&pattern));
    }
    folded
}

/// Whether a rule with this path is about that one.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    PathGlob::parse(pattern).is_ok_and(|pattern| pattern.matches(path))
}

fn joined(segments: &[String]) -> String {
    format!("/{}", segments.join("/"))
}

/// Paths that differ in ids, or in one place in many ways, have one pattern.
fn by_evidence(paths: &BTreeSet<Vec<String>>) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut patterns: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    let mut alike: BTreeMap<Vec<&str>, Vec<&Vec<String>>> = BTreeMap::new();
    for path in paths {
        let shape = path.iter().map(|segment| if is_id(segment) { "*" } else { segment.as_str() });
        alike.entry(shape.collect()).or_default().push(path);
    }
    for paths in alike.values() {
        let Some(first) = paths.first() else { continue };
        let varies = |place: usize| paths.iter().any(|path| path.get(place) != first.get(place));
        let pattern: Vec<String> = first
            .iter()
            .enumerate()
            .map(|(place, segment)| if varies(place) { "*".to_owned() } else { segment.clone() })
            .collect();
        patterns.extend(paths.iter().map(|path| ((*path).clone(), pattern.clone())));
    }
    merge(&mut patterns);
    patterns
}

/// Joins patterns that differ in one place alone, where that holds many names. Once for each place: what is joined then
/// differs from more.
fn merge(patterns: &mut BTreeMap<Vec<String>, Vec<String>>) {
    let longest = patterns.values().map(Vec::len).max().unwrap_or(0);
    for place in 0..longest {
        let mut rest: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
        for pattern in patterns.values() {
            let Some(name) = pattern.get(place).filter(|name| !name.is_empty()) else { continue };
            rest.entry(starred(pattern, place)).or_default().insert(name.clone());
        }
        for pattern in patterns.values_mut() {
            let joined = starred(pattern, place);
            if rest.get(&joined).is_some_and(|names| names.len() >= MANY) {
                *pattern = joined;
            }
        }
    }
}

fn starred(pattern: &[String], place: usize) -> Vec<String> {
    let star = |(at, segment): (usize, &String)| if at == place { "*".to_owned() } else { segment.clone() };
    pattern.iter().enumerate().map(star).collect()
}

/// A number, a UUID, or a long word of hex digits.
fn is_id(segment: &str) -> bool {
    let hex = segment.bytes().filter(|byte| *byte != b'-').all(|byte| byte.is_ascii_hexdigit());
    let digits = segment.bytes().any(|byte| byte.is_ascii_digit());
    let number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    number || (hex && digits && segment.len() >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(paths: &[&str], templates: &Templates) -> Vec<String> {
        let folded = fold("GET", paths.iter().copied(), templates);
        assert_eq!(folded.len(), paths.len(), "{folded:?}");
        folded.into_values().collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn what_varies_becomes_a_variable_by_evidence() {
        for (paths, expected) in [
            (&["/a/1", "/a/2"][..], &["/a/*"][..]),
            (&["/a/1"], &["/a/1"]),
            (&["/a/1/b/7", "/a/2/b/8", "/a/2/c/8"], &["/a/*/b/*", "/a/2/c/8"]),
            (&["/a/1/", "/a/2"], &["/a/1/", "/a/2"]),
            (&["/a/x", "/a/y"], &["/a/x", "/a/y"]),
            (&["/a/w", "/a/x", "/a/y", "/a/z"], &["/a/*"]),
            (&["/a/w/1", "/a/x/2", "/a/y/3", "/a/z/4"], &["/a/w/1", "/a/x/2", "/a/y/3", "/a/z/4"]),
            (&["/u/0b7e6d3a-1c2f-4e5d-8a9b-0c1d2e3f4a5b", "/u/1b7e6d3a-1c2f-4e5d-8a9b-0c1d2e3f4a5b"], &["/u/*"]),
            (&["/", "/a"], &["/", "/a"]),
        ] {
            assert_eq!(patterns(paths, &Templates::default()), expected, "{paths:?}");
        }
    }

    #[test]
    fn what_the_description_calls_a_variable_is_one_at_once() {
        let templates = [
            ("GET", "/a/{id}/"),
            ("GET", "/a/mine/"),
            ("POST", "/b/{id}"),
            ("GET", "/f/{n}.json"),
            ("GET", "/g/%C3{x}"),
            ("GET", "/h/**"),
        ];
        let templates = templates.map(|(method, template)| (method.to_owned(), template.to_owned()));
        let templates = Templates::new(templates.into_iter());
        for (paths, expected) in [
            (&["/a/1/"][..], &["/a/*/"][..]),
            (&["/a/mine/", "/a/x/"], &["/a/*/", "/a/mine/"]),
            (&["/b/1"], &["/b/1"]),
            (&["/f/x.json", "/f/y.xml"], &["/f/*.json", "/f/y.xml"]),
            (&["/g/%C3%A9"], &["/g/%C3%A9"]),
            (&["/h/1"], &["/h/*"]),
        ] {
            assert_eq!(patterns(paths, &templates), expected, "{paths:?}");
        }
    }
}
