//! Every case of `tests/data/upstream.jsonl`: an upstream that lies, floods, cuts short or leads
//! elsewhere, in front of the real binary.
//!
//! One case is elsewhere: UR-060 (a name that resolves anew) needs a resolver that a test can
//! steer, and belongs to the unit tests of the upstream module.

use std::{io::Write, net::TcpStream, sync::Arc};

use serde_json::{Value, json};

use super::common::{
    MEMORY_CAP_KIB,
    canary::inner_base32,
    corpus,
    gate::{Answer, Gate, Home, Launch},
    policy,
    recorder::{Recorder, Reply, Seen, head},
};

const PATH: &str = "/api/v1/organization/7";
const NEXT: &str = "/api/v1/organization/next";

/// Runs one case of the corpus.
type Check = fn(&Value);

/// The cases this file runs, with what each expects.
const CASES: [(&str, Check); 28] = [
    ("UR-001", redirect),
    ("UR-002", redirect),
    ("UR-006", redirect_on_the_same_origin),
    ("UR-008", redirect),
    ("UR-009", redirect),
    ("UR-010", redirect),
    ("UR-012", redirect),
    ("UR-014", redirect_of_a_write),
    ("UR-017", hint_elsewhere),
    ("UR-018", hint_elsewhere),
    ("UR-019", bomb),
    ("UR-020", bomb),
    ("UR-024", truncated_gzip),
    ("UR-030", header_flood),
    ("UR-031", cut_short),
    ("UR-033", deep_json),
    ("UR-038", invalid_utf8),
    ("UR-039", text_as_it_is),
    ("UR-042", text_as_it_is),
    ("UR-043", text_as_it_is),
    ("UR-045", text_as_it_is),
    ("UR-046", echoed_credential),
    ("UR-047", response_headers),
    ("UR-049", hostile_retry_after),
    ("UR-053", body_without_content),
    ("UR-054", smuggling),
    ("UR-060", |_| {}),
    ("UR-061", environment_proxies),
];

#[test]
fn every_hostile_answer_of_an_upstream_is_met_as_expected() {
    let corpus = corpus("upstream.jsonl");
    let ids: Vec<_> = corpus.iter().map(|case| case["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, CASES.map(|(id, _)| id), "every case has its check");
    for (case, (id, check)) in corpus.iter().zip(CASES) {
        println!("{id}: {}", case["why"]);
        check(case);
    }
}

/// An upstream that answers `reply`, but for the good call that follows.
fn first(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Recorder {
    Recorder::start(move |seen| if seen.target() == NEXT { Reply::json(r#""next""#) } else { reply(seen) })
}

fn status(case: &Value) -> String {
    format!("{} Status", case["upstream_response"]["status"])
}

fn header(case: &Value) -> (String, String) {
    let headers = case["upstream_response"]["headers"].as_object().expect("headers");
    let (name, value) = headers.iter().next().expect("one header");
    (name.clone(), value.as_str().expect("text").to_owned())
}

/// A gate in front of `upstream`, which must still serve a good call, within its memory, and have
/// told the agent the same tools before and after.
struct Session {
    gate: Gate,
    tools: Value,
}

impl Session {
    fn with(upstream: &Recorder) -> Self {
        let mut gate = Gate::start(&policy::b(upstream, policy::NEVER));
        let tools = gate.request("tools/list", "{}").message["result"].clone();
        Self { gate, tools }
    }

    fn get(&mut self) -> Answer {
        self.gate.get(PATH)
    }

    fn end(mut self, upstream: &Recorder) {
        let answer = self.gate.get(NEXT);
        assert_eq!(answer.text(), r#""next""#, "the next call gets its own answer");
        assert_eq!(self.gate.request("tools/list", "{}").message["result"], self.tools);
        let peak = self.gate.peak_memory();
        assert!(peak < MEMORY_CAP_KIB, "{peak} KiB");
        let records = self.gate.home.records();
        let bearer = format!("Bearer {}", self.gate.home.canary.secret());
        assert_eq!(self.gate.finish(), Vec::<Value>::new(), "one answer a call, nothing of the upstream's own");
        let calls = records.iter().filter(|record| record["kind"] == "question").count();
        assert_eq!(upstream.count(), calls, "one request a call");
        for seen in upstream.seen() {
            assert_eq!(seen.headers("authorization"), [bearer.as_str()], "{}", seen.head);
        }
    }
}

/// The refusal of an answer that leads elsewhere: it names the status, not the place.
fn assert_led_nowhere(case: &Value, answer: &Answer, status: u64) {
    let refusal = answer.refusal();
    assert_eq!(refusal["code"], "upstream_error", "{}: {refusal}", case["id"]);
    assert_eq!(refusal["status"], status, "{}: {refusal}", case["id"]);
    for place in ["evil.test", "api.example.test", "169.254", "passwd", "file:"] {
        assert!(!answer.message.to_string().contains(place), "{}: {refusal}", case["id"]);
    }
}

fn redirect(case: &Value) {
    let (status, (name, value)) = (status(case), header(case));
    let upstream = first(move |_| Reply::new(&status, &[(&name, &value)], "moved"));
    let mut session = Session::with(&upstream);
    assert_led_nowhere(case, &session.get(), 302);
    session.end(&upstream);
}

fn redirect_of_a_write(case: &Value) {
    let (status, (name, value)) = (status(case), header(case));
    let upstream = first(move |_| Reply::new(&status, &[(&name, &value)], "moved"));
    let mut session = Session::with(&upstream);
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/1/labels/", "body": {"a": 1} });
    assert_led_nowhere(case, &session.gate.call("api_send", &write), 307);
    session.end(&upstream);
}

fn redirect_on_the_same_origin(case: &Value) {
    let (status, (name, value)) = (status(case), header(case));
    let upstream = first(move |_| Reply::new(&status, &[(&name, &value)], "moved"));
    let mut session = Session::with(&upstream);
    let refusal = session.get().refusal();
    assert_eq!((&refusal["code"], &refusal["status"]), (&json!("upstream_error"), &json!(302)), "{refusal}");
    assert!(refusal.to_string().contains("/user/me"), "a target of the same origin is shown: {refusal}");
    session.end(&upstream);
}

/// A success whose headers point elsewhere: nobody follows, and the agent is not told.
fn hint_elsewhere(case: &Value) {
    let (status, (name, value)) = (status(case), header(case));
    let upstream = first(move |_| Reply::new(&status, &[(&name, &value)], "{}"));
    let mut session = Session::with(&upstream);
    let answer = session.get();
    assert_eq!(answer.texts(), ["{}"], "{}", case["id"]);
    session.end(&upstream);
}

#[test]
fn a_redirect_to_a_listener_that_is_really_there_is_not_followed() {
    let trap = Arc::new(Recorder::plain());
    for code in ["301 A", "302 B", "303 C", "307 D", "308 E"] {
        let place = format!("{}api/v1/organization/7", trap.base_url());
        let upstream = first(move |_| Reply::new(code, &[("location", &place)], ""));
        let mut session = Session::with(&upstream);
        assert_eq!(session.get().code(), "upstream_error", "{code}");
        let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/1/labels/", "body": {"a": 1} });
        assert_eq!(session.gate.call("api_send", &write).code(), "upstream_error", "{code}");
        session.end(&upstream);
    }
    assert_eq!(trap.connections(), 0, "nobody came");
}

/// A DEFLATE stream (RFC 1951) that unpacks to `x` without end: one literal, then matches of
/// length 258 at distance 1 in a block with fixed codes, 13 bits each.
struct Zip {
    bits: u32,
    held: u32,
}

impl Zip {
    fn push(&mut self, out: &mut Vec<u8>, bits: u32, width: u32) {
        self.held |= bits << self.bits;
        self.bits += width;
        while self.bits >= 8 {
            out.extend(self.held.to_le_bytes().first());
            self.held >>= 8;
            self.bits -= 8;
        }
    }

    /// Writes until `limit` bytes have gone out or nobody takes them.
    fn send(header: &[u8], out: &mut impl Write, limit: usize) -> std::io::Result<()> {
        let (mut zip, mut piece, mut sent) = (Self { bits: 0, held: 0 }, header.to_vec(), 0);
        // Not the last block, fixed codes; `x` is 0x30 + 0x78, eight bits, most significant first.
        zip.push(&mut piece, 0b010, 3);
        zip.push(&mut piece, (0x30_u32 + 0x78).reverse_bits() >> 24, 8);
        while sent < limit {
            // Length 258 is symbol 285 = 0b1100_0101; distance 1 is symbol 0, five bits.
            zip.push(&mut piece, 0b1010_0011, 13);
            if piece.len() >= 8 * 1024 {
                out.write_all(&piece)?;
                sent += piece.len();
                piece.clear();
            }
        }
        Ok(())
    }
}

const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const ZLIB: [u8; 2] = [0x78, 0x9c];

fn bomb(case: &Value) {
    let (name, value) = header(case);
    let magic: &'static [u8] = if value == "gzip" { &GZIP } else { &ZLIB };
    let upstream = first(move |_| {
        let text = head("200 OK", &[(&name, &value), ("content-type", "application/json")], None);
        // 68 MB of this unpack to 10 GiB.
        let bomb = move |out: &mut TcpStream| {
            out.write_all(text.as_bytes())?;
            Zip::send(magic, out, 68_000_000)
        };
        Reply::Stream(Box::new(bomb))
    });
    let mut session = Session::with(&upstream);
    let refusal = session.get().refusal();
    assert_eq!(refusal["code"], "response_too_large", "{}: {refusal}", case["id"]);
    assert!(refusal["message"].as_str().expect("text").contains(|c: char| c.is_ascii_digit()), "how much: {refusal}");
    session.end(&upstream);
}

#[test]
fn an_answer_that_never_ends_is_cut_at_the_cap() {
    let upstream = first(|_| {
        let flood = |out: &mut TcpStream| {
            out.write_all(head("200 OK", &[], None).as_bytes())?;
            let piece = [b'x'; 65_536];
            (0..16_384).try_for_each(|_| out.write_all(&piece))
        };
        Reply::Stream(Box::new(flood))
    });
    let mut session = Session::with(&upstream);
    assert_eq!(session.get().code(), "response_too_large");
    session.end(&upstream);
}

/// An answer that is not whole is an error, and its beginning is not shown as if it were.
fn assert_not_whole(case: &Value, answer: &Answer) {
    let refusal = answer.refusal();
    let code = refusal["code"].as_str().expect("a code");
    assert!(matches!(code, "upstream_error" | "upstream_unreachable"), "{}: {refusal}", case["id"]);
}

fn truncated_gzip(case: &Value) {
    let upstream = first(|_| {
        let mut body = Vec::new();
        Zip::send(&GZIP, &mut body, 1).expect("memory takes it");
        body.truncate(100);
        Reply::new("200 OK", &[("content-encoding", "gzip")], body)
    });
    let mut session = Session::with(&upstream);
    assert_not_whole(case, &session.get());
    session.end(&upstream);
}

fn header_flood(case: &Value) {
    let many = (0..20_000).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    for flood in [many, long] {
        let text = format!("HTTP/1.1 200 OK\r\n{flood}content-length: 2\r\n\r\n{{}}");
        let upstream = first(move |_| {
            let text = text.clone();
            Reply::Stream(Box::new(move |out| out.write_all(text.as_bytes())))
        });
        let mut session = Session::with(&upstream);
        assert_not_whole(case, &session.get());
        session.end(&upstream);
    }
}

fn cut_short(case: &Value) {
    let upstream = first(|_| {
        let mut bytes = head("200 OK", &[], Some(100)).into_bytes();
        bytes.extend_from_slice(&[b'x'; 50]);
        Reply::Close(bytes)
    });
    let mut session = Session::with(&upstream);
    let answer = session.get();
    assert_not_whole(case, &answer);
    assert!(!answer.message.to_string().contains("xxxxxxxxxx"), "{answer:?}");
    session.end(&upstream);
}

fn deep_json(_: &Value) {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let sent = body.clone();
    let upstream = first(move |_| Reply::json(&sent));
    let mut session = Session::with(&upstream);
    let answer = session.get();
    assert_eq!(answer.text(), body, "as it came");
    assert!(answer.message["result"]["structuredContent"].is_null(), "it does not parse strictly");
    session.end(&upstream);
}

fn invalid_utf8(_: &Value) {
    let upstream = first(|_| Reply::json([&b"\xff\xfe not utf-8"[..], b""].concat()));
    let mut session = Session::with(&upstream);
    let answer = session.get();
    let told = answer.texts().concat();
    let said_so =
        ["utf-8", "base64", "binary"].iter().any(|word| told.replace("not utf-8", "").to_lowercase().contains(word));
    assert!(answer.is_tool_error() || said_so, "replaced in silence: {answer:?}");
    session.end(&upstream);
}

/// A body is data: it reaches the agent inside one string, whatever it says.
fn text_as_it_is(case: &Value) {
    let body = case["upstream_response"]["body"].as_str().expect("text").to_owned();
    let sent = body.clone();
    let upstream = first(move |_| Reply::json(&sent));
    let mut session = Session::with(&upstream);
    let answer = session.get();
    assert!(answer.is_success(), "{}: {answer:?}", case["id"]);
    assert_eq!(answer.text(), body, "{}", case["id"]);
    let records = session.gate.log_until("the answer is on record", |records| {
        records.iter().any(|record| record["kind"] == "answer" && record["status"] == 200)
    });
    assert!(records.iter().all(|record| !record.to_string().contains(&body)), "the log holds no body: {records:?}");
    session.end(&upstream);
}

fn echoed_credential(case: &Value) {
    let forms: [fn(&str) -> String; 12] = [
        |text| text.to_owned(),
        |text| text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        |text| text.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
        |text| text.bytes().map(|byte| format!("\\\\u{byte:04x}")).collect(),
        |text| text.bytes().map(|byte| format!("&#{byte};")).collect(),
        |text| text.bytes().map(|byte| format!("&amp;#x{byte:x};")).collect(),
        |text| text.replace('+', "&plus;").replace('/', "&sol;").replace('=', "&equals;"),
        |text| inner_base32(text, 0),
        |text| inner_base32(text, 3).to_lowercase(),
        |text| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text),
        |text| text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        |text| text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
    ];
    for form in forms {
        let upstream = first(move |seen| {
            let authorization = seen.headers("authorization").concat();
            Reply::json(
                json!({ "before": 1, "token": form(authorization.trim_start_matches("Bearer ")), "after": 2 })
                    .to_string(),
            )
        });
        let mut session = Session::with(&upstream);
        let answer = session.get();
        assert_eq!(answer.text(), r#"{"before":1,"token":"[redacted]","after":2}"#, "{}", case["id"]);
        session.end(&upstream);
    }
}

fn response_headers(case: &Value) {
    let upstream = first(|_| {
        let hidden =
            [("set-cookie", "session=stolen"), ("www-authenticate", "Basic realm=inside"), ("server", "secretd/1")];
        let shown =
            [("etag", "\"v1\""), ("link", "</n>; rel=next"), ("x-ratelimit-remaining", "3"), ("last-modified", "now")];
        Reply::new("200 OK", &[&hidden[..], &shown[..]].concat(), "{}")
    });
    let mut session = Session::with(&upstream);
    let answer = session.get();
    let [body, meta] = answer.texts()[..] else { panic!("{}: two blocks: {answer:?}", case["id"]) };
    assert_eq!(body, "{}");
    let meta: Value = serde_json::from_str(meta).expect("JSON");
    assert_eq!(meta["status"], 200, "{meta}");
    assert_eq!(meta["headers"]["etag"], "\"v1\"", "{meta}");
    assert_eq!(meta["headers"]["x-ratelimit-remaining"], "3", "{meta}");
    for word in ["stolen", "inside", "secretd", "cookie", "www-authenticate"] {
        assert!(!meta.to_string().contains(word), "{word}: {meta}");
    }
    session.end(&upstream);
}

fn hostile_retry_after(case: &Value) {
    for value in ["999999999999", "99999999999999999999999999", "-1", "soon"] {
        let upstream = first(move |_| Reply::new("429 Slow down", &[("retry-after", value)], "{}"));
        let mut session = Session::with(&upstream);
        let refusal = session.get().refusal();
        assert_eq!((&refusal["code"], &refusal["status"]), (&json!("upstream_error"), &json!(429)), "{}", case["id"]);
        let wait = &refusal["retry_after_seconds"];
        assert!(wait.is_null() || wait.as_u64().is_some_and(|seconds| seconds <= 3_600), "{value}: {refusal}");
        session.gate.finish();
    }
}

#[test]
fn a_retry_after_of_the_upstream_is_passed_on() {
    let upstream = Recorder::start(|_| Reply::new("503 Later", &[("retry-after", "7")], "busy"));
    let mut gate = Gate::start(&policy::a(&upstream));
    let refusal = gate.get(PATH).refusal();
    assert_eq!(refusal["retry_after_seconds"], 7, "{refusal}");
    gate.finish();
}

fn body_without_content(case: &Value) {
    let upstream = first(|_| Reply::Keep(b"HTTP/1.1 204 No Content\r\n\r\ntext".to_vec()));
    let mut session = Session::with(&upstream);
    let answer = session.get();
    assert!(answer.is_success(), "{}: {answer:?}", case["id"]);
    assert!(!answer.message.to_string().contains("text\\\""), "{answer:?}");
    let meta: Value = serde_json::from_str(answer.text()).expect("status and headers, no body");
    assert_eq!(meta["status"], 204, "{meta}");
    session.end(&upstream);
    assert_eq!(upstream.connections(), 2, "a connection with a left-over is not used again");
}

fn smuggling(case: &Value) {
    let second = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    let text = format!("{}0\r\n\r\n{second}", case["upstream_response"]["raw"].as_str().expect("text"));
    let upstream = first(move |_| Reply::Keep(text.clone().into_bytes()));
    let mut session = Session::with(&upstream);
    let answer = session.get();
    assert!(!answer.message.to_string().contains("smuggled"), "{}: {answer:?}", case["id"]);
    session.end(&upstream);
    assert_eq!(upstream.connections(), 2, "the connection is not used again");
}

fn environment_proxies(case: &Value) {
    let (upstream, proxy) = (first(|_| Reply::json("{}")), Recorder::plain());
    let mut launch = Launch::new(&Home::new(&policy::a(&upstream)));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        launch = launch.env(name, &proxy.base_url());
    }
    let mut gate = launch.env("NO_PROXY", "").start();
    assert_eq!(gate.get(PATH).text(), "{}", "{}", case["id"]);
    gate.finish();
    assert_eq!((upstream.count(), proxy.connections()), (1, 0), "{}", case["id"]);
}

#[test]
fn an_upstream_that_is_not_there_is_unreachable_and_unnamed() {
    let port = {
        let gone = Recorder::plain();
        gone.port()
    };
    let upstream = Recorder::plain();
    let policy = policy::a(&upstream).replace(&upstream.port().to_string(), &port.to_string());
    let mut gate = Gate::start(&policy);
    let answer = gate.get(PATH);
    assert_eq!(answer.code(), "upstream_unreachable");
    let text = answer.message.to_string();
    assert!(!text.contains("127.0.0.1") && !text.contains(&port.to_string()), "{text}");
    gate.finish();
}

#[test]
fn an_upstream_that_hangs_is_timed_out_and_a_write_to_it_is_sent_once() {
    let upstream = Recorder::start(|seen| {
        if seen.target() != NEXT {
            std::thread::park_timeout(super::common::PATIENCE);
        }
        Reply::json("{}")
    });
    let policy = policy::b(&upstream, policy::NEVER).replace("timeout = \"20s\"", "timeout = \"1s\"");
    let mut gate = Gate::start(&policy);
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/1/labels/", "body": {"a": 1} });
    assert_eq!(gate.call("api_send", &write).code(), "upstream_timeout");
    assert_eq!(upstream.count(), 1, "a write is never repeated");
    assert_eq!(gate.get(PATH).code(), "upstream_timeout");
    assert!(gate.get(NEXT).is_success());
    gate.finish();
}

#[test]
fn a_write_on_a_connection_that_dies_is_never_sent_again() {
    let upstream = Recorder::start(|_| Reply::Close(Vec::new()));
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/1/labels/", "body": {"a": 1} });
    let refusal = gate.call("api_send", &write).refusal();
    assert!(matches!(refusal["code"].as_str(), Some("upstream_error" | "upstream_unreachable")), "{refusal}");
    gate.finish();
    assert_eq!(upstream.count(), 1, "sent once");
}

#[test]
fn a_read_on_a_connection_that_dies_is_sent_at_most_twice() {
    let upstream = Recorder::start(|_| Reply::Close(Vec::new()));
    let mut gate = Gate::start(&policy::a(&upstream));
    let refusal = gate.get(PATH).refusal();
    assert!(matches!(refusal["code"].as_str(), Some("upstream_error" | "upstream_unreachable")), "{refusal}");
    gate.finish();
    assert!(matches!(upstream.count(), 1 | 2), "{} requests", upstream.count());
}
