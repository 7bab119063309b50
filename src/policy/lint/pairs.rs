//! Checks of rules against the rules that they share a path with.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::include::spread;
use crate::policy::finding::{Findings, quoted};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::rule::{Allow, DEFAULT_BODY, Deny, Methods, Written, WrittenPath};
use crate::policy::trie::{Reach, Symbols, Trie};
use crate::policy::verdict::Effect;
use crate::request::encoded::Encoded;
use crate::request::method::Method;

/// The rules, and which of them share a path.
#[derive(Debug)]
pub(super) struct Pairs<'f> {
    allows: &'f [Written<Allow>],
    denies: &'f [Written<Deny>],
    /// Allow paths in every deny form.
    meeting: Index,
    /// Allow paths as canonical text.
    allowed: Index,
    /// Deny paths in deny form, and as canonical text.
    denied: Index,
    denied_as_written: Index,
}

/// Paths by number, each with its rule.
#[derive(Debug, Default)]
struct Index {
    trie: Trie,
    symbols: Symbols,
    /// The rule and the path in it, by number.
    owners: Vec<(usize, usize)>,
}

impl Index {
    fn add(&mut self, rule: usize, path: usize, forms: &[Vec<Segment>]) {
        let number = u32::try_from(self.owners.len()).unwrap_or(u32::MAX);
        for form in forms {
            self.trie.add(form, number, &mut self.symbols);
        }
        self.owners.push((rule, path));
    }

    /// The paths that share a request with one of these forms, as rule and path.
    fn meeting(&self, forms: &[Vec<Segment>]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.first(forms, |owner| -> Option<()> {
            found.push(owner);
            None
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What is made of the first path that shares a request with one of these forms and of which something is made.
    fn first<T>(&self, forms: &[Vec<Segment>], mut make: impl FnMut((usize, usize)) -> Option<T>) -> Option<T> {
        let mut made = None;
        for form in forms {
            let mut visit = |number: u32| {
                made = self.owners.get(number as usize).and_then(|owner| make(*owner));
                if made.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            if self.trie.meeting(form, &self.symbols, &mut visit).is_break() {
                break;
            }
        }
        made
    }

    /// The paths that match all that these segments match.
    fn including(&self, narrow: &[Segment], reach: Reach) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.trie.including(&spread(narrow), reach, &self.symbols, &mut found);
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|number| self.owners.get(number as usize).copied()).collect()
    }
}

impl<'f> Pairs<'f> {
    pub(super) fn new(allows: &'f [Written<Allow>], denies: &'f [Written<Deny>]) -> Self {
        let (mut meeting, mut allowed) = (Index::default(), Index::default());
        let (mut denied, mut denied_as_written) = (Index::default(), Index::default());
        for (rule, allow) in allows.iter().enumerate() {
            for (path, written) in allow.paths.iter().enumerate() {
                meeting.add(rule, path, &forms(&allow.rule, &written.pattern));
                allowed.add(rule, path, &[written.pattern.segments().to_vec()]);
            }
        }
        for (rule, deny) in denies.iter().enumerate() {
            for (path, written) in deny.paths.iter().enumerate() {
                denied.add(rule, path, &[written.pattern.denied().to_vec()]);
                denied_as_written.add(rule, path, &[written.pattern.denied_as_written().to_vec()]);
            }
        }
        Self { allows, denies, meeting, allowed, denied, denied_as_written }
    }

    /// A read rule and a write rule for one method on one path: the request would count as a write, against what the
    /// read rule says.
    pub(super) fn check_effects(&self, findings: &mut Findings<'_>) {
        let special = |allow: &&Written<Allow>| allow.rule.effect.is_some();
        for allow in self.allows.iter().filter(special) {
            let mut told = BTreeSet::new();
            let mut heard = allow.rule.methods;
            if heard.contains(Method::Get) && allow.rule.effect == Some(Effect::Write) {
                // A GET that writes makes a HEAD of the same path a write.
                heard.insert(Method::Head);
            }
            for path in &allow.paths {
                for (other, _) in self.neighbours(allow, path) {
                    let shared = heard.shared(other.rule.methods);
                    let mut differ =
                        shared.iter().filter(|method| allow.rule.effect_of(*method) != other.rule.effect_of(*method));
                    let (Some(method), true) = (differ.next(), told.insert(other.rule.name.index())) else { continue };
                    // Told once, at the rule that says it; where both do, at the read.
                    if allow.rule.effect_of(method) == Effect::Write && other.rule.effect == Some(Effect::Read) {
                        continue;
                    }
                    let message = format!(
                        "{method} is a {} here, but a {} in rule {} on line {}, which shares paths with this one",
                        allow.rule.effect_of(method).as_str(),
                        other.rule.effect_of(method).as_str(),
                        quoted(other.rule.name.id()),
                        other.rule.name.line(),
                    );
                    let help = Some("make the paths of the two rules disjoint");
                    findings.error("effect-overlap", path.span.clone(), message, help);
                }
            }
        }
    }

    /// Two rules that are equally specific and choose different credentials.
    pub(super) fn check_credentials(&self, findings: &mut Findings<'_>) {
        if self.allows.iter().all(|allow| allow.rule.credential.is_none()) {
            return;
        }
        for allow in self.allows {
            let mut told = BTreeSet::new();
            for path in &allow.paths {
                for (other, met) in self.neighbours(allow, path) {
                    let tie = other.rule.name.index() < allow.rule.name.index()
                        && met.pattern.rank() == path.pattern.rank()
                        && other.rule.credential != allow.rule.credential
                        && !allow.rule.methods.shared(other.rule.methods).is_empty();
                    if !tie || !told.insert(other.rule.name.index()) {
                        continue;
                    }
                    let message = format!(
                        "this path and {} in rule {} on line {} are equally specific, but choose different credentials",
                        quoted(met.pattern.text()),
                        quoted(other.rule.name.id()),
                        other.rule.name.line(),
                    );
                    let help = Some("choose the same credential, or make one of the paths more specific");
                    findings.error("credential-tie", path.span.clone(), message, help);
                }
            }
        }
    }

    /// A limit on query or body that another rule does without on the same paths.
    pub(super) fn check_limits(&self, findings: &mut Findings<'_>) {
        for allow in self.allows {
            let Allow { query, body, .. } = &allow.rule;
            if query.is_open() && body.only.is_none() && body.most >= DEFAULT_BODY {
                continue;
            }
            for path in &allow.paths {
                let wider = self.allowed.including(path.pattern.segments(), Reach::Exact);
                let wider = wider.into_iter().filter_map(|(rule, _)| self.allows.get(rule));
                let mut open = wider.filter(|other| {
                    let limits = &other.rule;
                    limits.name.index() != allow.rule.name.index()
                        && !limits.methods.shared(allow.rule.methods).is_empty()
                        && limits.query.is_open()
                        && limits.body.only.is_none()
                        && limits.body.most >= body.most
                });
                let Some(other) = open.next() else { continue };
                let message = format!(
                    "the limits of this rule are pointless here: rule {} on line {} allows the same without them",
                    quoted(other.rule.name.id()),
                    other.rule.name.line(),
                );
                let span = if allow.paths.len() == 1 { allow.places.limits.clone() } else { None };
                findings.warn("pointless-limit", span.unwrap_or_else(|| path.span.clone()), message, None);
            }
        }
    }

    /// An allow rule, or a path of one, that denials cover wholly.
    pub(super) fn check_covered(&self, findings: &mut Findings<'_>) {
        for allow in self.allows {
            let mut dead: Vec<(&WrittenPath, &Written<Deny>)> = Vec::new();
            for path in &allow.paths {
                let mut covered = Methods::default();
                let mut by = None;
                for deny in self.covering(&path.pattern).filter(|deny| deny.rule.names.is_none()) {
                    deny.rule.methods.iter().for_each(|method| covered.insert(method));
                    by = by.or(Some(deny));
                }
                dead.extend(by.filter(|_| covered.contains_all(allow.rule.methods)).map(|deny| (path, deny)));
            }
            let whole = dead.len() == allow.paths.len();
            if let (true, Some((_, deny))) = (whole, dead.first()) {
                let message = format!("this rule can never allow anything: {} covers it", named(deny));
                findings.error("unreachable-allow", allow.places.id.clone(), message, None);
                continue;
            }
            for (path, deny) in dead {
                let message = format!("this path can never be allowed: {} covers it", named(deny));
                findings.warn("unreachable-path", path.span.clone(), message, None);
            }
        }
    }

    /// Denials that cover every path of a pattern. The text that a `*` stands for may change the letters beside it when it is folded
    /// (`x*` matches `x%CC%88`, whose deny form is the one letter `ẍ`), so that of such a segment nothing is known but in canonical
    /// text, which denials are tried on as well.
    fn covering(&self, pattern: &Pattern) -> impl Iterator<Item = &'f Written<Deny>> {
        let any = |segment: &Segment| if let Segment::Glob(_) = segment { Segment::Star } else { segment.clone() };
        let folded: Vec<Segment> = pattern.folded().iter().map(any).collect();
        let wider = self.denied.including(&folded, Reach::Below);
        let as_written = self.denied_as_written.including(pattern.segments(), Reach::Below);
        wider.into_iter().chain(as_written).filter_map(|(rule, _)| self.denies.get(rule))
    }

    /// A denial with `*` for one segment, beside an allow rule that reaches deeper.
    pub(super) fn check_depth(&self, findings: &mut Findings<'_>) {
        for deny in self.denies {
            for path in &deny.paths {
                let anchored = path.pattern.denied();
                let inner = anchored.split_last().map_or(&[][..], |(_, before)| before);
                if anchored.contains(&Segment::Deep) || !inner.contains(&Segment::Star) {
                    continue;
                }
                let deeper = deepened(anchored);
                let wider = self.denied.including(&deeper, Reach::Below);
                let mut wider = wider.into_iter().filter_map(|(rule, _)| self.denies.get(rule));
                if wider.any(|wide| wide.rule.names.is_none() && wide.rule.methods.contains_all(deny.rule.methods)) {
                    continue;
                }
                let tail = below(&deeper);
                let reaching = self.meeting.first(&[deeper, tail], |(rule, met)| {
                    let allow = self.allows.get(rule)?;
                    let met = allow.paths.get(met)?;
                    let shared = !allow.rule.methods.shared(deny.rule.methods).is_empty();
                    (shared && met.pattern.is_deep()).then_some(allow)
                });
                let Some(allow) = reaching else { continue };
                let message = format!(
                    "`*` is exactly one segment: rule {} on line {} reaches deeper than this denial",
                    quoted(allow.rule.name.id()),
                    allow.rule.name.line(),
                );
                let help = format!("deny `{}` to cover any depth", widened(path.pattern.text()));
                findings.warn("shallow-deny", path.span.clone(), message, Some(&help));
            }
        }
    }

    /// The allow rules, and their paths, that share a request with a path.
    fn neighbours(&self, allow: &Written<Allow>, path: &WrittenPath) -> Vec<(&'f Written<Allow>, &'f WrittenPath)> {
        let met = self.meeting.meeting(&forms(&allow.rule, &path.pattern));
        let found = met.into_iter().filter_map(|(rule, path)| {
            let allow = self.allows.get(rule)?;
            Some((allow, allow.paths.get(path)?))
        });
        found.filter(|(other, _)| other.rule.name.index() != allow.rule.name.index()).collect()
    }
}

fn named(deny: &Written<Deny>) -> String {
    format!("the deny rule {} on line {}", quoted(deny.rule.name.id()), deny.rule.name.line())
}

/// The deny forms in which an allow path can match a request. A trailing `/`, which deny forms drop, is matched by a
/// `*` or `**` at the end, so there is a form without it; and where encoded characters are accepted, one `*` may be
/// read as several segments or as none.
fn forms(allow: &Allow, pattern: &Pattern) -> Vec<Vec<Segment>> {
    let mut form = pattern.folded().to_vec();
    if allow.encoded != Encoded::NONE {
        let several = |segment: &Segment| matches!(segment, Segment::Glob(_) | Segment::Star);
        form = form.into_iter().map(|segment| if several(&segment) { Segment::Deep } else { segment }).collect();
        form.dedup_by(|a, b| *a == Segment::Deep && *b == Segment::Deep);
    }
    let mut forms = vec![form.clone()];
    let ends = form.pop();
    if matches!(ends, Some(Segment::Star | Segment::Deep)) {
        forms.push(form.clone());
        // `/**/*` without its last segment is any number of segments, none included.
        if form.pop_if(|last| *last == Segment::Deep).is_some() {
            forms.push(form);
        }
    }
    forms
}

/// Everything below a path.
fn below(segments: &[Segment]) -> Vec<Segment> {
    segments.iter().cloned().chain([Segment::Deep]).collect()
}

/// The same with at least one segment more in place of the first `*`, and any number in place of the others.
fn deepened(segments: &[Segment]) -> Vec<Segment> {
    let mut deeper = Vec::with_capacity(segments.len() + 4);
    let mut first = true;
    for segment in segments {
        deeper.push(segment.clone());
        if *segment == Segment::Star {
            deeper.extend(first.then_some(Segment::Star));
            deeper.push(Segment::Deep);
            first = false;
        }
    }
    deeper
}

/// A denial's text with `**` for every whole `*`.
fn widened(text: &str) -> String {
    text.split('/').map(|segment| if segment == "*" { "**" } else { segment }).collect::<Vec<_>>().join("/")
}
