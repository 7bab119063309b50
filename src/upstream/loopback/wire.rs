//! What goes over the wire to an upstream, and what an upstream may answer, over raw sockets on loopback.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::support::{After, LIMIT, Server, TOKEN, ask, get, ok, open, post, say, spec, surroundings};
use crate::clock::{ManualClock, SystemClock};
use crate::policy::Effect;
use crate::request::method::Method;
use crate::upstream::error::{Delivery, UpstreamError, UpstreamSetupError};
use crate::upstream::forward::Failed;
use crate::upstream::{Outgoing, Upstream};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

#[tokio::test]
async fn a_read_is_sent_as_base_url_and_canonical_target_with_nothing_added() {
    let server = Server::saying(ok("", b"{}"));
    let target = "/organization/1/a%2Fb/%C3%A4?q=%20%2B&ids=1&ids=2";
    server.upstream().await.send(&get(target)).await.unwrap();
    let expected = format!(
        "GET /api/v1{target} HTTP/1.1\r\nuser-agent: portcullis/test\r\naccept-encoding: gzip, deflate\r\naccept: application/json, \
         */*;q=0.5\r\nauthorization: Bearer {TOKEN}\r\nhost: {}\r\n\r\n",
        server.address
    );
    assert_eq!(server.requests(), [expected]);
}

#[tokio::test]
async fn a_body_goes_out_as_the_bytes_that_were_checked() {
    let server = Server::saying(ok("", b"{}"));
    let body = "{ \"a\" :1e2,\t\"ä\":\"\\u00e4\" }";
    server.upstream().await.send(&post("/x", body.as_bytes())).await.unwrap();
    let [request] = server.requests().try_into().unwrap();
    let (head, sent) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(sent, body);
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{head}");
}

#[tokio::test]
async fn the_agents_headers_are_sent_and_the_policys_fixed_ones_win() {
    let server = Server::saying(ok("", b"{}"));
    let mut spec = server.spec();
    spec.headers = vec![("accept".to_owned(), "application/vnd.api+json".to_owned())];
    let headers = [("accept", "text/plain"), ("if-none-match", "\"1\"")];
    open(&spec).await.send(&Outgoing { headers: &headers, ..get("/x") }).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.contains("\r\naccept: application/vnd.api+json\r\n"), "{request}");
    assert!(request.contains("\r\nif-none-match: \"1\"\r\n"), "{request}");
    assert!(!request.contains("text/plain"), "{request}");
}

#[tokio::test]
async fn a_header_that_is_not_the_agents_is_never_sent() {
    let server = Server::saying(ok("", b"{}"));
    let upstream = server.upstream().await;
    for header in [("host", "evil.test"), ("authorization", "Bearer x"), ("content-length", "0"), ("a", "b\r\nc: d")] {
        let error = upstream.send(&Outgoing { headers: &[header], ..get("/x") }).await.unwrap_err().error;
        assert_eq!((error.code().as_str(), error.name()), ("internal", "header_mismatch"), "{header:?}");
    }
    assert_eq!(server.requests(), [""; 0]);
}

#[tokio::test]
async fn a_target_that_the_http_client_would_rewrite_is_never_sent() {
    let server = Server::saying(ok("", b"{}"));
    let upstream = server.upstream().await;
    let targets = [
        "/a/../b",
        "/./a",
        "/%2e%2e/a",
        "/a/%2E/b",
        "/a\\b",
        "/a\tb",
        "/a b",
        "/a#b",
        "/ä",
        "/a?b\"c",
        "/a<b",
        "/a?b'c",
        "a",
        "@evil.test/",
        ":1/",
        "",
        "?a",
    ];
    for target in targets {
        let error = upstream.send(&get(target)).await.unwrap_err().error;
        assert_eq!((error.name(), error.delivery()), ("target_mismatch", Delivery::NotSent), "{target}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn no_redirect_is_followed_and_a_target_is_shown_on_the_same_origin_only() {
    let cases = [
        (302, "https://evil.test/x", None),
        (302, "http://api.example.test/x", None),
        (302, "/api/v1/organization/../user/me", Some("/api/v1/user/me")),
        (301, "/api/v1/a?b=\"c\"&d=\u{1}", None),
        (301, "/api/v1/a?b=\"c\"#frag", Some("/api/v1/a?b=%22c%22")),
        (308, "y", Some("/api/v1/y")),
        (302, "//evil.test/x", None),
        (302, "https://169.254.169.254/", None),
        (302, "file:///etc/passwd", None),
        (302, "http://user@ORIGIN/x", None),
        (302, "http://ORIGIN/x", Some("/x")),
        (302, "https://ORIGIN/x", None),
        (302, "http://sub.ORIGIN/x", None),
        (302, "\r\nX: y", None),
        (307, "https://evil.test/", None),
        (304, "/x", None),
        (200, "/x", None),
    ];
    for (status, location, shown) in cases {
        let server = Server::start(move |_, stream| {
            let location = location.replace("ORIGIN", &stream.local_addr().unwrap().to_string());
            let answer = format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\ncontent-length: 0\r\n\r\n");
            say(stream, answer.as_bytes())
        });
        let out = if status == 307 { post("/x", b"{}") } else { get("/x") };
        let reply = server.upstream().await.send(&out).await;
        assert_eq!(server.requests().len(), 1, "{location}");
        assert_eq!(server.requests()[0].matches(TOKEN).count(), 1, "{location}");
        match reply {
            Ok(reply) => assert_eq!((reply.status, reply.location.as_deref()), (status, shown), "{location:?}"),
            Err(Failed { error, .. }) => {
                assert!(shown.is_none() && matches!(error, UpstreamError::Malformed(_)), "{location:?}: {error:?}")
            }
        }
    }
}

#[tokio::test]
async fn headers_that_move_later_requests_are_ignored() {
    let server = Server::saying(ok(
        "Refresh: 0;url=https://evil.test\r\nAlt-Svc: h3=\"evil.test:443\"\r\nSet-Cookie: a=b\r\n",
        b"{}",
    ));
    let upstream = server.upstream().await;
    let first = upstream.send(&get("/x")).await.unwrap();
    assert_eq!(first.headers, []);
    upstream.send(&get("/x")).await.unwrap();
    let [first, second] = server.requests().try_into().unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn the_agent_sees_a_short_list_of_headers() {
    let headers = "Content-Type: application/json\r\nETag: \"1\"\r\nLast-Modified: then\r\nLink: <x>; rel=next\r\nX-RateLimit-Left: 3\r\n\
                   Set-Cookie: a=b\r\nWWW-Authenticate: Basic\r\nServer: x\r\nX-Real-Host: db1\r\n";
    let reply = ask(ok(headers, b"{}")).await.unwrap();
    let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "etag", "last-modified", "link", "x-ratelimit-left"]);
}

#[tokio::test]
async fn a_shown_header_is_one_line_of_visible_ascii() {
    let reply = ask(ok("ETag: \"a\u{202e}\tb\"\r\n", b"{}")).await.unwrap();
    assert_eq!(reply.headers, [("etag".to_owned(), "\\\"a\\xe2\\x80\\xae\\tb\\\"".to_owned())]);
}

#[tokio::test]
async fn connections_are_kept_from_call_to_call() {
    let server = Server::saying(ok("", b"{}"));
    let upstream = server.upstream().await;
    for _ in 0..20 {
        upstream.send(&get("/x")).await.unwrap();
        upstream.send(&post("/x", b"{}")).await.unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (40, 1));
}

#[tokio::test]
async fn a_packed_answer_is_unpacked() {
    let text = "{\"a\":\"".to_owned() + &"b".repeat(100_000) + "\"}";
    let two_members = [gzip(&text.as_bytes()[..50_000]), gzip(&text.as_bytes()[50_000..])].concat();
    for (encoding, packed) in [
        ("gzip", gzip(text.as_bytes())),
        ("GZip", two_members),
        ("x-gzip", gzip(text.as_bytes())),
        ("deflate", zlib(text.as_bytes())),
    ] {
        let reply = ask(ok(&format!("Content-Encoding: {encoding}\r\n"), &packed)).await.unwrap();
        assert_eq!(reply.body, text.as_bytes(), "{encoding}");
    }
}

#[tokio::test]
async fn a_packed_answer_of_nothing_is_empty() {
    let reply = ask(ok("Content-Encoding: gzip\r\n", b"")).await.unwrap();
    assert_eq!(reply.body, b"");
}

#[tokio::test]
async fn a_packed_answer_that_is_cut_or_damaged_is_an_error() {
    let whole = gzip("some text, ".repeat(1_000).as_bytes());
    let mut wrong_sum = whole.clone();
    let last = wrong_sum.len() - 6;
    wrong_sum[last] ^= 1;
    let garbage = [whole.clone(), b"garbage after the end".to_vec()].concat();
    let deflated = zlib("some text, ".repeat(1_000).as_bytes());
    let cases = [
        ("gzip", &whole[..whole.len() - 1]),
        ("gzip", &whole[..whole.len() / 2]),
        ("gzip", &whole[..5]),
        ("gzip", &wrong_sum),
        ("gzip", &garbage),
        ("gzip", b"{\"not\":\"packed\"}"),
        ("deflate", &deflated[..deflated.len() - 5]),
        ("deflate", &deflated[..1]),
        ("deflate", b"{\"not\":\"packed\"}"),
    ];
    for (number, (encoding, packed)) in cases.into_iter().enumerate() {
        let error = ask(ok(&format!("Content-Encoding: {encoding}\r\n"), packed)).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.name()), ("upstream_error", "unpack"), "{number} {encoding}");
    }
}

#[tokio::test]
async fn an_answer_packed_in_a_way_that_was_not_asked_for_is_an_error() {
    for encoding in ["br", "zstd", "gzip, gzip", "gzip\r\nContent-Encoding: gzip"] {
        let error = ask(ok(&format!("Content-Encoding: {encoding}\r\n"), &gzip(b"{}"))).await.unwrap_err();
        assert_eq!(error.name(), "encoding", "{encoding}");
    }
}

#[tokio::test]
async fn a_body_larger_than_the_policy_allows_is_an_error_that_says_how_much_was_read() {
    let limit = usize::try_from(LIMIT).unwrap();
    let exact = vec![b'x'; limit];
    assert_eq!(ask(ok("", &exact)).await.unwrap().body, exact);
    let announced = ask(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", limit + 1)).await.unwrap_err();
    let mut streamed = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    streamed.extend(vec![b'x'; limit + 1]);
    let streamed = ask(streamed).await.unwrap_err();
    for error in [announced, streamed] {
        assert_eq!(error.code().as_str(), "response_too_large");
        assert!(error.to_string().contains(&format!("{limit} are allowed")), "{error}");
    }
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_never_shown_as_complete() {
    let fifty = "x".repeat(50);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n32\r\n".to_owned() + &fifty + "\r\n";
    for answer in [format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{fifty}"), chunked] {
        let error = ask(answer).await.unwrap_err();
        assert!(matches!(error, UpstreamError::CutShort { received: 50, .. }), "{error:?}");
        assert!(error.to_string().starts_with("answer cut short"), "{error}");
        assert_eq!(error.code().as_str(), "upstream_error");
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_an_error() {
    let many: String = (0..20_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    let large: String = (0..90).map(|number| format!("x-{number}: {}\r\n", "y".repeat(1_000))).collect();
    for (name, headers) in [("malformed", many), ("malformed", long), ("headers_too_large", large)] {
        let error = ask(ok(&headers, b"{}")).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.name()), ("upstream_error", name), "{}", error.cause());
    }
}

#[tokio::test]
async fn a_body_is_bytes_whatever_it_claims_to_be() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    for body in
        [deep.as_slice(), b"\xff\xfe not utf-8 \x00", b"{\"__proto__\":{\"x\":1}}", "\u{202e}\u{e0041}".as_bytes()]
    {
        let reply = ask(ok("Content-Type: application/json\r\n", body)).await.unwrap();
        assert_eq!(reply.body, body);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_an_error() {
    for answer in [
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    ] {
        assert_eq!(ask(answer).await.unwrap_err().name(), "malformed", "{answer}");
    }
    let switched =
        ask("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await.unwrap_err();
    assert_eq!(switched.name(), "malformed");
}

#[tokio::test]
async fn an_answer_that_ends_in_two_ways_is_not_read_and_its_connection_not_reused() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let server = Server::saying(answer);
    let upstream = server.upstream().await;
    for calls in 1..=3 {
        assert_eq!(upstream.send(&get("/x")).await.unwrap_err().error.name(), "framing");
        assert_eq!(server.connections(), calls);
    }
}

#[tokio::test]
async fn after_an_answer_that_ends_in_two_ways_no_connection_is_used_twice() {
    let server = Server::start(|number, stream| {
        let twofold = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        say(stream, &if number == 2 { twofold.into() } else { ok("", b"{}") })
    });
    let upstream = server.upstream().await;
    let mut connections = Vec::new();
    for number in 0..6 {
        assert_eq!(upstream.send(&get("/x")).await.is_err(), number == 2);
        connections.push(server.connections());
    }
    assert_eq!(connections, [1, 1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_body_where_none_may_be_is_ignored_and_its_connection_not_reused() {
    let cases = [
        ("content-length: 4\r\n", "text"),
        ("content-length: 4\r\n", ""),
        ("transfer-encoding: chunked\r\n", "4\r\ntext\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", ""),
        ("", "text"),
    ];
    for (headers, body) in cases {
        let server = Server::saying(format!("HTTP/1.1 204 No Content\r\n{headers}\r\n{body}"));
        let upstream = server.upstream().await;
        for calls in 1..=3 {
            let reply = upstream.send(&get("/x")).await.unwrap();
            assert_eq!((reply.status, reply.body.as_slice()), (204, &b""[..]), "{headers}");
            assert_eq!(server.connections(), calls, "{headers}");
        }
    }
}

#[tokio::test]
async fn head_and_not_modified_have_no_body() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-encoding: gzip\r\n\r\n");
    let upstream = server.upstream().await;
    for _ in 0..2 {
        let reply = upstream.send(&Outgoing { method: Method::Head, ..get("/x") }).await.unwrap();
        assert_eq!((reply.status, reply.body.len()), (200, 0));
    }
    assert_eq!(server.connections(), 1);
    let reply = ask("HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 5\r\n\r\n").await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (304, 0));
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms_and_capped() {
    let now = httpdate::parse_http_date("Mon, 01 Jun 2026 12:00:00 GMT").unwrap();
    let cases = [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("999999999999", Some(3_600)),
        ("99999999999999999999999", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Mon, 01 Jun 2026 12:00:30 GMT", Some(30)),
        ("Mon, 01 Jun 2026 11:00:00 GMT", Some(0)),
        ("Tue, 02 Jun 2026 12:00:00 GMT", Some(3_600)),
    ];
    for (value, seconds) in cases {
        let server = Server::saying(format!("HTTP/1.1 429 No\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n"));
        let spec = server.spec();
        let clock = Arc::new(ManualClock::new(now));
        let upstream = Upstream::open(&spec, LIMIT, surroundings(&spec), clock).await.unwrap();
        let reply = upstream.send(&get("/x")).await.unwrap();
        assert_eq!((reply.status, reply.retry_after), (429, seconds.map(Duration::from_secs)), "{value}");
    }
}

#[tokio::test]
async fn a_get_is_sent_again_once_when_its_connection_died_before_an_answer() {
    let server = Server::start(|number, stream| {
        if number == 0 {
            return After::Close;
        }
        say(stream, &ok("", b"{}"))
    });
    let reply = server.upstream().await.send(&get("/x")).await.unwrap();
    assert_eq!((reply.status, reply.attempts, server.requests().len()), (200, 2, 2));
    let dead = Server::start(|_, _| After::Close);
    let error = dead.upstream().await.send(&get("/x")).await.unwrap_err().error;
    assert_eq!((error.code().as_str(), error.name(), dead.requests().len()), ("upstream_error", "died", 2));
}

#[tokio::test]
async fn a_write_is_never_sent_again() {
    let server = Server::start(|_, _| After::Close);
    let upstream = server.upstream().await;
    let body = Some(&b"{}"[..]);
    let mut sent = 0;
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete] {
        let error = upstream.send(&Outgoing { method, body, ..post("/x", b"") }).await.unwrap_err().error;
        sent += 1;
        assert_eq!((error.name(), error.delivery(), server.requests().len()), ("died", Delivery::Unknown, sent));
    }
    // A GET that the policy calls a write, and a POST that it calls a read.
    upstream.send(&Outgoing { effect: Effect::Write, ..get("/x") }).await.unwrap_err();
    upstream.send(&Outgoing { effect: Effect::Read, ..post("/x", b"{}") }).await.unwrap_err();
    assert_eq!(server.requests().len(), sent + 2);
}

#[tokio::test]
async fn an_answer_that_began_is_not_asked_for_again() {
    for answer in ["hello\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let server = Server::saying_once(answer);
        server.upstream().await.send(&get("/x")).await.unwrap_err();
        assert_eq!(server.requests().len(), 1, "{answer}");
    }
}

/// The HTTP client reports it like a connection that died without a byte.
#[tokio::test]
async fn an_answer_that_dies_inside_its_head_is_asked_for_again_by_a_read_alone() {
    for (out, times) in [(get("/x"), 2), (post("/x", b"{}"), 1)] {
        let server = Server::saying_once("HTTP/1.1 200 OK\r\nx");
        let Failed { error, attempts } = server.upstream().await.send(&out).await.unwrap_err();
        assert_eq!((error.name(), error.delivery()), ("died", Delivery::Unknown));
        assert_eq!((usize::from(attempts), server.requests().len()), (times, times));
    }
}

#[tokio::test]
async fn a_failure_says_how_often_the_request_was_sent() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = open(&spec(&format!("http://{free}/"))).await;
    assert_eq!(unreachable.send(&get("/x")).await.unwrap_err().attempts, 0);
    let server = Server::saying_once("hello\r\n\r\n");
    let upstream = server.upstream().await;
    assert_eq!(upstream.send(&get("x")).await.unwrap_err().attempts, 0);
    assert_eq!(upstream.send(&get("/x")).await.unwrap_err().attempts, 1);
    let silent = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        After::Close
    });
    let mut spec = silent.spec();
    spec.timeout = Duration::from_millis(300);
    assert_eq!(open(&spec).await.send(&get("/x")).await.unwrap_err().attempts, 1);
}

#[tokio::test]
async fn no_write_arrives_twice_when_kept_connections_are_closed_under_it() {
    // The answer promises to keep the connection, and then it is closed: the client finds out at the worst of moments.
    let server = Server::saying_once(ok("", b"{}"));
    let upstream = server.upstream().await;
    let mut answered = 0;
    for number in 0..300 {
        let body = format!("{{\"number\":{number}}}");
        match upstream.send(&post("/x", body.as_bytes())).await {
            Ok(reply) => {
                assert_eq!(reply.attempts, 1);
                answered += 1;
            }
            Err(Failed { error, .. }) => assert_eq!(error.name(), "died", "{}", error.cause()),
        }
    }
    let mut bodies: Vec<String> =
        server.requests().iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect();
    let arrived = bodies.len();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), arrived, "a write arrived twice");
    assert!(arrived >= answered && answered > 0, "{arrived} arrived, {answered} answered");
}

#[tokio::test]
async fn a_call_takes_no_longer_than_the_policy_allows() {
    let silent = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        After::Close
    });
    let dripping = Server::start(|_, stream| {
        say(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        After::Close
    });
    for server in [silent, dripping] {
        let mut spec = server.spec();
        spec.timeout = Duration::from_millis(300);
        let error = open(&spec).await.send(&get("/x")).await.unwrap_err().error;
        assert_eq!((error.code().as_str(), error.delivery()), ("upstream_timeout", Delivery::Unknown));
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = open(&spec(&format!("http://{free}/"))).await.send(&post("/x", b"{}")).await.unwrap_err().error;
    assert_eq!((error.code().as_str(), error.delivery()), ("upstream_unreachable", Delivery::NotSent));
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    assert!(error.cause().contains("refused"), "{}", error.cause());
}

#[tokio::test]
async fn an_echoed_credential_is_taken_out_of_body_headers_and_location() {
    let body = format!(
        "{{\"headers\":{{\"Authorization\":\"Bearer {TOKEN}\"}},\"url\":\"?t=tok-9f8e7d6c5b4a3210%2f%2B%3d%3D\"}}"
    );
    let server = Server::saying(format!(
        "HTTP/1.1 302 Found\r\netag: \"{TOKEN}\"\r\nlocation: /login?t={TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let reply = server.upstream().await.send(&get("/x")).await.unwrap();
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        "{\"headers\":{\"Authorization\":\"Bearer [redacted]\"},\"url\":\"?t=[redacted]\"}"
    );
    assert_eq!(reply.headers, [("etag".to_owned(), "\"[redacted]\"".to_owned())]);
    assert_eq!(reply.location.as_deref(), Some("/login?t=[redacted]"));
    assert_eq!(reply.redacted, 4);
}

#[tokio::test]
async fn no_error_holds_the_credential_the_address_or_the_target() {
    let answers = ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"];
    for answer in answers {
        let server = Server::saying_once(answer);
        let upstream = server.upstream().await;
        let error = upstream.send(&post("/secret-path?name=value", b"{}")).await.unwrap_err().error;
        for text in [error.to_string(), error.cause(), format!("{error:?}"), format!("{upstream:?}")] {
            assert!(!text.contains(TOKEN) && !text.contains("secret-path") && !text.contains("name=value"), "{text}");
        }
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_the_policy_does_not_allow_stops_the_start() {
    let refused = [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
    ];
    for url in refused {
        let spec = spec(url);
        let error = Upstream::open(&spec, LIMIT, surroundings(&spec), Arc::new(SystemClock::new())).await.unwrap_err();
        assert!(matches!(error, UpstreamSetupError::Address(_)), "{url}: {error:?}");
    }
    for url in
        ["http://api.example.test/", "http://10.0.0.1/", "http://localhost.example.test/", "http://[::ffff:10.0.0.1]/"]
    {
        let mut spec = spec(url);
        spec.allow_private = true;
        let error = Upstream::open(&spec, LIMIT, surroundings(&spec), Arc::new(SystemClock::new())).await.unwrap_err();
        assert!(matches!(error, UpstreamSetupError::PlainHttp), "{url}: {error:?}");
    }
    for url in ["ftp://api.example.test/", "https://user@api.example.test/", "https://api.example.test/?a=b"] {
        let spec = spec(url);
        let error = Upstream::open(&spec, LIMIT, surroundings(&spec), Arc::new(SystemClock::new())).await.unwrap_err();
        assert!(matches!(error, UpstreamSetupError::BaseUrl), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn plain_http_needs_the_policys_word() {
    let mut spec = spec("http://127.0.0.1:1/");
    spec.allow_http = false;
    let error = Upstream::open(&spec, LIMIT, surroundings(&spec), Arc::new(SystemClock::new())).await.unwrap_err();
    assert!(matches!(error, UpstreamSetupError::PlainHttp), "{error:?}");
}

#[tokio::test]
async fn a_fixed_header_that_is_not_the_policys_to_fix_stops_the_start() {
    for name in ["host", "Content-Length", "authorization", "cookie", "accept-encoding", "a b", ""] {
        let mut spec = spec("https://api.example.test/");
        spec.headers = vec![(name.to_owned(), "x".to_owned())];
        let error = Upstream::open(&spec, LIMIT, surroundings(&spec), Arc::new(SystemClock::new())).await.unwrap_err();
        assert!(matches!(error, UpstreamSetupError::Header { .. }), "{name}: {error:?}");
    }
}

/// The child of [`a_proxy_named_by_the_environment_is_never_asked`], and a test of its own.
#[tokio::test]
async fn a_call_reaches_its_upstream() {
    let server = Server::saying(ok("", b"{}"));
    assert_eq!(server.upstream().await.send(&get("/x")).await.unwrap().status, 200);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_proxy_named_by_the_environment_is_never_asked() {
    let proxy = Server::saying(ok("", b"{}"));
    let url = format!("http://{}", proxy.address);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "upstream::loopback::wire::a_call_reaches_its_upstream"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, &url);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_proxy_named_by_the_policy_is_asked() {
    let proxy = Server::saying(ok("", b"{\"proxied\":true}"));
    let mut spec = spec("http://127.0.0.1:1/");
    spec.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
    let reply = open(&spec).await.send(&get("/x")).await.unwrap();
    assert_eq!(reply.body, b"{\"proxied\":true}");
    assert!(proxy.requests()[0].starts_with("GET http://127.0.0.1:1/x HTTP/1.1\r\n"));
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}
