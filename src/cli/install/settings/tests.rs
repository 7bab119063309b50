use serde_json::json;

use super::*;

const TABLE: &str = "mcpServers";

fn entry() -> Value {
    json!({ "command": "/bin/p", "args": ["serve", "--policy", "/a.toml"] })
}

fn with(text: &str) -> Result<String, SettingsError> {
    Settings::read(text)?.with(TABLE, "ours", &entry())
}

fn without(text: &str) -> String {
    Settings::read(text).unwrap().without(TABLE, "ours").unwrap()
}

const OURS: &str =
    "\"ours\": {\n      \"command\": \"/bin/p\",\n      \"args\": [\"serve\", \"--policy\", \"/a.toml\"]\n    }";

#[test]
fn an_entry_is_put_in_and_every_other_byte_stays() {
    let cases: &[(&str, &str, String)] = &[
        ("nothing", "", format!("{{\n  \"mcpServers\": {{\n    {OURS}\n  }}\n}}\n")),
        ("empty", "{}\n", format!("{{\n  \"mcpServers\": {{\n    {OURS}\n  }}\n}}\n")),
        (
            "no servers",
            "{\n  \"theme\": \"dark\"\n}\n",
            format!("{{\n  \"theme\": \"dark\",\n  \"mcpServers\": {{\n    {OURS}\n  }}\n}}\n"),
        ),
        (
            "an empty table between others",
            "{\n  \"b\": 1,\n  \"mcpServers\": {},\n  \"a\": [1, 2.50]\n}",
            format!("{{\n  \"b\": 1,\n  \"mcpServers\": {{\n    {OURS}\n  }},\n  \"a\": [1, 2.50]\n}}"),
        ),
        (
            "another server",
            "{\n  \"mcpServers\": {\n    \"z\": { \"command\": \"z\" }\n  }\n}\n",
            format!("{{\n  \"mcpServers\": {{\n    \"z\": {{ \"command\": \"z\" }},\n    {OURS}\n  }}\n}}\n"),
        ),
        (
            "comments and commas at the end",
            "// mine\n{\n  \"mcpServers\": {\n    \"z\": {}, // the other\n    /* more */\n  },\n}\n",
            format!(
                "// mine\n{{\n  \"mcpServers\": {{\n    \"z\": {{}}, // the other\n    /* more */\n    {OURS},\n  }},\n}}\n"
            ),
        ),
        (
            "a comment behind the last",
            "{\n  \"mcpServers\": {\n    \"z\": {} // the, other\n  }\n}\n",
            format!("{{\n  \"mcpServers\": {{\n    \"z\": {{}}, // the, other\n    {OURS}\n  }}\n}}\n"),
        ),
        (
            "one line",
            r#"{"mcpServers":{"z":{}},"a":1}"#,
            r#"{"mcpServers":{"z":{}, "ours": {"command":"/bin/p","args":["serve","--policy","/a.toml"]}},"a":1}"#
                .to_owned(),
        ),
        (
            "what looks like a comment in a string",
            "{\n  \"u\": \"http://a/*b*/\"\n}",
            format!("{{\n  \"u\": \"http://a/*b*/\",\n  \"mcpServers\": {{\n    {OURS}\n  }}\n}}"),
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(with(text).unwrap(), *expected, "{name}");
    }
}

#[test]
fn tabs_and_wide_indentation_are_kept() {
    let text = with("{\n\t\"a\": 1\n}\n").unwrap();
    assert!(text.contains("\n\t\"mcpServers\": {\n\t\t\"ours\": {\n\t\t\t\"command\""), "{text}");
    let text = with("{\n    \"a\": 1\n}\n").unwrap();
    assert!(text.contains("\n    \"mcpServers\": {\n        \"ours\": {"), "{text}");
}

#[test]
fn what_was_put_in_comes_out_again() {
    for text in [
        "{\n  \"mcpServers\": {}\n}\n",
        "{\n  \"mcpServers\": {\n    \"z\": { \"command\": \"z\" }\n  },\n  \"a\": 1\n}\n",
        "// mine\n{\n  \"mcpServers\": {\n    \"z\": {}, // the other\n    /* more */\n  },\n}\n",
        "{\n  \"mcpServers\": {\n    \"z\": {} // the, other\n  }\n}\n",
        r#"{"mcpServers":{"z":{}},"a":1}"#,
    ] {
        assert_eq!(without(&with(text).unwrap()), text);
    }
}

#[test]
fn an_entry_is_taken_out_wherever_it_stands() {
    for (text, expected) in [
        ("{\"mcpServers\": {\"ours\": {}, \"z\": 1}}", "{\"mcpServers\": { \"z\": 1}}"),
        ("{\"mcpServers\": {\"y\": 0, \"ours\": {}, \"z\": 1}}", "{\"mcpServers\": {\"y\": 0, \"z\": 1}}"),
        ("{\"mcpServers\": {\"y\": 0, \"ours\": {}}}", "{\"mcpServers\": {\"y\": 0}}"),
        ("{\"mcpServers\": {\"ours\": {}}}", "{\"mcpServers\": {}}"),
        ("{\"mcpServers\": {\"z\": 1}}", "{\"mcpServers\": {\"z\": 1}}"),
        ("{\"ours\": 1}", "{\"ours\": 1}"),
    ] {
        assert_eq!(without(text), expected);
    }
}

#[test]
fn an_entry_is_exchanged_in_its_place_and_one_with_comments_is_left() {
    let text = "{\n  \"mcpServers\": {\n    \"ours\": {\n      \"command\": \"old\"\n    },\n    \"z\": {}\n  }\n}\n";
    assert_eq!(with(text).unwrap(), format!("{{\n  \"mcpServers\": {{\n    {OURS},\n    \"z\": {{}}\n  }}\n}}\n"));
    let text = "{ \"mcpServers\": { \"ours\": { /* why */ \"command\": \"old\" } } }";
    assert_eq!(with(text), Err(SettingsError::Entangled));
}

#[test]
fn what_is_no_settings_is_refused_by_its_line() {
    for (text, line) in [
        ("{", 1),
        ("{\n\"a\"\n}", 3),
        ("{\n\"a\": 1 \"b\": 2}", 2),
        ("{\"a\": tru}", 1),
        ("{\"a\": [1 2]}", 1),
        ("{} {}", 1),
        ("{\"a\": \"\n\"}", 2),
        ("{,}", 1),
        ("{\"a\": /* 1}", 1),
        ("nothing", 1),
    ] {
        assert_eq!(Settings::read(text).unwrap_err(), SettingsError::Syntax { line }, "{text}");
    }
    assert!(matches!(Settings::read("[]"), Err(SettingsError::NoObject(_))));
    assert!(matches!(with("{\"mcpServers\": []}"), Err(SettingsError::NoObject(_))));
    assert!(matches!(Settings::read("{\"a\": {\"b\": 1, \"b\": 2}}"), Err(SettingsError::Twice { .. })));
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(1_000), "]".repeat(1_000));
    assert!(matches!(Settings::read(&deep), Err(SettingsError::Syntax { .. })));
}

proptest::proptest! {
    /// Whatever stands there, a change changes one member: the rest reads the same, in the same order.
    #[test]
    fn a_change_of_any_settings_leaves_the_rest_as_it_was(
        servers in proptest::collection::vec("[a-z]{1,3}", 0..4),
        others in proptest::collection::vec("[a-z]{1,3}", 0..4),
        gaps in proptest::collection::vec(proptest::sample::select(vec!["", " ", "\n", "\n\t", " // c\n", " /* c */ "]), 12),
        trailing in proptest::bool::ANY,
    ) {
        let mut gap = gaps.iter().cycle();
        let mut member = |name: &str, value: String| {
            format!("{}\"{name}\"{}:{}{value}{}", gap.next().unwrap(), gap.next().unwrap(), gap.next().unwrap(), gap.next().unwrap())
        };
        let unique = |names: &[String]| names.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        let servers: Vec<_> = unique(&servers).iter().map(|name| member(name, "{\"command\": \"x\"}".to_owned())).collect();
        let comma = if trailing && !servers.is_empty() { "," } else { "" };
        let table = format!("{{{}{comma}}}", servers.join(","));
        let mut members: Vec<_> = unique(&others).iter().map(|name| member(name, "[1, {}]".to_owned())).collect();
        members.push(member(TABLE, table));
        let text = format!("{{{}}}", members.join(","));
        let before = Settings::read(&text).unwrap();
        let after = before.with(TABLE, "ours!", &entry()).unwrap();
        let read = Settings::read(&after).unwrap();
        proptest::prop_assert_eq!(read.entry(TABLE, "ours!"), Some(entry()));
        let back = read.without(TABLE, "ours!");
        // Where a comment ends at the end of the line that goes, nothing is changed.
        if let Ok(back) = back {
            let back = Settings::read(&back).unwrap();
            proptest::prop_assert_eq!(back.root.value().to_string(), before.root.value().to_string());
        }
    }
}
