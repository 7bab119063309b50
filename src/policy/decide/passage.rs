//! Which operations of an API some request could pass the policy with, so that no others need to be shown.
//!
//! Promises that what it calls [`Passage::Never`] is denied whatever stands in the variables, the query and the body,
//! and that what it calls [`Passage::Read`] is never a write. Where it cannot tell, it says more than is true: to be
//! shown permits nothing, and every call is judged by itself. Pure, like the decision beside it.

use std::ops::ControlFlow;

use super::Rules;
use crate::policy::pattern::Segment;
use crate::policy::rule::Allow;
use crate::policy::trie::{Reach, Trie};
use crate::policy::verdict::Effect;
use crate::request::encoded::Encoded;
use crate::request::fold::fold_segment;
use crate::request::method::Method;
use crate::request::path::canonical_glob_text;
use crate::request::template::globbed;

/// How the requests of one operation could pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Passage {
    /// No request of it is let through or held.
    Never,
    /// Some may be let through, and all of those are reads.
    Read,
    /// Some may be let through or held that are writes.
    Write,
}

/// A path template, in the forms that the rules are held against.
pub(super) struct Template {
    /// For canonical paths.
    pub(super) written: Vec<Segment>,
    /// For deny forms. Folding may change where text and a variable meet, so that a segment of both is any text here.
    pub(super) folded: Vec<Segment>,
    ends_in_slash: bool,
}

impl Rules {
    /// What report mode lets through is among what could pass, whether or not its time is over.
    pub(in crate::policy) fn passage(&self, method: Method, template: &str) -> Passage {
        let reported = self.reports && matches!(method, Method::Get | Method::Head);
        match self.granted(method, template) {
            Passage::Never if reported && Template::parse(template).is_some_and(|of| !self.is_closed(method, &of)) => {
                Passage::Read
            }
            passage @ (Passage::Never | Passage::Read | Passage::Write) => passage,
        }
    }

    /// How requests could pass that a rule grants.
    fn granted(&self, method: Method, template: &str) -> Passage {
        let grants =
            |rule: &Allow| rule.methods.contains(method) && (self.writes || rule.effect_of(method) == Effect::Read);
        // One look at every rule spares most templates the walk, or the whole of it.
        let some_encoded = self.allows.iter().any(|rule| grants(rule) && rule.encoded != Encoded::NONE);
        if !self.allows.iter().any(grants) {
            return Passage::Never;
        }
        // What is no path once the variables are filled is refused before it is judged.
        let Some(template) = Template::parse(template) else { return Passage::Never };
        let mut granting = Encoded::NONE;
        let mut granted = false;
        self.meet(&self.canonical, &template.written, |rule| {
            if grants(rule) {
                granted = true;
                granting = granting.union(rule.encoded);
            }
            if granted && !some_encoded { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if !granted || self.is_closed(method, &template) {
            return Passage::Never;
        }
        if self.writes && self.may_be_write(method, &template, granting) { Passage::Write } else { Passage::Read }
    }

    /// Whether one denial is about every request with this method and a path of the template.
    fn is_closed(&self, method: Method, template: &Template) -> bool {
        let mut found = Vec::new();
        self.denied_canonical.including(&template.written, Reach::Below, &self.symbols, &mut found);
        self.denied.including(&template.folded, Reach::Below, &self.symbols, &mut found);
        let targets = found.into_iter().filter_map(|number| self.deny_paths.get(number as usize));
        let mut rules = targets.filter_map(|target| self.denies.get(target.rule));
        rules.any(|deny| deny.names.is_none() && deny.methods.contains(method))
    }

    /// Whether a rule about some of the requests makes them writes. A path with encoded reserved characters has readings
    /// of any depth, so that every rule is about it.
    fn may_be_write(&self, method: Method, template: &Template, granting: Encoded) -> bool {
        let some = self.allows.iter().any(|rule| makes_write(rule, method));
        if !some || granting != Encoded::NONE {
            return some;
        }
        let mut write = false;
        let mut look = |rule: &Allow| {
            write |= makes_write(rule, method);
            if write { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.meet(&self.canonical, &template.written, &mut look);
        self.meet(&self.folded, &template.folded, &mut look);
        if let Some(open) = template.open() {
            self.meet(&self.folded, &open, &mut look);
        }
        write
    }

    /// Shows the allow rules that share a path with these segments, some of them more than once.
    fn meet(&self, paths: &Trie, segments: &[Segment], mut look: impl FnMut(&Allow) -> ControlFlow<()>) {
        let mut visit = |number: u32| {
            let rule = self.allow_paths.get(number as usize).and_then(|target| self.allows.get(target.rule));
            rule.map_or(ControlFlow::Continue(()), &mut look)
        };
        match paths.meeting(segments, &self.symbols, &mut visit) {
            ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
        }
    }
}

impl Template {
    /// A deny form is tried with an empty last segment as well.
    pub(super) fn open(&self) -> Option<Vec<Segment>> {
        let empty = || Segment::Literal("".into());
        self.ends_in_slash.then(|| self.folded.iter().cloned().chain([empty()]).collect())
    }

    /// Reads a path in which `{name}` stands for the text of a variable, or a pattern; `None` where no path can be like it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let glob = globbed(text);
        // Encoded text that a pattern may not spell out can still stand in a request.
        let canonical = canonical_glob_text(&glob).or_else(|_| canonical_glob_text(&without_encoded(&glob))).ok()?;
        let segment = |part| if part == "**" { Segment::Deep } else { Segment::of(part) };
        let written: Vec<Segment> = canonical.strip_prefix('/')?.split('/').map(segment).collect();
        let ends_in_slash = canonical.ends_with('/');
        let mut folded: Vec<Segment> = written
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => Segment::Literal(fold_segment(text).into()),
                Segment::Glob(_) | Segment::Star => Segment::Star,
                Segment::Deep => Segment::Deep,
            })
            .collect();
        if ends_in_slash {
            folded.pop();
        }
        Some(Self { written, folded, ends_in_slash })
    }
}

/// Whether a rule makes a request about which it is a write (see `effect` of the decision).
pub(super) fn makes_write(rule: &Allow, method: Method) -> bool {
    let heard = rule.methods.contains(method) || (method == Method::Head && rule.methods.contains(Method::Get));
    heard && rule.effect_of(method) == Effect::Write
}

/// The pattern with a `*` for every segment that holds encoded text.
fn without_encoded(glob: &str) -> String {
    let segments = glob.split('/').map(|text| if text.contains('%') || !text.is_ascii() { "*" } else { text });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::policy::file::File;
    use crate::policy::finding::Findings;

    fn toml(writes: bool, rules: &str) -> String {
        let head = "version = 1\nname = \"shown\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n";
        format!("{head}[access]\nwrites = {writes}\n{rules}")
    }

    /// The rules without the checks between them, which refuse a rule that a denial leaves dead.
    fn rules(writes: bool, text: &str) -> Rules {
        let text = toml(writes, text);
        let mut findings = Findings::new(&text);
        let file = File::read(&mut findings).unwrap();
        assert_eq!(findings.errors(), 0, "{text}");
        Rules::new(file.writes, file.allows, file.denies)
    }

    fn allow(methods: &str, path: &str, more: &str) -> String {
        let id: String = path.chars().filter(char::is_ascii_lowercase).collect();
        format!("[[allow]]\nid = \"{id}\"\nmethods = {methods}\npaths = [\"{path}\"]\n{more}\n")
    }

    #[test]
    fn an_operation_passes_as_the_rules_say() {
        use Method::{Delete, Get, Head, Patch, Post};
        use Passage::{Never, Read, Write};
        let items = allow("[\"GET\"]", "/org/*/items/**", "");
        let labels = allow("[\"POST\", \"DELETE\"]", "/org/*/labels/", "");
        let query = allow("[\"POST\"]", "/org/*/query", "effect = \"read\"");
        let export = allow("[\"GET\"]", "/org/*/export", "effect = \"write\"");
        let files = allow("[\"GET\"]", "/files/*.json", "");
        let vhosts = allow("[\"GET\"]", "/vhosts/*", "encoded = [\"%2F\"]");
        let deny = |path: &str, more: &str| format!("[[deny]]\nid = \"d\"\npaths = [\"{path}\"]\n{more}\n");
        let allows = [items, labels, query, export, files, vhosts].concat();
        for (case, extra, writes, method, template, expected) in [
            ("a variable fits `*`", String::new(), true, Get, "/org/{id}/items/{item}/", Read),
            ("`**` is at least one segment", String::new(), true, Get, "/org/{id}/items", Never),
            ("another method", String::new(), true, Patch, "/org/{id}/items/{item}/", Never),
            ("HEAD is not GET", String::new(), true, Head, "/org/{id}/items/{item}", Never),
            ("a write", String::new(), true, Post, "/org/{id}/labels/", Write),
            ("a slash too few", String::new(), true, Post, "/org/{id}/labels", Never),
            ("a write while writes are off", String::new(), false, Delete, "/org/{id}/labels/", Never),
            ("a POST that reads", String::new(), true, Post, "/org/{id}/query", Read),
            ("a POST that reads, with writes off", String::new(), false, Post, "/org/{id}/query", Read),
            ("a GET that writes", String::new(), true, Get, "/org/{id}/export", Write),
            ("a GET that writes, with writes off", String::new(), false, Get, "/org/{id}/export", Never),
            ("a read or, with a slash, a write", String::new(), true, Post, "/org/{id}/{thing}", Write),
            ("text around variables", String::new(), true, Get, "/files/{name}.json", Read),
            ("text that cannot end so", String::new(), true, Get, "/files/{name}.xml", Never),
            ("variables side by side", String::new(), true, Get, "/files/{a}{b}", Read),
            ("variables with text between", String::new(), true, Get, "/files/{a}...{b}", Read),
            ("two readings", String::new(), true, Get, "/vhosts/{name}", Write),
            ("encoded text in the template", String::new(), true, Get, "/vhosts/a%2Fb", Write),
            ("not a path", String::new(), true, Get, "/org/{id}/items?x={x}", Never),
            ("an open brace", String::new(), true, Get, "/org/{id/items", Never),
            ("a deny that covers it", deny("/**/items", ""), true, Get, "/org/{id}/items/{item}/", Never),
            ("a deny in other letters", deny("/**/ITEMS/**", ""), true, Get, "/org/{id}/items/{item}", Never),
            ("a deny of some values", deny("/org/7/**", ""), true, Get, "/org/{id}/items/{item}", Read),
            ("a deny above a suffix", deny("/files/*", ""), true, Get, "/files/{name}.json", Never),
            ("a deny of a query", deny("/org", "query = { names = [\"q\"] }"), true, Get, "/org/{id}/items/{x}", Read),
            ("a deny of a method", deny("/org", "methods = [\"GET\"]"), true, Get, "/org/{id}/export", Never),
            ("a deny of another method", deny("/org", "methods = [\"POST\"]"), true, Get, "/org/{id}/export", Write),
        ] {
            let rules = rules(writes, &format!("{allows}{extra}"));
            assert_eq!(rules.passage(method, template), expected, "{case}");
        }
    }

    #[test]
    fn a_policy_answers_for_its_rules() {
        let text = toml(false, &allow("[\"GET\"]", "/a/*", ""));
        let policy = Policy::parse("shown.toml", &text).policy.unwrap();
        assert_eq!(policy.passage(Method::Get, "/a/{b}"), Passage::Read);
        assert_eq!(policy.passage(Method::Get, "/b"), Passage::Never);
    }
}
