//! The verdict held against a naive loop that was written from the contract alone, and the properties that the
//! contract promises, over made-up policies and requests.

mod explained;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use globset::{GlobBuilder, GlobMatcher};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::decide::stage::{End, Spelling};
use super::file::File;
use super::finding::Findings;
use super::trie::Nodes;
use super::{Bond, Channel, Confirm, Effect, Grant, Parsed, Passage, Policy, Preview, Rules, Verdict, lint};
use crate::agent::Agent;
use crate::request::body::DeleteBody;
use crate::request::fold::{fold_name, fold_segment};
use crate::request::method::Method;
use crate::request::path::Path;
use crate::request::{RawRequest, Request};

static AGENT: LazyLock<Agent> = LazyLock::new(|| Agent::stdio(1));

#[derive(Debug, Clone)]
struct Rule {
    id: usize,
    deny: bool,
    methods: Vec<&'static str>,
    paths: Vec<String>,
    effect: Option<&'static str>,
    confirm: &'static str,
    channel: &'static str,
    preview: &'static str,
    idempotency_key: bool,
    only: Option<Vec<&'static str>>,
    names: Option<Vec<&'static str>>,
    credential: Option<&'static str>,
    encoded: bool,
}

#[derive(Debug, Clone)]
struct Call {
    method: &'static str,
    path: String,
    query: Vec<&'static str>,
}

impl Rule {
    fn toml(&self) -> String {
        let mut text = format!("[[{}]]\nid = \"r{}\"\n", if self.deny { "deny" } else { "allow" }, self.id);
        text += &format!("methods = {:?}\npaths = {:?}\n", self.methods, self.paths);
        if self.deny {
            text.extend(self.names.iter().map(|names| format!("query = {{ names = {names:?} }}\n")));
            return text;
        }
        text += &format!("confirm = {:?}\nchannel = {:?}\npreview = {}\n", self.confirm, self.channel, self.preview);
        text += &format!("idempotency_key = {}\n", self.idempotency_key);
        text.extend(self.effect.iter().map(|effect| format!("effect = {effect:?}\n")));
        text.extend(self.only.iter().map(|only| format!("query = {{ only = {only:?} }}\n")));
        text.extend(self.credential.iter().map(|name| format!("credential = {name:?}\n")));
        text.extend(self.encoded.then_some("encoded = [\"%2F\"]\n"));
        text
    }

    /// R4 on canonical bytes; with an encoded slash, segment by segment.
    fn grants_path(&self, request: &Request) -> bool {
        let path = request.path();
        if path.encoded().is_empty() {
            return self.paths.iter().any(|text| glob(text, path.canonical()));
        }
        let segments: Vec<&str> = path.segments().collect();
        self.encoded && self.paths.iter().any(|text| guarded(&text.split('/').skip(1).collect::<Vec<_>>(), &segments))
    }

    fn matches(&self, request: &Request) -> bool {
        self.methods.contains(&request.method().as_str()) && self.is_about(request)
    }

    fn is_about(&self, request: &Request) -> bool {
        self.grants_path(request)
            || forms(request).iter().any(|form| self.paths.iter().any(|text| glob(&folded(text), form)))
    }

    /// Of the paths that are about the request, the longest text before a `*`, then the fewest of those.
    fn rank(&self, request: &Request) -> Option<(usize, std::cmp::Reverse<usize>)> {
        let alone =
            |text: &&String| Self { paths: vec![(*text).clone()], encoded: true, ..self.clone() }.is_about(request);
        let rank = |text: &String| (text.find('*').unwrap_or(text.len()), std::cmp::Reverse(text.matches('*').count()));
        self.paths.iter().filter(alone).map(rank).max()
    }

    fn denies(&self, request: &Request) -> bool {
        let get = request.method() == Method::Head && self.methods.contains(&"GET");
        let method = get || self.methods.contains(&request.method().as_str());
        let names = self.names.as_ref().is_none_or(|names| {
            names.iter().any(|name| request.query().pairs().iter().any(|(held, _)| fold_name(name) == fold_name(held)))
        });
        let written = request.path().canonical();
        method
            && names
            && self
                .paths
                .iter()
                .any(|text| covers_as_written(text, written) || forms(request).iter().any(|form| covers(text, form)))
    }

    fn keeps(&self, request: &Request) -> bool {
        let listed = |name: &str| self.only.as_ref().is_none_or(|only| only.contains(&name));
        request.query().pairs().iter().all(|(name, _)| listed(name))
    }
}

fn glob(text: &str, path: &str) -> bool {
    thread_local! { static COMPILED: RefCell<HashMap<String, GlobMatcher>> = RefCell::default(); }
    let compile = || {
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().unwrap();
        glob.compile_matcher()
    };
    COMPILED.with_borrow_mut(|compiled| compiled.entry(text.to_owned()).or_insert_with(compile).is_match(path))
}

/// R4 where a `**` takes no encoded slash.
fn guarded(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        (["**"], path) => !path.is_empty() && path.iter().all(|segment| !segment.contains("%2F")),
        (["**", more @ ..], [first, rest @ ..]) => {
            guarded(more, path) || (!first.contains("%2F") && guarded(pattern, rest))
        }
        ([one, more @ ..], [first, rest @ ..]) => glob(one, first) && guarded(more, rest),
        (pattern, path) => pattern.is_empty() && path.is_empty(),
    }
}

fn folded(text: &str) -> String {
    let segments: Vec<String> = text
        .split('/')
        .map(|segment| if segment.starts_with('*') { segment.into() } else { fold_segment(segment) })
        .collect();
    segments.join("/").trim_end_matches('/').to_owned()
}

/// Every deny form, with and without the trailing slash that it drops; a slash inside a segment as another character.
fn forms(request: &Request) -> Vec<String> {
    let path = request.path();
    let open = path.canonical().ends_with('/') || !path.encoded().is_empty();
    let mut forms = Vec::new();
    for form in path.deny_forms() {
        let text: String =
            form.segments().iter().map(|segment| format!("/{}", segment.replace('/', "\u{1}"))).collect();
        forms.extend(open.then(|| format!("{text}/")));
        forms.push(text);
    }
    forms
}

fn covers(text: &str, form: &str) -> bool {
    covers_as_written(&folded(text), form)
}

fn covers_as_written(text: &str, form: &str) -> bool {
    let mut name = text;
    while let Some(shorter) = name.strip_suffix("/**").or_else(|| name.strip_suffix('/')) {
        name = shorter;
    }
    let cuts = form.match_indices(|c| "/.:(),@!~$'+=&*".contains(c)).map(|(at, _)| form.split_at(at).0);
    name.is_empty() || cuts.chain([form]).any(|beginning| glob(name, beginning))
}

/// The verdict by the contract's five steps: its name, and for a refusal the kind.
fn naive(rules: &[Rule], writes: bool, request: &Request) -> String {
    if rules.iter().any(|rule| rule.deny && rule.denies(request)) {
        return "deny deny_rule".into();
    }
    let matching: Vec<&Rule> = rules.iter().filter(|rule| !rule.deny && rule.matches(request)).collect();
    let safe = matches!(request.method(), Method::Get | Method::Head);
    let head = |rule: &&Rule| request.method() == Method::Head && rule.methods.contains(&"GET");
    let mut heard =
        rules.iter().filter(|rule| !rule.deny && (rule.matches(request) || (head(rule) && rule.is_about(request))));
    let read = (safe && heard.all(|rule| rule.effect != Some("write")))
        || (!matching.is_empty() && matching.iter().all(|rule| rule.effect == Some("read")));
    if !read && !writes {
        return "deny writes_off".into();
    }
    if !matching.iter().any(|rule| rule.grants_path(request) && rule.keeps(request)) {
        return "deny".into();
    }
    let strictest = |said: fn(&Rule) -> &'static str, words: [&'static str; 3]| {
        words.into_iter().rev().find(|word| matching.iter().any(|rule| said(rule) == *word)).unwrap_or_default()
    };
    let channel = strictest(|rule| rule.channel, ["any", "client", "desk"]);
    let preview = strictest(|rule| rule.preview, ["false", "\"if-possible\"", "true"]);
    let keyed = matching.iter().any(|rule| rule.idempotency_key);
    let how = format!("{channel} {preview} {keyed}");
    let strictness = |rule: &Rule| ["never", "each", "typed"].iter().position(|word| *word == rule.confirm);
    let key = |rule: &Rule| (strictness(rule), rule.rank(request), std::cmp::Reverse(rule.id));
    let asking = matching.iter().max_by_key(|rule| key(rule));
    match (read, asking) {
        (false, Some(rule)) if rule.confirm != "never" => format!("hold {} r{} {how}", rule.confirm, rule.id),
        _ => format!("allow {how}"),
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(authorized) => format!("allow {}", how(authorized.grant())),
        Verdict::Hold(held) => format!("hold {} {} {}", held.confirm().as_str(), held.rule().id(), how(held.grant())),
        Verdict::Deny(denial) => format!("deny {}", denial.reason().code()),
    }
}

fn how(grant: &Grant) -> String {
    let preview = match grant.preview() {
        Preview::No => "false",
        Preview::IfPossible => "\"if-possible\"",
        Preview::Yes => "true",
    };
    format!("{} {preview} {}", grant.channel().as_str(), grant.idempotency_key())
}

/// Everything that a verdict says, but for the places of the rules, which depend on their order.
fn whole(verdict: &Verdict) -> String {
    let grant = match verdict {
        Verdict::Allow(authorized) => authorized.grant(),
        Verdict::Hold(held) => held.grant(),
        Verdict::Deny(denial) => {
            return format!("{} {:?}", shown(verdict), denial.rule().map(|rule| rule.id().to_owned()));
        }
    };
    let mut obligations: Vec<&str> = grant.obligations().iter().map(|rule| rule.id()).collect();
    obligations.sort_unstable();
    let (rule, credential) = (grant.rule().id(), grant.credential());
    format!("{} {rule} {obligations:?} {credential:?} {:?} {:?}", shown(verdict), grant.confirm(), grant.effect())
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Deny(_) => 0,
        Verdict::Hold(_) => 1,
        Verdict::Allow(_) => 2,
    }
}

fn toml(rules: &[Rule], writes: bool) -> String {
    let head = "version = 1\nname = \"model\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n";
    let credentials = "[upstream.credentials.one]\nbearer = { env = \"ONE\" }\n";
    let rules: String = rules.iter().map(Rule::toml).collect();
    format!("{head}{credentials}[access]\nwrites = {writes}\n{rules}")
}

/// The rules, whatever the checks between them say: the decision must not need those.
fn unchecked(rules: &[Rule], writes: bool) -> Rules {
    let text = toml(rules, writes);
    let mut findings = Findings::new(&text);
    let file = File::read(&mut findings).unwrap();
    assert_eq!(findings.errors(), 0, "{:?}\n{text}", findings.finish());
    Rules::new(file.writes, file.allows, file.denies)
}

/// The policy, if the checks between the rules find no error in it.
fn checked(rules: &[Rule], writes: bool) -> Option<Policy> {
    let Parsed { policy, .. } = Policy::parse("model.toml", &toml(rules, writes));
    policy
}

fn bond() -> Bond {
    Bond { agent: Agent::stdio(1), api: "api".into(), policy: [0; 32] }
}

fn request(call: &Call) -> Request {
    let query: serde_json::Map<_, _> = call.query.iter().map(|name| ((*name).to_owned(), "1".into())).collect();
    let query = RawValue::from_string(serde_json::to_string(&query).unwrap()).unwrap();
    let body = RawValue::from_string("{}".to_owned()).unwrap();
    let body = (call.method == "PATCH").then_some(&*body);
    let delete_body = DeleteBody::Refused;
    Request::parse(&RawRequest {
        method: call.method,
        path: &call.path,
        query: Some(&query),
        headers: None,
        body,
        delete_body,
    })
    .unwrap()
}

fn rule(id: usize) -> impl Strategy<Value = Rule> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "a.b", "A", "*", "*", "a*", "*b"]);
    let deep = prop::sample::select(vec!["a", "b", "A", "*", "**", "**", "a*"]);
    let flat = prop::collection::vec(prop::collection::vec(segment, 1..4), 1..3);
    let wide = prop::collection::vec(prop::collection::vec(deep, 1..4), 1..3);
    let names = prop::collection::vec(prop::sample::select(vec!["q", "p.x", "p[]"]), 1..3);
    let kind = prop::sample::select(vec!["allow", "allow", "allow", "read", "write", "deny"]);
    let methods = prop::collection::btree_set(prop::sample::select(vec!["GET", "HEAD", "POST", "PATCH"]), 1..4);
    let confirm = (
        prop::sample::select(vec!["never", "each", "typed"]),
        prop::sample::select(vec!["any", "client", "desk"]),
        prop::sample::select(vec!["false", "\"if-possible\"", "true"]),
        any::<bool>(),
    );
    let flags =
        (any::<bool>(), any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    (kind, methods, flat, wide, confirm, names, flags).prop_map(
        move |(
            kind,
            methods,
            flat,
            wide,
            (confirm, channel, preview, idempotency_key),
            names,
            (slash, is_wide, limited, credential, encoded),
        )| {
            let mut methods: Vec<_> = methods.into_iter().collect();
            if kind == "read" {
                methods = vec!["POST"];
            }
            let paths = if is_wide && kind != "read" { wide } else { flat };
            let end = if slash { "/" } else { "" };
            Rule {
                id,
                deny: kind == "deny",
                methods,
                paths: paths.into_iter().map(|segments| format!("/{}{end}", segments.join("/"))).collect(),
                effect: ["read", "write"].into_iter().find(|effect| *effect == kind),
                confirm,
                channel,
                preview,
                idempotency_key,
                only: (limited && kind != "deny").then(|| names.clone()),
                names: (limited && kind == "deny").then_some(names),
                credential: credential.then_some("one"),
                encoded,
            }
        },
    )
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    (0_usize..7).prop_flat_map(|count| (0..count).map(rule).collect::<Vec<_>>())
}

fn call() -> impl Strategy<Value = Call> {
    let segment =
        prop::sample::select(vec!["a", "a", "b", "ab", "A", "a.b", "a:x", "aab", "B.json", "a.", "a%2Fb", "%2F"]);
    let query = prop::collection::vec(prop::sample::select(vec!["q", "p.x", "p[]", "P-X"]), 0..2);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PATCH"]);
    (method, prop::collection::vec(segment, 1..4), any::<bool>(), query).prop_map(|(method, segments, slash, query)| {
        Call { method, path: format!("/{}{}", segments.join("/"), if slash { "/" } else { "" }), query }
    })
}

/// Pieces of a path template: text, or `None` for a variable.
fn template() -> impl Strategy<Value = Vec<Option<&'static str>>> {
    let text = prop::sample::select(vec!["a", "b", "ab", "A", ".b", "a.", "a%2Fb", "%CC%88"]);
    let segment = prop_oneof![
        3 => text.clone().prop_map(|text| vec![Some(text)]),
        3 => Just(vec![None]),
        1 => (text, any::<bool>()).prop_map(|(text, first)| if first { vec![None, Some(text)] } else { vec![Some(text), None] }),
    ];
    (prop::collection::vec(segment, 1..4), any::<bool>()).prop_map(|(segments, slash)| {
        let pieces = segments.into_iter().flat_map(|segment| [Some("/")].into_iter().chain(segment));
        pieces.chain(slash.then_some(Some("/"))).collect()
    })
}

fn shape(pieces: &[Option<&str>]) -> String {
    pieces.iter().map(|piece| piece.unwrap_or("{x}")).collect()
}

/// Every request of a template, with few values for its variables.
fn instances(pieces: &[Option<&str>]) -> Vec<Call> {
    let mut paths = vec![String::new()];
    for piece in pieces {
        let values = piece.map_or(vec!["a", "b", "A", "ab.b", "a%2Fb", "e", "%CC%88."], |text| vec![text]);
        paths = paths.iter().flat_map(|path| values.iter().map(move |value| format!("{path}{value}"))).collect();
    }
    paths.retain(|path| Path::parse(path).is_ok());
    let calls = paths
        .into_iter()
        .flat_map(|path| ["GET", "HEAD", "POST"].map(|method| Call { method, path: path.clone(), query: Vec::new() }));
    calls.collect()
}

/// Whether the checks between rules say that the allow rule can never allow anything.
fn is_called_unreachable(text: &str) -> bool {
    let Parsed { findings, .. } = Policy::parse("reach.toml", text);
    findings.iter().any(|finding| matches!(finding.code, "unreachable-allow" | "unreachable-path"))
}

/// Every path of few segments over an alphabet in which letters change when they are composed, folded, trimmed or left out.
static SHORT_PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let more = |texts: Vec<String>| -> Vec<String> {
        let letters = ["x", "X", "e", ".", "%CC%88", "%CD%8F", "%20"];
        texts.iter().flat_map(|text| letters.iter().map(move |letter| format!("{text}{letter}"))).collect()
    };
    let one = more(vec![String::new()]);
    let (two, three) = (more(one.clone()), more(more(one.clone())));
    let first = one.iter().chain(&two).chain(&three).map(|segment| format!("/{segment}"));
    let deep = two.iter().flat_map(|segment| ["/x", "/X", "/x%CC%88"].map(|first| format!("{first}/{segment}")));
    let paths = first.chain(deep).flat_map(|path| [format!("{path}/"), path]);
    paths.filter(|path| Path::parse(path).is_ok()).collect()
});

/// Patterns over the same alphabet.
const PIECES: [&str; 16] = [
    "x", "X", "x*", "X*", "*x", "*X", "x*x", "*", "e*", "E*", "x.*", "x%CC%88", "x%CC%88*", "X%CC%88*", "*%CC%88",
    "x%CD%8F*",
];

/// A policy of one allow rule and one denial.
fn pair(allow: &str, deny: &str) -> String {
    let rule =
        |kind: &str, path: &str| format!("[[{kind}]]\nid = \"{kind}-it\"\nmethods = [\"GET\"]\npaths = [{path:?}]\n");
    toml(&[], false) + &rule("allow", allow) + &rule("deny", deny)
}

/// A path that the policy lets through.
fn let_through(text: &str) -> Option<String> {
    let mut findings = Findings::new(text);
    let file = File::read(&mut findings).unwrap();
    let rules = Rules::new(file.writes, file.allows, file.denies);
    let passes = |path: &&String| {
        let call = Call { method: "GET", path: (*path).clone(), query: Vec::new() };
        matches!(rules.judge(request(&call), bond), Verdict::Allow(_))
    };
    SHORT_PATHS.iter().find(passes).cloned()
}

#[test]
fn a_name_is_called_unreachable_only_if_no_text_whatever_makes_it_pass() {
    let mut called = 0;
    for (allow, deny) in PIECES.iter().flat_map(|allow| PIECES.map(|deny| (*allow, deny))) {
        let text = pair(&format!("/{allow}"), &format!("/{deny}"));
        if is_called_unreachable(&text) {
            called += 1;
            assert_eq!(let_through(&text), None, "/{allow} is not wholly under /{deny}");
        }
    }
    assert!(called >= 2 * PIECES.len(), "only {called} pairs were called so");
}

proptest! {
    #[test]
    fn a_path_is_called_unreachable_only_if_no_text_whatever_makes_it_pass(
        allow in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..3),
        deny in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..3),
        ends in prop::sample::select(vec!["", "/", "/**"]),
        deep: bool,
    ) {
        let (allow, deny) = (format!("/{}{ends}", allow.join("/")), deny.join("/"));
        let text = pair(&allow, &if deep { format!("/**/{deny}") } else { format!("/{deny}") });
        if is_called_unreachable(&text) {
            prop_assert_eq!(let_through(&text), None, "{}", text);
        }
    }

    #[test]
    fn the_verdict_is_that_of_the_naive_loop(rules in rules(), calls in prop::collection::vec(call(), 8), writes: bool) {
        let compiled = unchecked(&rules, writes);
        for call in calls {
            let expected = naive(&rules, writes, &request(&call));
            let got = shown(&compiled.judge(request(&call), bond));
            let agree = got == expected || (expected == "deny" && got.starts_with("deny ") && got != "deny deny_rule" && got != "deny writes_off");
            prop_assert!(agree, "{call:?}: {got}, expected {expected}\n{}", toml(&rules, writes));
        }
    }

    #[test]
    fn the_decision_one_segment_after_another_is_the_decision(rules in rules(), calls in prop::collection::vec(call(), 8), writes: bool) {
        let compiled = unchecked(&rules, writes);
        for request in calls.iter().map(request).filter(|request| request.path().encoded().is_empty()) {
            let path = request.path();
            let (mut stage, mut nodes) = (compiled.begin(), Nodes::default());
            for (canonical, folded) in path.segments().zip(path.deny_forms()[0].segments()) {
                prop_assert!(compiled.weigh(&request).is_err() || compiled.leads_on(&stage, canonical, &mut nodes));
                stage = compiled.after(&stage, Spelling { canonical, folded }, &mut nodes);
            }
            let end = if path.canonical().ends_with('/') { End::Slash } else { End::Bare };
            let about = compiled.ended(&stage, end, &mut nodes);
            let denied = compiled.denying_with(&about, request.method()).any(|deny| deny.is_about(&request));
            let mut granting = compiled.granting_with(&about, request.method());
            let granting = granting.find(|rule| !denied && rule.refuses(&request).is_none());
            let told = granting.map(|rule| {
                let grant = compiled.obligations(&about, request.method(), &rule.name);
                format!("{:?}", Grant { rule: rule.name.clone(), ..grant })
            });
            let expected = compiled.weigh(&request).ok().map(|grant| {
                let rule = granting.map_or(grant.rule.clone(), |rule| rule.name.clone());
                format!("{:?}", Grant { rule, ..grant })
            });
            prop_assert_eq!(told, expected, "{:?}\n{}", request, toml(&rules, writes));
        }
    }

    #[test]
    fn the_order_of_rules_never_matters(rules in rules(), calls in prop::collection::vec(call(), 8), by in 0_usize..7, writes: bool) {
        let mut turned = rules.clone();
        turned.reverse();
        turned.rotate_left(by.min(rules.len()));
        let (one, other) = (unchecked(&rules, writes), unchecked(&turned, writes));
        for call in calls {
            let (one, other) = (one.judge(request(&call), bond), other.judge(request(&call), bond));
            prop_assert_eq!(whole(&one), whole(&other), "{:?}\n{}", call, toml(&rules, writes));
        }
    }

    #[test]
    fn adding_a_deny_never_raises_a_verdict(rules in rules(), more in rule(9), calls in prop::collection::vec(call(), 8), writes: bool) {
        let mut denied = rules.clone();
        denied.push(Rule { deny: true, ..more });
        let (before, after) = (unchecked(&rules, writes), unchecked(&denied, writes));
        for call in calls {
            let (before, after) = (before.judge(request(&call), bond), after.judge(request(&call), bond));
            prop_assert!(rank(&after) <= rank(&before), "{call:?}\n{}", toml(&denied, writes));
        }
    }

    #[test]
    fn turning_writes_off_never_raises_a_verdict_and_leaves_reads_only(rules in rules(), calls in prop::collection::vec(call(), 8)) {
        let (on, off) = (unchecked(&rules, true), unchecked(&rules, false));
        for call in calls {
            let (on, off) = (on.judge(request(&call), bond), off.judge(request(&call), bond));
            prop_assert!(rank(&off) <= rank(&on), "{call:?}\n{}", toml(&rules, false));
            match off {
                Verdict::Allow(authorized) => prop_assert_eq!(authorized.grant().effect(), Effect::Read),
                Verdict::Hold(held) => prop_assert!(false, "held: {held:?}"),
                Verdict::Deny(_) => {}
            }
        }
    }

    #[test]
    fn a_write_is_allowed_only_where_no_rule_asks_for_a_human(rules in rules(), calls in prop::collection::vec(call(), 8)) {
        let compiled = unchecked(&rules, true);
        for call in calls {
            if let Verdict::Allow(authorized) = compiled.judge(request(&call), bond) {
                let grant = authorized.grant();
                prop_assert!(grant.effect() == Effect::Read || grant.confirm() == Confirm::Never, "{call:?}");
            }
        }
    }

    #[test]
    fn who_is_held_for_the_desk_was_foreseen(rules in rules(), calls in prop::collection::vec(call(), 8), writes: bool) {
        let compiled = unchecked(&rules, writes);
        for call in calls {
            if let Verdict::Hold(held) = compiled.judge(request(&call), bond) {
                let desk = held.grant().channel() != Channel::Client;
                prop_assert!(compiled.could_hold() || !desk, "{call:?}\n{}", toml(&rules, writes));
            }
        }
    }

    #[test]
    fn removing_an_allow_never_lets_a_refused_request_through(rules in rules(), which in 0_usize..7, calls in prop::collection::vec(call(), 8), writes: bool) {
        let mut fewer = rules.clone();
        if which < fewer.len() && !fewer[which].deny {
            fewer.remove(which);
        }
        // Only a policy that passes the checks between rules promises this.
        if let Some(before) = checked(&rules, writes) {
            let after = unchecked(&fewer, writes);
            for call in calls {
                let (before, after) = (before.authorize(&AGENT, request(&call)), after.judge(request(&call), bond));
                prop_assert!(rank(&before) > 0 || rank(&after) == 0, "{call:?}\n{}", toml(&rules, writes));
            }
        }
    }

    #[test]
    fn what_the_checks_call_unreachable_is_never_allowed(rules in rules(), calls in prop::collection::vec(call(), 8)) {
        let text = toml(&rules, true);
        let mut findings = Findings::new(&text);
        let file = File::read(&mut findings).unwrap();
        lint::check(&file, &mut findings);
        let dead: Vec<usize> = {
            let (findings, _) = findings.finish();
            let lines = findings.iter().filter(|finding| finding.code == "unreachable-allow").map(|finding| finding.line);
            lines.collect()
        };
        let compiled = Rules::new(file.writes, file.allows, file.denies);
        for call in calls {
            if let Verdict::Allow(authorized) = compiled.judge(request(&call), bond) {
                let line = usize::try_from(authorized.grant().rule().line()).unwrap();
                prop_assert!(!dead.contains(&(line + 1)), "{call:?}\n{text}");
            }
        }
    }

    #[test]
    fn what_passes_was_shown_and_what_was_shown_as_a_read_is_none_but_a_read(rules in rules(), templates in prop::collection::vec(template(), 1..4), writes: bool) {
        let compiled = unchecked(&rules, writes);
        for (template, calls) in templates.iter().map(|pieces| (shape(pieces), instances(pieces))) {
            for call in calls {
                let request = request(&call);
                let passage = compiled.passage(request.method(), &template);
                let (passes, write) = match compiled.judge(request, bond) {
                    Verdict::Allow(authorized) => (true, authorized.grant().effect() == Effect::Write),
                    Verdict::Hold(_) => (true, true),
                    Verdict::Deny(_) => (false, false),
                };
                let shown = match passage {
                    Passage::Never => !passes,
                    Passage::Read => !write,
                    Passage::Write => writes,
                };
                prop_assert!(shown, "{template} is {passage:?}, but not for {call:?}\n{}", toml(&rules, writes));
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s).{0,200}") {
        let parsed = Policy::parse("any", &text);
        prop_assert!(parsed.policy.is_none());
    }

    #[test]
    fn no_broken_policy_makes_the_reader_panic(rules in rules(), at in 0.0..1.0_f64, length in 0_usize..20, with in "[\\[\\]{}=\"'#.\\n a-z0-9\\u{202e}é]{0,8}") {
        let mut characters: Vec<char> = toml(&rules, true).chars().collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let start = (at * characters.len() as f64) as usize;
        let end = (start + length).min(characters.len());
        characters.splice(start..end, with.chars());
        let text: String = characters.into_iter().collect();
        let parsed = Policy::parse("broken", &text);
        for finding in &parsed.findings {
            prop_assert!(text.get(finding.span.clone()).is_some(), "{finding:?}");
        }
    }
}
