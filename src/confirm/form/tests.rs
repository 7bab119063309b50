//! Whole messages as a person sees them, and that no facts forge a line of ours.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::confirm::difference::{Basis, MAX_ROWS, Row, change};

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A DELETE that nobody dresses up.
fn plain<'a>(word: &'a Word) -> Facts<'a> {
    Facts {
        api: "allstacks",
        method: Method::Delete,
        base_url: "https://app.allstacks.com/api/v1",
        target: "/organization/12/service_items/7/labels/31/",
        headers: &[],
        fixed: &[],
        body: None,
        credential: None,
        rule: "label-work",
        place: "policy.toml:31",
        reason: None,
        digest: DIGEST,
        change: None,
        unseen: None,
        word,
    }
}

fn typed(word: &str) -> Word {
    Word::Typed(word.to_owned())
}

#[test]
fn a_delete_shows_what_would_vanish() {
    let before =
        br#"{"id": 31, "name": "on hold", "owner": {"id": 4, "team": "ops"}, "items": [1, 2, 3], "note": null}"#;
    let change = change(Method::Delete, before, None).unwrap();
    let word = typed("31");
    let facts = Facts { change: Some(&change), reason: Some("labels are set by people"), ..plain(&word) };
    assert_eq!(message(&facts), DELETE);
}

#[test]
fn a_patch_shows_each_part_of_the_request_and_what_it_would_change() {
    let body = br#"{"name":"on hold until the audit of the third quarter is over","state":{"code":4,"since":null},"ids":[1, 2,3],"weight":1.50e0,"rows":[{"a":1},{"a":"\u0041"}]}"#;
    let before = br#"{"id":31,"name":"on hold","state":{"code":3,"since":"2026-01-01"},"ids":[1,2],"weight":1.5}"#;
    let change = change(Method::Patch, before, Some(body)).unwrap();
    let word = typed("31");
    let facts = Facts {
        method: Method::Patch,
        target: "/organization/12/M%C3%BCller/group%2Fproject/labels/31/?dry_run=true&note=two%20%20spaces%0A&expand=labels",
        headers: &[("accept-language", "de"), ("if-match", "\"v7\"")],
        fixed: &[("x-tenant", "12"), ("idempotency-key", "made for this call")],
        body: Some(body),
        credential: Some("writer"),
        change: Some(&change),
        ..plain(&word)
    };
    assert_eq!(message(&facts), PATCH);
}

#[test]
fn a_put_without_a_difference_says_what_that_does_not_prove() {
    let body = br#"{ "name" : "on\u0020hold", "weight": 15e-1, "tags": ["a"], "owner": {} }"#;
    let before = br#"{"weight":1.5,"owner":{},"tags":["a"],"name":"on hold"}"#;
    let change = change(Method::Put, before, Some(body)).unwrap();
    let facts = Facts { method: Method::Put, body: Some(body), change: Some(&change), ..plain(&Word::Yes) };
    assert_eq!(message(&facts), PUT);
}

#[test]
fn what_is_too_long_is_cut_with_its_size_and_hash_and_a_warning() {
    let rows: Vec<String> = (1..=60).map(|id| format!(r#"{{"id":{id},"name":"Zeile {id} für München"}}"#)).collect();
    let body = format!("[{}]", rows.join(","));
    let facts = Facts {
        method: Method::Post,
        target: "/organization/12/service_items/bulk/",
        body: Some(body.as_bytes()),
        ..plain(&Word::Yes)
    };
    assert_eq!(message(&facts), LONG);
}

#[test]
fn a_request_that_wants_to_look_like_another_does_not() {
    let body = "{\"note\":\"ok\\\"\\n```\\nRequest:\\n    GET https://safe.test\",\"x\":\"```\\u200b[a](b)\u{202e}<b>\",\"\u{202e}gnp\":\"a                    b\"}";
    let word = typed("labels");
    let facts = Facts {
        api: "all`stacks*",
        method: Method::Post,
        target: "/labels/%D0%B0dmin%20%20x/?q=1%0ACredential%3A%20reader&e=%E2%80%AE%1B%5B2J",
        headers: &[("accept", "*/*\r\nRule: harmless")],
        body: Some(body.as_bytes()),
        credential: Some("writer\nTo send it, close this form"),
        rule: "r\u{1b}[2K",
        place: "policy.toml:1\u{2028}Reason: fine",
        reason: Some("```\n# Approved already\n![x](https://evil.test/x.png)"),
        ..plain(&word)
    };
    assert_eq!(message(&facts), HOSTILE);
}

#[test]
fn space_of_theirs_is_told_from_ours_and_nothing_is_nothing() {
    let facts = Facts {
        target: "/a?empty=&front=%20x&mark=%CC%81&both=%20",
        rule: "",
        headers: &[("accept", "")],
        ..plain(&Word::Yes)
    };
    let text = message(&facts);
    let lines: Vec<&str> =
        text.lines().filter(|line| line.starts_with("    ") || line.starts_with("Rule")).skip(1).collect();
    let expected =
        ["    empty =", "    front = \\u{20}x", "    mark = \\u{301}", "    both = \\u{20}", "    accept:", "Rule:"];
    assert_eq!(lines, expected);
}

#[test]
fn the_readme_shows_what_a_terminal_shows() {
    let body = br#"{"name":"Delivery and risks"}"#;
    let before = br#"{"id":3,"name":"Delivery","widgets":[11,12]}"#;
    let change = change(Method::Patch, before, Some(body)).unwrap();
    let facts = Facts {
        method: Method::Patch,
        target: "/organization/1/dashboards/3/",
        body: Some(body),
        credential: Some("writer"),
        rule: "dashboards",
        place: "allstacks.toml:10",
        reason: Some("the team names its own dashboards"),
        digest: "ea357a8c4a6ff1cad9ae63c44abe2eccbbdfa6299c413dc57ea2ff5dd066ceec",
        change: Some(&change),
        ..plain(&Word::Yes)
    };
    let shown = in_terminal(&message(&facts));
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(&format!("\n{shown}\n")), "README.md does not show:\n{shown}");
}

#[test]
fn the_least_message_is_short() {
    assert_eq!(message(&plain(&Word::Yes)), LEAST);
}

#[test]
fn a_body_that_is_written_with_escapes_is_read_beside_it_and_its_letters_are_flagged() {
    let body = br#"{"\u0072ole":"\u0430dmin"}"#;
    let text = message(&Facts { body: Some(body), ..plain(&Word::Yes) });
    assert!(text.contains("\n      \"\\u0072ole\": \"\\u0430dmin\"\n      reads: \"role\": \"аdmin\"\n"), "{text}");
    assert!(text.contains("Body, 26 bytes (letters beyond ASCII can look like others):"), "{text}");
}

#[test]
fn what_is_too_deep_to_be_indented_says_how_deep_it_is() {
    let body = format!("{}{}", "[".repeat(20), "]".repeat(20));
    let text = message(&Facts { body: Some(body.as_bytes()), ..plain(&Word::Yes) });
    assert!(text.contains("\n                            depth 18: [\n"), "{text}");
}

#[test]
fn what_the_policy_redacts_is_said_not_to_be_compared() {
    let body = br#"{"name":"a","secret":"[redacted]"}"#;
    let change = change(Method::Put, body, Some(body)).unwrap();
    let text = message(&Facts { method: Method::Put, change: Some(&change), ..plain(&Word::Yes) });
    assert!(
        text.contains("\nRedacted by the policy, so not compared: 1\n    ? secret: redacted, so not compared\n"),
        "{text}"
    );
    assert!(!text.contains("No difference"), "{text}");
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

#[test]
fn the_word_is_the_last_segment_or_a_code() {
    let code = typed("jpdke7");
    for (name, text, expected) in [
        ("a name", "/projects/allstacks-prod", typed("allstacks-prod")),
        ("a slash at the end", "/labels/31/", typed("31")),
        ("decoded", "/labels/a%5Bb%5D", typed("a[b]")),
        ("40 characters", &format!("/{}", "x".repeat(40)), typed(&"x".repeat(40))),
        ("41 characters", &format!("/{}", "x".repeat(41)), code.clone()),
        ("a space", "/labels/on%20hold", code.clone()),
        ("not ASCII", "/labels/Müller", code.clone()),
        ("a fence", "/labels/%60%60%60", code.clone()),
        ("the root", "/", code.clone()),
        ("a yes", "/flags/yes", code.clone()),
        ("a no", "/countries/NO/", code.clone()),
        ("another one", "/actions/cancel", code.clone()),
        ("more than a no", "/flags/not", typed("not")),
    ] {
        assert_eq!(Word::of(Confirm::Typed, &path(text), DIGEST), expected, "{name}");
    }
    for confirm in [Confirm::Each, Confirm::Never] {
        assert_eq!(Word::of(confirm, &path("/a"), DIGEST), Word::Yes);
    }
    assert_ne!(Word::of(Confirm::Typed, &path("/"), "other"), code);
}

#[test]
fn only_what_was_asked_for_is_the_word() {
    for (word, given, right) in [
        (Word::Yes, "true", true),
        (Word::Yes, " true\n", true),
        (Word::Yes, "", false),
        (Word::Yes, "false", false),
        (Word::Yes, "True", false),
        (typed("prod"), "prod", true),
        (typed("prod"), "prod\r\n", true),
        (typed("prod"), "Prod", false),
        (typed("prod"), "prod x", false),
        (typed("prod"), "true", false),
        (typed("prod"), "", false),
        (typed(""), "", false),
    ] {
        assert_eq!(word.is(given), right, "{word:?} {given:?}");
    }
}

/// Text that wants to be a line of ours.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "\u{2028}",
            "\u{85}",
            "```",
            "\n```\n",
            "Request:",
            "\nRequest:\n    GET https://a",
            "Body: none",
            "\nRule: x",
            "Not shown: 1 more line of the body.",
            "\nTo send it, type the word below.",
            "\u{1b}[2J",
            "\u{202e}",
            "  ",
            "    ",
            "  > ",
            "/",
            "%",
            "%0A",
            "%E2%80%A8",
            "?",
            "&",
            "=",
            "\"",
            "\\",
            "{",
            "[",
            "]",
            "}",
            ",",
            ":",
            "日本",
            "é",
            "\u{301}",
            "\\u{41}",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        (1_usize..3_000).prop_map(|length| "x".repeat(length)),
        (1_usize..600).prop_map(|length| "[1],\n".repeat(length)),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn some_change() -> impl Strategy<Value = Change> {
    let row = (hostile(), prop::option::of(hostile()), prop::option::of(hostile()));
    let basis = prop::sample::select(vec![Basis::Merge, Basis::Replace, Basis::Delete]);
    (basis, prop::collection::vec(row, 0..6), 0_usize..200, 0_usize..=100_000).prop_map(|(basis, rows, more, count)| {
        Change {
            basis,
            rows: rows.into_iter().map(|(path, old, new)| Row { path, old, new }).take(MAX_ROWS).collect(),
            more,
            changed: count,
            added: count,
            removed: count,
            unchanged: count,
            unnamed: count,
            hidden: count,
        }
    })
}

/// The lines at the margin that these facts ask for, each up to its first sign.
fn margin(facts: &Facts<'_>, text: &str) -> Vec<&'static str> {
    let mut lines = vec!["An AI client asks to send this to the API ", "```", "Request"];
    let path = facts.target.split('?').next().unwrap();
    lines.extend(path.contains('%').then_some("In the path, decoded"));
    lines.extend(facts.target.contains('?').then_some("Query, decoded"));
    lines.push("Body");
    // A body that is long, or that is cut, has one line more.
    let long = |body: &[u8]| {
        body.len() > LONG_BODY
            || text.lines().any(|line| line.starts_with("Not shown: ") && line.ends_with(" of the body."))
    };
    lines.extend(facts.body.filter(|body| long(body)).map(|_| "SHA-256"));
    lines.extend((!facts.headers.is_empty()).then_some("Headers:"));
    lines.extend((!facts.fixed.is_empty()).then_some("Headers that the policy adds"));
    lines.push("Credential");
    lines.extend(["Rule", "Written at"]);
    lines.extend(facts.reason.map(|_| "Reason"));
    if let Some(change) = facts.change {
        match change.basis {
            Basis::Merge => lines.extend(["Change", "Counted", "Not named by the body"]),
            Basis::Replace => lines.extend(["Change", "Counted"]),
            Basis::Delete => lines.extend(["What the API has now and would be gone", "The API may delete"]),
        }
        if facts.target.contains('?') {
            lines.extend(["What the API has now was read", "agent chose"]);
        }
        lines.extend((change.hidden > 0).then_some("Redacted by the policy"));
        if change.rows.is_empty() {
            lines.extend(["No difference was found", "API may read"]);
        }
    }
    lines.extend(["Digest", "To send it", "```"]);
    lines
}

fn is_ours(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("    ") && !line.starts_with("  > ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_facts_forge_a_line_of_ours_or_outgrow_a_message(
        (api, base_url, target, rule, place, digest) in (hostile(), hostile(), hostile(), hostile(), hostile(), hostile()),
        (header, body, credential, reason) in (
            prop::option::of((hostile(), hostile())),
            prop::option::of(prop_oneof![
                hostile().prop_map(String::into_bytes),
                hostile().prop_map(|text| serde_json::to_vec(&serde_json::json!({ "a": text, &text: [text] })).unwrap()),
                prop::collection::vec(any::<u8>(), 0..40),
            ]),
            prop::option::of(hostile()),
            prop::option::of(hostile()),
        ),
        change in prop::option::of(some_change()),
        word in prop_oneof![Just(Word::Yes), hostile().prop_map(Word::Typed)],
        method in prop::sample::select(Method::ALL.to_vec()),
    ) {
        let header = header.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        let facts = Facts {
            api: &api, method, base_url: &base_url, target: &target, headers: header.as_slice(), fixed: header.as_slice(), body: body.as_deref(),
            credential: credential.as_deref(), rule: &rule, place: &place, reason: reason.as_deref(), digest: &digest,
            change: change.as_ref(), unseen: None, word: &word,
        };
        let text = message(&facts);
        prop_assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
        prop_assert_eq!(text.matches("```").count(), 2);
        let wide = |line: &&str| line.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum::<usize>() > 80;
        prop_assert_eq!(text.lines().find(wide), None);
        let unseen = |c: char| c != '\n' && shown(&format!("a{c}a")).len() != c.len_utf8() + 2;
        let unseen = text.chars().find(|c| !c.is_ascii() && !super::super::escape::is_mark(*c) && unseen(*c));
        prop_assert_eq!(unseen, None);
        prop_assert!(text.lines().all(|line| !line.ends_with(' ')), "{}", text);
        prop_assert!(text.bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()));
        let cut = "Not shown: ";
        let warning = ["NOT ALL IS SHOWN", "Say no unless"];
        let ours = text.lines().filter(|line| is_ours(line));
        let (notes, ours): (Vec<_>, Vec<_>) = ours.partition(|line| line.starts_with(cut) || warning.iter().any(|w| line.starts_with(w)));
        let expected = margin(&facts, &text);
        prop_assert_eq!(ours.len(), expected.len(), "{}", text);
        prop_assert!(ours.iter().zip(&expected).all(|(line, label)| line.starts_with(label)), "{}", text);
        let cuts = notes.iter().filter(|line| line.starts_with(cut)).count();
        let warned = notes.len() - cuts;
        prop_assert!(warned == 0 && cuts <= 1 || warned == 2 && cuts >= 1, "{}", text);
    }

    #[test]
    fn the_word_can_be_typed_from_the_message(path in "(/[a-zA-Z0-9%._~é!@`()-]{1,12}){1,3}/?", digest in "[0-9a-f]{64}") {
        let Ok(path) = Path::parse(&path) else { return Ok(()); };
        let word = Word::of(Confirm::Typed, &path, &digest);
        let text = message(&plain(&word));
        let line = text.lines().rev().nth(1).unwrap();
        prop_assert!(word.is(line), "{}", text);
    }

    #[test]
    fn a_short_body_is_shown_byte_for_byte(numbers in prop::collection::vec("-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?", 1..6), name in "[ -!#-\\[\\]-~]{0,20}") {
        prop_assume!(!name.contains("  ") && !name.contains("```"));
        let body = format!("{{\"{name}\":[{}],\"{name}\":{{\"b\":\"\\u0041\\/\"}}}}", numbers.join(","));
        prop_assume!(serde_json::from_str::<&RawValue>(&body).is_ok());
        let text = message(&Facts { body: Some(body.as_bytes()), ..plain(&Word::Yes) });
        let shown = text.split_once("Body, ").unwrap().1.split_once(":\n").unwrap().1.split_once("\nCredential").unwrap().0;
        let whole = shown.replace("\n  > ", "");
        let sent = whole.lines().filter(|line| !line.trim_start().starts_with("reads: ")).collect::<String>();
        let squeezed = |text: &str| text.replace([' ', '\n'], "");
        prop_assert_eq!(squeezed(&sent), squeezed(&body));
    }
}

const DELETE: &str = r##"An AI client asks to send this to the API allstacks.

```
Request:
    DELETE https://app.allstacks.com/api/v1/organization/12/service_items/7/
  > labels/31/
Body: none
Credential: the default one
Rule: label-work
Written at: policy.toml:31
Reason: labels are set by people
What the API has now and would be gone, 5 in all:
The API may delete more than it shows.
    - id: 31
    - name: "on hold"
    - owner: 2 members
    - items: 3 elements
    - note: null
Digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

To send it, type the word below. Any other answer sends nothing.
    31
```
"##;

const PATCH: &str = r##"An AI client asks to send this to the API allstacks.

```
Request:
    PATCH https://app.allstacks.com/api/v1/organization/12/M%C3%BCller/
  > group%2Fproject/labels/31/?dry_run=true&note=two%20%20spaces%0A&
  > expand=labels
In the path, decoded (letters beyond ASCII can look like others):
    M%C3%BCller = Müller
    group%2Fproject = group/project
Query, decoded:
    dry_run = true
    note = two\u{20*2}spaces\u{a}
    expand = labels
Body, 158 bytes:
    {
      "name": "on hold until the audit of the third quarter is over",
      "state": {
        "code": 4,
        "since": null
      },
      "ids": [1, 2, 3],
      "weight": 1.50e0,
      "rows": [
        {"a": 1},
        {"a": "\u0041"}
        reads: {"a": "A"}
      ]
    }
Headers:
    accept-language: de
    if-match: "v7"
Headers that the policy adds:
    x-tenant: 12
    idempotency-key: made for this call
Credential: writer
Rule: label-work
Written at: policy.toml:31
Change, if the body is merged into what the API has now:
Counted: 2 changed, 2 added, 1 removed, 3 as before
Not named by the body, so left alone: 1
What the API has now was read with the query of this request, which the
agent chose: it may leave things out.
    ~ name: "on hold" -> "on hold until the audit of the third quarter is
  >  over"
    ~ state.code: 3 -> 4
    - state.since: "2026-01-01"
    + ids[2]: 3
    + rows: [{"a": 1}, {"a": "\u0041"}]
Digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

To send it, type the word below. Any other answer sends nothing.
    31
```
"##;

const PUT: &str = r##"An AI client asks to send this to the API allstacks.

```
Request:
    PUT https://app.allstacks.com/api/v1/organization/12/service_items/7/
  > labels/31/
Body, 72 bytes:
    {
      "name": "on\u0020hold",
      reads: "name": "on hold",
      "weight": 15e-1,
      "tags": ["a"],
      "owner": {}
    }
Credential: the default one
Rule: label-work
Written at: policy.toml:31
Change, if the body takes the place of what the API has now:
Counted: 0 changed, 0 added, 0 removed, 4 as before
No difference was found. That does not prove that nothing would change: the
API may read the body in another way, or have more than it shows.
Digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

To send it, answer yes (`confirm: true`). Any other answer sends nothing.
```
"##;

const LONG: &str = r##"An AI client asks to send this to the API allstacks.

```
Request:
    POST https://app.allstacks.com/api/v1/organization/12/service_items/bulk/
Body, 2503 bytes (letters beyond ASCII can look like others):
SHA-256: b2494115d905dfcdc0864a9097cda9c3fd5200c795cdf80287d10638b69ea703
    [
      {"id": 1, "name": "Zeile 1 für München"},
      {"id": 2, "name": "Zeile 2 für München"},
      {"id": 3, "name": "Zeile 3 für München"},
      {"id": 4, "name": "Zeile 4 für München"},
      {"id": 5, "name": "Zeile 5 für München"},
      {"id": 6, "name": "Zeile 6 für München"},
      {"id": 7, "name": "Zeile 7 für München"},
      {"id": 8, "name": "Zeile 8 für München"},
      {"id": 9, "name": "Zeile 9 für München"},
      {"id": 10, "name": "Zeile 10 für München"},
      {"id": 11, "name": "Zeile 11 für München"},
      {"id": 12, "name": "Zeile 12 für München"},
      {"id": 13, "name": "Zeile 13 für München"},
      {"id": 14, "name": "Zeile 14 für München"},
      {"id": 15, "name": "Zeile 15 für München"},
      {"id": 16, "name": "Zeile 16 für München"},
      {"id": 17, "name": "Zeile 17 für München"},
      {"id": 18, "name": "Zeile 18 für München"},
      {"id": 19, "name": "Zeile 19 für München"},
      {"id": 20, "name": "Zeile 20 für München"},
      {"id": 21, "name": "Zeile 21 für München"},
      {"id": 22, "name": "Zeile 22 für München"},
      {"id": 23, "name": "Zeile 23 für München"},
      {"id": 24, "name": "Zeile 24 für München"},
      {"id": 25, "name": "Zeile 25 für München"},
      {"id": 26, "name": "Zeile 26 für München"},
      {"id": 27, "name": "Zeile 27 für München"},
      {"id": 28, "name": "Zeile 28 für München"},
      {"id": 29, "name": "Zeile 29 für München"},
      {"id": 30, "name": "Zeile 30 für München"},
      {"id": 31, "name": "Zeile 31 für München"},
      {"id": 32, "name": "Zeile 32 für München"},
      {"id": 33, "name": "Zeile 33 für München"},
      {"id": 34, "name": "Zeile 34 für München"},
      {"id": 35, "name": "Zeile 35 für München"},
      {"id": 36, "name": "Zeile 36 für München"},
      {"id": 37, "name": "Zeile 37 für München"},
      {"id": 38, "name": "Zeile 38 für München"},
      {"id": 39, "name": "Zeile 39 für München"},
      {"id": 40, "name": "Zeile 40 für München"},
      {"id": 41, "name": "Zeile 41 für München"},
      {"id": 42, "name": "Zeile 42 für München"},
      {"id": 43, "name": "Zeile 43 für München"},
      {"id": 44, "name": "Zeile 44 für München"},
      {"id": 45, "name": "Zeile 45 für München"},
      {"id": 46, "name": "Zeile 46 für München"},
      {"id": 47, "name": "Zeile 47 für München"},
Not shown: 14 more lines of the body.
Credential: the default one
Rule: label-work
Written at: policy.toml:31
Digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

NOT ALL IS SHOWN. Cut short: body
Say no unless you know the rest from elsewhere.

To send it, answer yes (`confirm: true`). Any other answer sends nothing.
```
"##;

const HOSTILE: &str = r##"An AI client asks to send this to the API allu+60stacksu+2a.

```
Request:
    POST https://app.allstacks.com/api/v1/labels/%D0%B0dmin%20%20x/?
  > q=1%0ACredential%3A%20reader&e=%E2%80%AE%1B%5B2J
In the path, decoded (letters beyond ASCII can look like others):
    %D0%B0dmin%20%20x = аdmin\u{20*2}x
Query, decoded (letters beyond ASCII can look like others):
    q = 1\u{a}Credential: reader
    e = \u{202e}\u{1b}[2J
Body, 119 bytes (letters beyond ASCII can look like others):
    {
      "note": "ok\"\n``\u{60}\nRequest:\n\u{20*4}GET https://safe.test",
      "x": "``\u{60}\u200b[a](b)\u{202e}<b>",
      reads: "x": "``\u{60}\u{200b}[a](b)\u{202e}<b>",
      "\u{202e}gnp": "a\u{20*20}b"
    }
Headers:
    accept: */*\u{d}\u{a}Rule: harmless
Credential: writer\u{a}To send it, close this form
Rule: r\u{1b}[2K
Written at: policy.toml:1\u{2028}Reason: fine
Reason: ``\u{60}\u{a}# Approved already\u{a}![x](https://evil.test/x.png)
Digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

To send it, type the word below. Any other answer sends nothing.
    labels
```
"##;

const LEAST: &str = r##"An AI client asks to send this to the API allstacks.

```
Request:
    DELETE https://app.allstacks.com/api/v1/organization/12/service_items/7/
  > labels/31/
Body: none
Credential: the default one
Rule: label-work
Written at: policy.toml:31
Digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

To send it, answer yes (`confirm: true`). Any other answer sends nothing.
```
"##;
