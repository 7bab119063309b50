//! A short run of what `fuzz/fuzz_targets/document.rs` holds of any text, over documents that were changed at random, from
//! a fixed seed. `PORTCULLIS_SOAK=1` runs it for long.

#![cfg(test)]

#[path = "../fuzz/checks/document.rs"]
mod document;

use serde_json::{Value, json};

/// Documents of which much is read.
const SEEDS: [&str; 3] = [
    r##"{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/a/{id}/b":{"parameters":[{"$ref":"#/components/parameters/id"}],
    "get":{"operationId":"a/get","summary":"Get an a. Or b.","tags":["x"],"parameters":[{"name":"q[]","in":"query","schema":{"type":"array",
    "items":{"enum":["a","b"]},"uniqueItems":true}},{"name":"f","in":"query","style":"deepObject","schema":{"properties":{"n":{"multipleOf":0.5}}}}]},
    "patch":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/s"}}}}},
    "put":{"requestBody":{"required":true,"content":{"application/json":{"schema":{"anyOf":[{"$ref":"#/components/schemas/s"},{"not":{"type":"string"}},
    {"if":{"required":["k"]},"then":{"properties":{"k":{"const":1}}}}]}}}}}}},"components":{"parameters":{"id":{"name":"id","in":"path","required":true,
    "schema":{"type":"string","pattern":"^[a-z]{1,9}$"}}},"schemas":{"s":{"type":"object","required":["n"],"properties":{"n":{"type":"integer",
    "minimum":0,"exclusiveMinimum":true,"nullable":true},"s":{"$ref":"#/components/schemas/s"},"t":{"allOf":[{"$ref":"#/components/schemas/t"}],
    "description":"one"},"r":{"readOnly":true}}},"t":{"oneOf":[{"type":"string","format":"date","default":"x","x-send-default":true},
    {"contains":{"minLength":1},"maxContains":2}]}}}}"##,
    "openapi: 3.0.3\npaths:\n  /c/{x}.json:\n    parameters:\n      - &x {name: x, in: path, required: true, schema: {type: integer}}\n    get:\n      summary: >\n        Read c\n        in two lines.\n      parameters: [*x, {name: accept, in: header}]\n    delete: {operationId: c-delete}\n    post:\n      requestBody: {content: {application/json: {schema: {properties: {d: {enum: [one], nullable: true}, e: {additionalProperties: {type: string}}}}}}}\n",
    r#"{"openapi":"3.0.0","paths":{"/":{"get":{}},"/d":{"post":{"requestBody":{"content":{"application/vnd.x+json":{"schema":{"properties":{
    "a":{"dependentRequired":{"b":["c"]},"properties":{"b":{},"c":{}},"minProperties":1},"answer":{"type":["string","null"],"maxLength":3}}}}}}}}}}"#,
];

/// Pieces that mean something to a reader of documents.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u202e",
    "\u{200b}",
    "null",
    "true",
    "1e300",
    "-0.0",
    "0.1",
    "99999999999999999999",
    "\"$ref\":\"#/components/schemas/s\"",
    "\"#/paths\"",
    "\"#/components/parameters/id\"",
    "{}",
    "[[[[",
    "\"get\"",
    "\"parameters\"",
    "\"schema\"",
    "\"properties\"",
    "\"required\"",
    "\"enum\"",
    "\"not\"",
    "\"if\"",
    "\"/{a}{b}\"",
    "{id}",
    "~1",
    "%2e",
    "&a ",
    "*a ",
    "\n",
    "- ",
    "? ",
    "|\n ",
    "!!str ",
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`, which is not 0.
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap()
    }
}

/// The characters of a document with some pieces taken out, put in, exchanged or said twice.
fn changed(random: &mut Random) -> String {
    let mut text: Vec<char> = SEEDS[random.below(SEEDS.len())].chars().collect();
    for _ in 0..=random.below(4) {
        let from = random.below(text.len());
        let to = (from + random.below(24)).min(text.len());
        match random.below(4) {
            0 => drop(text.drain(from..to)),
            1 => drop(text.splice(from..from, PIECES[random.below(PIECES.len())].chars())),
            2 => drop(text.splice(from..to, PIECES[random.below(PIECES.len())].chars())),
            _ => {
                let copy: Vec<char> = text[from..to].to_vec();
                let at = random.below(text.len());
                drop(text.splice(at..at, copy));
            }
        }
        if text.is_empty() {
            text.push('{');
        }
    }
    text.into_iter().collect()
}

/// Every value in a value, itself among them.
fn all<'v>(value: &'v Value, into: &mut Vec<&'v Value>) {
    into.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| all(item, into)),
        Value::Object(members) => members.values().for_each(|member| all(member, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Puts another value into a random place.
fn put(random: &mut Random, value: &mut Value, other: &Value) {
    let below = random.below(6) > 0;
    match value {
        Value::Array(items) if below && !items.is_empty() => {
            let place = random.below(items.len());
            put(random, &mut items[place], other);
        }
        Value::Object(members) if below && !members.is_empty() => {
            let place = random.below(members.len());
            put(random, members.values_mut().nth(place).unwrap(), other);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            *value = other.clone();
        }
    }
}

/// A document with some of its values exchanged for others, of this or another document or odd ones.
fn exchanged(random: &mut Random, seeds: &[Value], values: &[&Value]) -> String {
    let mut document = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let value = values[random.below(values.len())];
        put(random, &mut document["paths"], value);
        if let Some(components) = document.get_mut("components") {
            let value = values[random.below(values.len())];
            put(random, components, value);
        }
    }
    document.to_string()
}

#[test]
fn no_text_makes_the_reader_of_documents_panic_or_show_what_it_must_not() {
    assert!(SEEDS.iter().all(|seed| document::hold(seed)));
    let seeds: Vec<Value> = SEEDS.iter().filter_map(|seed| serde_json::from_str(seed).ok()).collect();
    let odd = json!([null, [], {}, 1e300, -0.0, "\u{202e}", "a\u{200b}", {"$ref": "#/paths"}, {"$ref": "#/components/schemas/s/properties"},
        {"type": "string", "enum": ["\u{feff}"]}, {"not": {}}, {"if": true, "then": false}, {"": {"\n": [[]]}}, true, false, "(?i)[\\w-\\d]*"]);
    let mut values = Vec::new();
    seeds.iter().for_each(|seed| all(seed, &mut values));
    all(&odd, &mut values);
    #[expect(clippy::disallowed_methods, reason = "a test is told how long it may run")]
    let soaks = std::env::var_os("PORTCULLIS_SOAK").is_some();
    let runs = if soaks { 300_000 } else { 1_500 };
    let mut random = Random(1);
    let one = |random: &mut Random| match random.below(2) {
        0 => document::hold(&changed(random)),
        _ => document::hold(&exchanged(random, &seeds, &values)),
    };
    let read = (0..runs).filter(|_| one(&mut random)).count();
    assert!(read > runs / 4, "only {read} of {runs} were documents");
}
