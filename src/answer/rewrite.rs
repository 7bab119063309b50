//! One pass over an answer's JSON: white space goes, redacted values go, and what was not asked for goes.
//!
//! Promises that strings and numbers stay byte for byte, that redaction wins over whatever was asked for, and that a text
//! in which little changes is not copied. Refuses text that is not JSON: nothing could be redacted in it.

use super::cursor::{Broken, Cursor, Kind, name};
use super::edit::{Output, Text};
use super::select::{Frame, Selector, Step};
use crate::policy::FieldPath;

/// A text that was rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) text: Text,
    /// How many values stand in it, one on each line.
    pub(super) values: usize,
    /// Whether anything of what was asked for is there; true if everything was.
    pub(super) found: bool,
}

/// Rewrites one JSON value, or several one after another, as `application/x-ndjson` has them. A new text gets `room` bytes,
/// as many as the old one had.
pub(super) fn rewrite(
    text: &str,
    room: usize,
    redact: &[FieldPath],
    fields: Option<&[FieldPath]>,
) -> Result<Rewritten, Broken> {
    let (redact, root) = Selector::ends(redact);
    let (fields, keep) = match fields {
        None => (Selector::ways(&[]).0, Keep::All),
        Some(fields) => {
            let (fields, root) = Selector::ways(fields);
            (fields, Keep::Some(root))
        }
    };
    let found = keep == Keep::All;
    let mut pass = Pass { out: Output::new(text, room), redact, fields, found };
    let mut cursor = Cursor::new(text);
    let mut values = 0;
    cursor.space(true);
    while cursor.peek().is_some() {
        if values > 0 {
            pass.out.put("\n");
        }
        pass.value(&mut cursor, root, keep)?;
        values += 1;
        cursor.space(true);
    }
    if values == 0 { Err(Broken) } else { Ok(Rewritten { text: pass.out.end(), values, found: pass.found }) }
}

/// What of a value goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    /// The members that these paths name.
    Some(Frame),
}

struct Pass<'t, 'p> {
    out: Output<'t>,
    redact: Selector<'p>,
    fields: Selector<'p>,
    found: bool,
}

impl<'t> Pass<'t, '_> {
    fn value(&mut self, cursor: &mut Cursor<'t>, hidden: Frame, keep: Keep) -> Result<(), Broken> {
        match cursor.kind() {
            Kind::Object => self.object(cursor, hidden, keep),
            Kind::Array => self.array(cursor, hidden, keep),
            Kind::Text | Kind::Null | Kind::Plain => {
                self.out.put(cursor.scalar()?);
                Ok(())
            }
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'t>, hidden: Frame, keep: Keep) -> Result<(), Broken> {
        let mut first = true;
        self.out.put("{");
        cursor.members(&mut |cursor, literal| {
            let name = name(literal)?;
            let kept = match keep {
                Keep::All => Some(Keep::All),
                Keep::Some(frame) => {
                    let step = self.fields.member(frame, &name);
                    self.wanted(step, cursor.kind())
                }
            };
            let Some(keep) = kept else { return cursor.value().map(|_| ()) };
            if !std::mem::take(&mut first) {
                self.out.put(",");
            }
            self.out.put(literal);
            self.out.put(":");
            let step = self.redact.member(hidden, &name);
            self.shown(cursor, step, keep)
        })?;
        self.out.put("}");
        Ok(())
    }

    fn array(&mut self, cursor: &mut Cursor<'t>, hidden: Frame, keep: Keep) -> Result<(), Broken> {
        let mut first = true;
        // The same for every element.
        let hidden = self.redact.element(hidden);
        let way = match keep {
            Keep::All => None,
            Keep::Some(frame) => Some(self.fields.element(frame)),
        };
        self.out.put("[");
        cursor.elements(&mut |cursor| {
            let kept = match way {
                None => Some(Keep::All),
                Some(step) => self.wanted(step, cursor.kind()),
            };
            let Some(keep) = kept else { return cursor.value().map(|_| ()) };
            if !std::mem::take(&mut first) {
                self.out.put(",");
            }
            self.shown(cursor, hidden, keep)
        })?;
        self.out.put("]");
        Ok(())
    }

    /// A value that goes out, unless it is redacted.
    fn shown(&mut self, cursor: &mut Cursor<'t>, step: Step, keep: Keep) -> Result<(), Broken> {
        match step {
            Step::Hit => {
                cursor.value()?;
                self.out.redact(cursor.offset());
                Ok(())
            }
            Step::Inside(hidden) => self.value(cursor, hidden, keep),
        }
    }

    /// What of a member or an element goes out. On the way to what was asked for the containers are kept, and `null`,
    /// which says that the way ends.
    fn wanted(&mut self, step: Step, kind: Kind) -> Option<Keep> {
        match (step, kind) {
            (Step::Hit, _) => {
                self.found = true;
                Some(Keep::All)
            }
            (Step::Inside(frame), Kind::Object | Kind::Array | Kind::Null) if !frame.is_empty() => {
                Some(Keep::Some(frame))
            }
            (Step::Inside(_), Kind::Object | Kind::Array | Kind::Null | Kind::Text | Kind::Plain) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::policy::Segment;

    fn paths(texts: &[&str], parse: fn(&str) -> Result<FieldPath, crate::policy::FieldPathError>) -> Vec<FieldPath> {
        texts.iter().map(|text| parse(text).unwrap()).collect()
    }

    fn run(text: &str, redact: &[&str], fields: Option<&[&str]>) -> Result<String, Broken> {
        let redact = paths(redact, FieldPath::anywhere);
        let fields = fields.map(|fields| paths(fields, FieldPath::from_root));
        shown(text, &redact, fields.as_deref())
    }

    fn shown(text: &str, redact: &[FieldPath], fields: Option<&[FieldPath]>) -> Result<String, Broken> {
        rewrite(text, text.len(), redact, fields).map(|rewritten| rewritten.text.of(text.to_owned()))
    }

    #[test]
    fn white_space_goes_and_strings_and_numbers_stay_byte_for_byte() {
        let text = " { \"a b\" : [ 1.0e+2 , -0 , 12345678901234567890123 ] ,\r\n\t\"\\u0061\" : \"\\/ \\ud800 é\" } \n";
        let compact = r#"{"a b":[1.0e+2,-0,12345678901234567890123],"\u0061":"\/ \ud800 é"}"#;
        assert_eq!(run(text, &[], None).as_deref(), Ok(compact));
    }

    #[test]
    fn a_text_that_is_compact_is_not_copied() {
        for (text, length) in [(r#"{"a":[1,{"b":"c d"}]}"#, 21), ("[1]\n", 3), ("{\"a\":1}\n{\"a\":2}\n", 15)] {
            assert_eq!(rewrite(text, text.len(), &[], None).unwrap().text, Text::Same(length, Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_value_is_redacted_whatever_it_is_and_however_its_name_is_written() {
        let whole = r#"{"email":"[redacted]"}"#;
        for value in [r#""a@b.c""#, "1", "null", "true", r#"["x",{"y":1}]"#, r#"{"at":"home"}"#] {
            for name in ["email", r"em\u0061il", r"\u0065\u006D\u0061\u0069\u006c"] {
                let redacted = run(&format!("{{\"{name}\": {value}}}"), &["email"], None).unwrap();
                assert_eq!(redacted.replace(name, "email"), whole, "{name} {value}");
            }
        }
        assert_eq!(
            run(r#"{"email":1,"email":2}"#, &["email"], None).unwrap(),
            r#"{"email":"[redacted]","email":"[redacted]"}"#
        );
        assert_eq!(run(r#"{"Email":1,"e_mail":2}"#, &["email"], None).unwrap(), r#"{"Email":1,"e_mail":2}"#);
    }

    #[test]
    fn a_path_begins_at_the_root_and_looks_through_arrays() {
        for (path, text, redacted) in [
            ("a.b", r#"{"a":{"b":1},"b":2,"c":{"a":{"b":3}}}"#, r#"{"a":{"b":"@"},"b":2,"c":{"a":{"b":3}}}"#),
            ("a.b", r#"[{"a":[{"b":1},[{"b":2}]]}]"#, r#"[{"a":[{"b":"@"},[{"b":"@"}]]}]"#),
            ("*.b", r#"{"a":{"b":1},"b":2}"#, r#"{"a":{"b":"@"},"b":2}"#),
            ("items.*.t", r#"{"items":[{"t":1}],"t":2}"#, r#"{"items":[{"t":"@"}],"t":2}"#),
            ("items.*.t", r#"{"items":{"x":{"t":1}}}"#, r#"{"items":{"x":{"t":"@"}}}"#),
            ("items.*", r#"{"items":[1,[2]]}"#, r#"{"items":["@","@"]}"#),
            ("**.a.b", r#"{"a":{"a":{"b":1}},"b":2}"#, r#"{"a":{"a":{"b":"@"}},"b":2}"#),
            ("a.**.b", r#"{"a":{"b":1,"c":[{"b":2}]},"b":3}"#, r#"{"a":{"b":"@","c":[{"b":"@"}]},"b":3}"#),
            (r"a\.b", r#"{"a.b":1,"a":{"b":2}}"#, r#"{"a.b":"@","a":{"b":2}}"#),
        ] {
            assert_eq!(run(text, &[path], None).unwrap(), redacted.replace('@', "[redacted]"), "{path} {text}");
        }
    }

    #[test]
    fn what_was_asked_for_is_kept_in_the_order_of_the_answer() {
        let text = r#"[{"id":1,"n":"x","o":{"l":"me","z":[1]},"t":["a"]},{"n":"y","o":null,"id":2},3]"#;
        for (fields, kept) in [
            (&["n", "id"][..], r#"[{"id":1,"n":"x"},{"n":"y","id":2}]"#),
            (&["o.l"], r#"[{"o":{"l":"me"}},{"o":null}]"#),
            (&["*.z", "t"], r#"[{"o":{"z":[1]},"t":["a"]},{"o":null}]"#),
            (&["**.l"], r#"[{"o":{"l":"me","z":[]},"t":[]},{"o":null}]"#),
            (&["nothing"], "[{},{}]"),
        ] {
            assert_eq!(run(text, &[], Some(fields)).unwrap(), kept, "{fields:?}");
        }
    }

    #[test]
    fn redaction_wins_over_what_was_asked_for() {
        let text = r#"{"o":{"l":"me","email":"a@b"},"email":1}"#;
        assert_eq!(
            run(text, &["email"], Some(&["o.email", "email"])).unwrap(),
            r#"{"o":{"email":"[redacted]"},"email":"[redacted]"}"#
        );
        assert_eq!(run(text, &["o"], Some(&["o.email"])).unwrap(), r#"{"o":"[redacted]"}"#);
    }

    #[test]
    fn each_of_several_values_is_redacted_and_stands_on_a_line_of_its_own() {
        let text = "{\"email\": 1}\r\n{\"email\": 2}\n\n\u{1e}{\"a\":3}\n";
        let lines = "{\"email\":\"[redacted]\"}\n{\"email\":\"[redacted]\"}\n{\"a\":3}";
        assert_eq!(run(text, &["email"], None).unwrap(), lines);
    }

    #[test]
    fn a_text_that_is_not_json_is_refused() {
        for text in ["", " ", "{\"a\":1", "{\"a\":1} tail", "{'a':1}", r#"{"\ud800":1}"#] {
            assert_eq!(run(text, &["email"], None), Err(Broken), "{text}");
        }
    }

    /// One step from the root: a member, or an element.
    type Way<'n> = Option<&'n str>;

    fn names(segments: &[Segment], ways: &[Way<'_>]) -> bool {
        match (segments, ways) {
            ([], []) => true,
            ([], _) | ([Segment::Name(_) | Segment::One, ..], []) => false,
            ([Segment::Any, rest @ ..], _) => {
                names(rest, ways) || ways.split_first().is_some_and(|(_, later)| names(segments, later))
            }
            ([Segment::Name(name), rest @ ..], [Some(way), later @ ..]) => **name == **way && names(rest, later),
            ([Segment::One, rest @ ..], [Some(_), later @ ..]) => names(rest, later),
            ([Segment::Name(_), ..], [None, later @ ..]) => names(segments, later),
            ([Segment::One, rest @ ..], [None, later @ ..]) => names(segments, later) || names(rest, later),
        }
    }

    fn model<'v>(value: &'v Value, paths: &[FieldPath], ways: &mut Vec<Way<'v>>) -> Value {
        if !ways.is_empty() && paths.iter().any(|path| names(path.segments(), ways)) {
            return Value::from("[redacted]");
        }
        let mut inside = |way, value| {
            ways.push(way);
            let shown = model(value, paths, ways);
            ways.pop();
            shown
        };
        match value {
            Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), inside(Some(name), value))).collect(),
            Value::Array(list) => list.iter().map(|value| inside(None, value)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), "[a\"\\\\é ]{0,3}".prop_map(Value::from)];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[abc]|a\\.b", inner), 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn path() -> impl Strategy<Value = FieldPath> {
        let written = prop::collection::vec(r"a|b|c|a\\\.b|\*|\*\*", 1..5).prop_map(|words| words.join("."));
        written.prop_filter_map("a path", |text| FieldPath::anywhere(&text).ok())
    }

    proptest! {
        #[test]
        fn redaction_equals_a_naive_look_at_every_path(
            value in json(),
            mut paths in prop::collection::vec(path(), 0..4),
            others in 0..40_usize,
            pretty in any::<bool>(),
            blank in 0..2_000_usize,
        ) {
            let other = FieldPath::from_root("x.**.y.*.z").unwrap();
            paths.splice(0..0, vec![other; others]);
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            // Of a longer text more is changed in place.
            let shown = shown(&format!("{text}{}", " ".repeat(blank)), &paths, None);
            let expected = model(&value, &paths, &mut Vec::new()).to_string();
            prop_assert_eq!(shown, Ok(expected), "{:?}", paths.iter().map(ToString::to_string).collect::<Vec<_>>());
        }

        #[test]
        fn a_text_that_is_changed_in_place_reads_as_one_that_is_written_anew(
            values in prop::collection::vec((json(), "[ \n\u{1e}]{0,2}"), 1..4),
            redact in prop::collection::vec(path(), 0..4),
            fields in prop::option::of(prop::collection::vec(path(), 1..4)),
            pretty in any::<bool>(),
        ) {
            let text: String = values.iter().map(|(value, blank)| {
                if pretty { format!("{value:#}{blank}") } else { format!("{value}{blank}") }
            }).collect();
            let long = format!("{text}{}", " ".repeat(100 * text.len()));
            prop_assert_eq!(shown(&text, &redact, fields.as_deref()), shown(&long, &redact, fields.as_deref()));
        }
    }
}
