//! Names in paths that look like others and are not the same, by the rules of UTS #39.
//!
//! Promises a finding for each path in which a reader may take a letter for another one: a denial that is written with a Cyrillic letter
//! denies a name that the API does not have. Names are compared as denials compare them, so that another spelling of the same name
//! is none. Only text outside ASCII is looked at; that `l` and `1` look alike is left to the reader.

use std::collections::HashMap;
use std::ops::Range;

use percent_encoding::percent_decode_str;
use unicode_security::MixedScript as _;
use unicode_security::mixed_script::AugmentedScriptSet;
use unicode_security::skeleton;

use crate::policy::file::File;
use crate::policy::finding::{Findings, quoted};
use crate::policy::rule::WrittenPath;
use crate::policy::verdict::RuleRef;
use crate::request::fold::fold_segment;

/// One segment of a path that holds some literal text.
struct Name<'f> {
    rule: &'f RuleRef,
    span: &'f Range<usize>,
    /// As its author wrote it.
    written: String,
    /// In deny form: names that are equal in it are the same name.
    folded: String,
}

pub(super) fn check(file: &File, findings: &mut Findings<'_>) {
    let allows = file.allows.iter().flat_map(|allow| names(&allow.rule.name, &allow.paths));
    let denies = file.denies.iter().flat_map(|deny| names(&deny.rule.name, &deny.paths));
    let names: Vec<Name<'_>> = allows.chain(denies).collect();
    if names.iter().all(|name| name.folded.is_ascii()) {
        return;
    }
    // The first two names of each look: where one looks like another, one of these is the other.
    let mut looks: HashMap<String, Vec<&Name<'_>>> = HashMap::new();
    for name in &names {
        for look in name.looks() {
            let same = looks.entry(look).or_default();
            if same.len() < 2 && same.iter().all(|other| other.folded != name.folded) {
                same.push(name);
            }
        }
    }
    let mut told = None;
    for name in names.iter().filter(|name| !name.folded.is_ascii()) {
        // Once for each path.
        if told != Some(name.span) && name.check(&looks, findings) {
            told = Some(name.span);
        }
    }
}

fn names<'f>(rule: &'f RuleRef, paths: &'f [WrittenPath]) -> impl Iterator<Item = Name<'f>> {
    paths.iter().flat_map(move |path| {
        let literal = |segment: &&str| segment.bytes().any(|byte| byte != b'*');
        path.pattern.text().split('/').filter(literal).map(move |segment| Name {
            rule,
            span: &path.span,
            written: percent_decode_str(segment).decode_utf8_lossy().into_owned(),
            folded: fold_segment(segment),
        })
    })
}

impl Name<'_> {
    /// What two names have in common that look alike, in capital letters or in small ones.
    fn looks(&self) -> [String; 2] {
        [skeleton(&self.written).collect(), skeleton(&self.folded).collect()]
    }

    /// Whether something was found.
    fn check(&self, looks: &HashMap<String, Vec<&Name<'_>>>, findings: &mut Findings<'_>) -> bool {
        let own = self.looks();
        let alike = own.iter().filter_map(|look| looks.get(look)).flatten();
        let twin = alike.copied().find(|other| other.folded != self.folded);
        let (code, message) = if let Some(twin) = twin {
            let place = format!("in rule {} on line {}", quoted(twin.rule.id()), twin.rule.line());
            let message = format!("{} looks like {} {place}, and is another name", self.shown(), quoted(&twin.written));
            ("look-alike", message)
        } else if own.iter().any(|look| look.is_ascii()) && self.folded.chars().all(is_one_letter) {
            ("look-alike", format!("{} looks like ASCII text, and is another name", self.shown()))
        } else if !self.folded.is_single_script() {
            ("mixed-scripts", format!("{} mixes letters of several scripts", self.shown()))
        } else {
            return false;
        };
        let help = "a request is matched letter by letter: write those that the API uses";
        findings.warn(code, self.span.clone(), message, Some(help));
        true
    }

    /// With the letters that a reader may take for others.
    fn shown(&self) -> String {
        let mut letters: Vec<char> = self.written.chars().filter(|letter| !letter.is_ascii()).collect();
        letters.sort_unstable();
        letters.dedup();
        let named = |letter: &char| {
            let scripts = AugmentedScriptSet::for_char(*letter);
            let script = if scripts.is_all() { String::new() } else { format!(" ({scripts})") };
            format!("U+{:04X}{script}", u32::from(*letter))
        };
        let shown: Vec<String> = letters.iter().take(MOST_LETTERS).map(named).collect();
        format!("{}, with {},", quoted(&self.written), shown.join(", "))
    }
}

/// So many letters of one name are listed.
const MOST_LETTERS: usize = 4;

/// Whether a letter looks like one other at most; `æ`, which looks like two, is not taken for them.
fn is_one_letter(letter: char) -> bool {
    skeleton(letter.encode_utf8(&mut [0; 4])).count() <= 1 || letter.is_ascii()
}
