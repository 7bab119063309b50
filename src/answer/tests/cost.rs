//! What shaping costs grows with the size of an answer and with nothing else of it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// Large enough that only the work counts, small enough for a test.
const SIZE: usize = 60_000;
/// How much longer the same number of bytes may take in another arrangement.
const FACTOR: u32 = 12;

/// Processor time of this thread: what others do meanwhile does not count.
fn spent() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn took(case: &Case, body: &str) -> Duration {
    took_as(case, "application/json", body)
}

fn took_as(case: &Case, kind: &str, body: &str) -> Duration {
    let once = || {
        let start = spent();
        assert!(!case.answer(200, kind, body).0.is_error);
        spent() - start
    };
    (0..2).map(|_| once()).min().unwrap()
}

fn list(one: &str) -> String {
    format!("[{}]", vec![one; SIZE / (one.len() + 1)].join(","))
}

fn nest(depth: usize, open: &str, core: &str, close: &str) -> String {
    [&open.repeat(depth), core, &close.repeat(depth)].concat()
}

#[test]
fn an_answer_costs_no_more_for_being_nested_deep() {
    let ones = list("1");
    let word = format!("\"{}\"", "x".repeat(SIZE));
    let objects = format!("{{{}}}", vec!["\"key\":{\"a\":null}"; SIZE / 17].join(","));
    for (open, close) in [("[", "]"), ("{\"b\":{},\"a\":", ",\"c\":[]}")] {
        for core in [&ones, &word, &objects] {
            for ask in ["", "as=toon", "from=1"] {
                let case = Case::new(Format::Json, 4_096, &["email"], ask);
                let flat = took(&case, &nest(2, open, core, close)).max(took(&case, &ones));
                let deep = took(&case, &nest(100, open, core, close));
                assert!(deep < flat * FACTOR, "{open} {ask}: {deep:?} against {flat:?}, {}", core.get(..9).unwrap());
            }
        }
    }
}

#[test]
fn rows_cost_no_more_for_objects_nested_deep_in_them() {
    let case = Case::new(Format::Toon, 256 << 10, &[], "");
    let deep = nest(60, "{\"a\":", "1", "}");
    let flat = format!("{{\"a\":{}}}", "1".repeat(deep.len() - 6));
    let (deep, flat) = (took(&case, &list(&deep)), took(&case, &list(&flat)));
    // Each object is a member with a name of its own.
    assert!(deep < flat * 5 * FACTOR, "{deep:?} against {flat:?}");
}

#[test]
fn many_paths_cost_in_proportion_to_their_number() {
    let body = list(r#"{"a":{"b":1,"x":[2,{"y":3}]},"b":4}"#);
    let plain = took(&Case::new(Format::Json, 4_096, &["email"], ""), &body);
    let paths: Vec<String> = (0..64).map(|n| format!("**.a.**.b.**.a.**.c{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let redacting = took(&Case::new(Format::Json, 4_096, &paths, ""), &body);
    let fields = format!("fields={}", (0..64).map(|n| format!("*.*.*.*.c{n}")).collect::<Vec<_>>().join(","));
    let asking = took(&Case::new(Format::Json, 4_096, &["email"], &fields), &body);
    for many in [redacting, asking] {
        assert!(many < plain * FACTOR, "{many:?} against {plain:?}");
    }
}

#[test]
fn a_long_name_is_neither_written_nor_compared_again_for_what_is_below_it() {
    let name = "n".repeat(SIZE);
    let cells: Vec<String> = (0..60).map(|n| format!("\"c{n}\":1")).collect();
    for (ask, inside) in [("", list("1")), ("as=toon", format!("[{{{}}}]", cells.join(",")))] {
        let case = Case::new(Format::Json, 2 * SIZE as u64, &[], ask);
        let body = format!("{{\"{name}\":{inside},\"z\":{}}}", list("2"));
        let (long, short) = (took(&case, &body), took(&case, &body.replace(&name, "n")));
        assert!(long < short * FACTOR, "{long:?} against {short:?}");
    }
    let notes = Case::new(Format::Json, 2 * SIZE as u64, &[], "")
        .blocks("application/json", format!("{{\"{name}\":[{},{}]}}", list("1"), list("2")));
    assert!(notes[1].len() < 8_192, "{}", notes[1].len());
}

#[test]
fn text_costs_in_proportion_to_its_length_whatever_it_holds() {
    let names: Vec<String> = (1..60).map(|n| "e".repeat(n)).collect();
    let case = Case::new(Format::Json, 4_096, &names.iter().map(String::as_str).collect::<Vec<_>>(), "");
    for one in ["\"", "\\\"", "\"e\"", "\"e\\n", "\"\u{feff}", "\"e\" \" ", "\u{feff}", "\\n", "eee"] {
        let text = |size: usize| format!("x{{\"e\"{}", one.repeat(size / one.len()));
        let (short, long) = (text(SIZE / 20), text(SIZE));
        let (short, long) = (took_as(&case, "text/plain", &short), took_as(&case, "text/plain", &long));
        assert!(long < short * 20 * 4, "{one}: {long:?} against {short:?}");
    }
}

#[test]
fn an_answer_is_read_to_its_end_in_parts_at_the_cost_of_reading_it_once() {
    let rows = list(r#"{"id":1,"name":"row"}"#);
    let body = format!("[{}]", [rows.trim_matches(['[', ']']); 5].join(","));
    for ask in ["", "as=toon"] {
        let case = Case::new(Format::Json, 1_024, &[], ask);
        let whole = took(&Case::new(Format::Json, 4 << 20, &[], ask), &body);
        let mut blocks = case.blocks("application/json", body.as_str());
        let start = spent();
        while let Some(handle) = serde_json::from_str::<Value>(&blocks[1]).unwrap()["cut"]["next"].as_str() {
            blocks = case.store.take(&Agent::stdio(1), handle).unwrap().shape(1_024).blocks;
        }
        let parts = spent() - start;
        assert!(parts < whole * FACTOR, "{ask}: {parts:?} against {whole:?}");
    }
}
