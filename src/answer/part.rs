//! An answer in parts: as much as the agent may see at once, what the note says about the rest, and the rest.

use serde::Serialize;

use super::cut::{Gap, shorten};
use super::rows::{LINES, Rows};
use super::table::{self, Table};

/// What is shown now, and what is left.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) cut: Option<Cut>,
    pub(super) rest: Option<Remainder>,
}

/// What a note says of an answer that is not whole.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cut {
    /// Where something is missing: a JSON pointer, `lines`, or `text`, which is counted in bytes.
    at: String,
    #[serde(skip_serializing_if = "is_zero")]
    from: usize,
    shown: usize,
    of: usize,
    /// More places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Gap>,
    /// The handle of what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// What the handle gives, where that is not simply what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_gives: Option<&'static str>,
    /// The argument `answer` of a call that goes on here.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<String>,
}

impl Cut {
    /// Of an error nothing is held, and no other call goes on in it.
    pub(super) fn of_error(self) -> Self {
        Self { next: None, next_gives: None, resume: None, ..self }
    }

    fn new(Gap { at, shown, of }: Gap, from: usize, also: Vec<Gap>) -> Self {
        Self { at, from, shown, of, also, next: None, next_gives: None, resume: None }
    }
}

/// What was not shown yet; redacted already.
#[derive(Debug)]
pub(super) enum Remainder {
    /// Elements of an array, from the one with this index, which begins at the byte `at`.
    Rows { doc: String, rows: Rows, index: usize, at: usize, toon: bool },
    /// Text from the byte `at` on.
    Text { doc: String, at: usize },
}

/// The first part of a rewritten text of `values` JSON values, or of a text that is none (zero values).
pub(super) fn first(doc: String, values: usize, from: Option<usize>, toon: bool, max_bytes: usize) -> Part {
    // Nearly every answer: not worth a look at its structure.
    if doc.len() <= max_bytes && from.is_none() && !toon {
        return Part { text: doc, cut: None, rest: None };
    }
    let rows = if values == 0 { None } else { Rows::find(&doc, values) };
    match (rows, from) {
        (Some(rows), Some(index)) => {
            let at = rows.place_of(&doc, index);
            Remainder::Rows { index: index.min(rows.of), doc, rows, at, toon }.next(max_bytes)
        }
        (Some(rows), None) => whole(doc, rows, toon, max_bytes),
        (None, _) if doc.len() <= max_bytes => Part { text: doc, cut: None, rest: None },
        (None, _) if values == 0 => Remainder::Text { doc, at: 0 }.next(max_bytes),
        (None, _) => shortened(doc, max_bytes),
    }
}

/// All of a text but the last rows of it.
fn whole(doc: String, rows: Rows, toon: bool, max_bytes: usize) -> Part {
    if toon && let Some(Table { text, shown, next }) = table::document(&doc, &rows, max_bytes) {
        return goes_on(text, doc, rows, (0, shown, next), toon, Vec::new());
    }
    if doc.len() <= max_bytes {
        return Part { text: doc, cut: None, rest: None };
    }
    let around = doc.len() - (rows.end - rows.first);
    let room = max_bytes.saturating_sub(around);
    let fit = rows.fitting(&doc, rows.first, room);
    if fit.shown == 0 || around > max_bytes / 2 {
        return shortened(doc, max_bytes);
    }
    let (before, after) = (doc.get(..rows.first).unwrap_or_default(), doc.get(rows.end..).unwrap_or_default());
    let text = [before, fit.text, after].concat();
    let place = (0, fit.shown, fit.next);
    goes_on(text, doc, rows, place, toon, Vec::new())
}

/// A text that has no array to be cut, or one whose elements do not fit.
fn shortened(doc: String, max_bytes: usize) -> Part {
    let mut gaps = Vec::new();
    let text = shorten(&doc, max_bytes, "", &mut gaps);
    let mut gaps = gaps.into_iter();
    let place = gaps.next().unwrap_or(Gap { at: String::new(), shown: 0, of: 1 });
    let next_gives = Some("the whole answer as text, in parts");
    let cut = Cut { next_gives, ..Cut::new(place, 0, gaps.collect()) };
    Part { text, cut: Some(cut), rest: Some(Remainder::Text { doc, at: 0 }) }
}

/// `text` shows so many rows from `index` on; the next begins at the byte `at`.
fn goes_on(
    text: String,
    doc: String,
    rows: Rows,
    (from, shown, at): (usize, usize, usize),
    toon: bool,
    also: Vec<Gap>,
) -> Part {
    let index = from + shown;
    let is_last = index >= rows.of;
    if is_last && from == 0 && also.is_empty() {
        return Part { text, cut: None, rest: None };
    }
    let resume = (!is_last).then(|| format!("from={index}"));
    let cut = Cut { resume, ..Cut::new(Gap { at: rows.at.clone(), shown, of: rows.of }, from, also) };
    let rest = (!is_last).then_some(Remainder::Rows { doc, rows, index, at, toon });
    Part { text, cut: Some(cut), rest }
}

impl Remainder {
    /// What it takes in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Rows { doc, .. } | Self::Text { doc, .. } => doc.capacity(),
        }
    }

    /// Gives back what memory it does not use.
    pub(super) fn shrink(&mut self) {
        match self {
            Self::Rows { doc, .. } | Self::Text { doc, .. } => doc.shrink_to_fit(),
        }
    }

    /// The next part: elements in an array of their own, or text.
    pub(super) fn next(self, max_bytes: usize) -> Part {
        match self {
            Self::Text { doc, at } => {
                let left = doc.get(at..).unwrap_or_default();
                let text = left.get(..left.floor_char_boundary(max_bytes)).unwrap_or_default().to_owned();
                let (shown, of) = (text.len(), doc.len());
                let place = Gap { at: "text".to_owned(), shown, of };
                let cut = Cut::new(place, at, Vec::new());
                let rest = (at + shown < of).then_some(Self::Text { doc, at: at + shown });
                Part { text, cut: Some(cut), rest }
            }
            Self::Rows { doc, rows, index, at, toon } => {
                if toon && let Some(Table { text, shown, next }) = table::part(&doc, &rows, at, max_bytes) {
                    return goes_on(text, doc, rows, (index, shown, next), toon, Vec::new());
                }
                let room = max_bytes.saturating_sub(2);
                let fit = rows.fitting(&doc, at, room);
                let (open, close) = if rows.at == LINES { ("", "") } else { ("[", "]") };
                let (mut also, mut text, place) =
                    (Vec::new(), [open, fit.text, close].concat(), (index, fit.shown, fit.next));
                if fit.shown > 0 || index >= rows.of {
                    return goes_on(text, doc, rows, place, toon, also);
                }
                // One element alone is too long.
                let Some(element) = rows.elements(&doc, at).next() else {
                    return Part { text, cut: None, rest: None };
                };
                let pointer = if rows.at == LINES { format!("/{index}") } else { format!("{}/{index}", rows.at) };
                text = [open, &shorten(element.text, room, &pointer, &mut also), close].concat();
                let place = (index, 1, element.next);
                goes_on(text, doc, rows, place, toon, also)
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parts(doc: &str, values: usize, max_bytes: usize) -> Vec<(String, Option<Value>)> {
        let mut part = first(doc.to_owned(), values, None, false, max_bytes);
        let mut parts = Vec::new();
        loop {
            assert!(part.text.len() <= max_bytes, "{} > {max_bytes}: {}", part.text.len(), part.text);
            parts.push((part.text, part.cut.map(|cut| serde_json::to_value(cut).unwrap())));
            match part.rest {
                Some(rest) => part = rest.next(max_bytes),
                None => return parts,
            }
        }
    }

    fn list(count: usize) -> String {
        let rows: Vec<String> = (0..count).map(|id| format!("{{\"id\":{id},\"name\":\"row {id}\"}}")).collect();
        format!("[{}]", rows.join(","))
    }

    #[test]
    fn an_answer_that_fits_is_whole() {
        assert_eq!(parts("[1,2]", 1, 5), [("[1,2]".to_owned(), None)]);
    }

    #[test]
    fn the_largest_array_loses_whole_elements_from_its_end() {
        for (before, after, at) in [
            ("", "", ""),
            (r#"{"count":500,"results":"#, r#","z":[1]}"#, "/results"),
            (r#"{"e":[],"d":{"a/b":"#, "}}", "/d/a~1b"),
        ] {
            let doc = format!("{before}{}{after}", list(500));
            let parts = parts(&doc, 1, 2_000);
            let mut rows = Vec::new();
            for (index, (text, cut)) in parts.iter().enumerate() {
                let value: Value = serde_json::from_str(text).unwrap();
                let array = if index == 0 { value.pointer(at).unwrap() } else { &value }.as_array().unwrap();
                let cut = cut.as_ref().unwrap();
                assert_eq!((&cut["at"], &cut["of"]), (&json!(at), &json!(500)), "{cut}");
                assert_eq!(cut["shown"], array.len(), "{cut}");
                assert_eq!(cut["from"].as_u64().unwrap_or(0), rows.len() as u64, "{cut}");
                rows.extend(array.iter().cloned());
                match cut["resume"].as_str() {
                    None => assert_eq!((index + 1, rows.len()), (parts.len(), 500)),
                    Some(resume) => assert_eq!(resume, format!("from={}", rows.len())),
                }
            }
            assert_eq!(Value::from(rows), serde_json::from_str::<Value>(&list(500)).unwrap());
        }
    }

    #[test]
    fn an_agent_can_go_on_at_any_element() {
        let part = first(list(10), 1, Some(8), false, 1_000);
        assert_eq!(part.text, r#"[{"id":8,"name":"row 8"},{"id":9,"name":"row 9"}]"#);
        assert_eq!(serde_json::to_value(part.cut).unwrap(), json!({"at": "", "from": 8, "shown": 2, "of": 10}));
        for from in [10, 11, usize::MAX] {
            assert_eq!(first(list(10), 1, Some(from), false, 1_000).text, "[]", "{from}");
        }
        assert_eq!(first("{\"a\":1}".to_owned(), 1, Some(3), false, 1_000).text, "{\"a\":1}");
    }

    #[test]
    fn several_values_are_cut_between_lines() {
        let doc = vec!["{\"id\":\"xxxxxxxxxxxxxxxx\"}"; 100].join("\n");
        let parts = parts(&doc, 100, 1_000);
        assert_eq!(parts.iter().map(|(text, _)| text.trim_end()).collect::<Vec<_>>().join("\n"), doc);
        assert_eq!(parts[0].1.as_ref().unwrap()["at"], "lines");
    }

    #[test]
    fn text_is_cut_between_characters_and_comes_whole_in_parts() {
        let text = "é".repeat(5_000);
        let parts = parts(&text, 0, 1_001);
        assert_eq!(parts.iter().map(|(text, _)| text.as_str()).collect::<String>(), text);
        assert_eq!(parts[0].1, Some(json!({"at": "text", "shown": 1_000, "of": 10_000})));
    }

    #[test]
    fn strings_are_cut_where_nothing_else_can_be() {
        let doc = json!({"log": "x\u{1}\"é".repeat(2_000), "id": 7, "tail": "y".repeat(3_000)}).to_string();
        let parts = parts(&doc, 1, 1_500);
        let shown: Value = serde_json::from_str(&parts[0].0).unwrap();
        assert_eq!(shown["id"], 7);
        assert!(shown["log"].as_str().unwrap().ends_with('…') && shown["tail"].as_str().unwrap().len() > 500);
        let cut = parts[0].1.as_ref().unwrap();
        assert_eq!((&cut["at"], &cut["also"][0]["at"]), (&json!("/log"), &json!("/tail")), "{cut}");
        let rest: String = parts.iter().skip(1).map(|(text, _)| text.as_str()).collect();
        assert_eq!(rest, doc, "the handle gives all of it");
    }

    #[test]
    fn an_element_that_is_too_long_alone_is_shortened() {
        let long = json!({"body": "b".repeat(5_000), "id": 2}).to_string();
        let doc = format!("[{{\"id\":1}},{long},{{\"id\":3}}]");
        let parts = parts(&doc, 1, 1_024);
        let texts: Vec<Value> = parts.iter().map(|(text, _)| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(texts[0], json!([{"id": 1}]));
        assert_eq!((&texts[1][0]["id"], texts[1].as_array().unwrap().len()), (&json!(2), 1));
        assert_eq!(parts[1].1.as_ref().unwrap()["also"][0]["at"], "/1/body");
        assert_eq!(texts[2], json!([{"id": 3}]));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[a\"\\\\é\u{1}😀]{0,60}".prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(Value::Null)
        ];
        leaf.prop_recursive(5, 200, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::vec(("[a-z/~\"]{0,9}", inner), 0..12).prop_map(|all| all.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_cut_is_json_and_no_longer_than_asked_for(value in value(), max_bytes in 64_usize..2_000, toon in any::<bool>()) {
            let doc = value.to_string();
            let mut part = first(doc.clone(), 1, None, toon, max_bytes);
            prop_assert!(part.text.len() <= max_bytes, "{} > {}: {}", part.text.len(), max_bytes, part.text);
            if !toon {
                prop_assert!(serde_json::from_str::<Value>(&part.text).is_ok(), "{}", part.text);
            }
            prop_assert_eq!(part.cut.is_none(), part.rest.is_none());
            for _ in 0..doc.len() {
                let Some(rest) = part.rest else { break };
                part = rest.next(max_bytes);
                prop_assert!(part.text.len() <= max_bytes && part.cut.is_some());
            }
            prop_assert!(part.rest.is_none(), "it comes to an end");
        }
    }
}
