//! The credential appears nowhere. Every gate of every test is searched when it ends
//! (`common::gate`); here it is asked on purpose, from each source, and the search itself is tested.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use super::common::{
    canary::Canary,
    gate::{Gate, Home, Launch},
    policy::{self, TOKEN},
    recorder::{Recorder, Reply},
};

#[test]
fn the_search_finds_the_credential_in_each_encoding() {
    let canary = Canary::of("Pc+canary/1~x_y-z==");
    let hidden = [
        "raw: Pc+canary/1~x_y-z== .",
        "base64: UGMrY2FuYXJ5LzF+eF95LXo9PQ==",
        "base64 of user:… : dTpQYytjYW5hcnkvMX54X3ktej09",
        "base64 of ab:… : YWI6UGMrY2FuYXJ5LzF+eF95LXo9PSE=",
        "base64 of a…: YVBjK2NhbmFyeS8xfnhfeS16PT0=",
        "base64url: YWI6UGMrY2FuYXJ5LzF-eF95LXo9PSE",
        "percent: Pc%2Bcanary%2f1~x_y-z%3D%3D",
        "percent, all: %50%63%2B%63%61%6E%61%72%79%2F%31%7E%78%5F%79%2D%7A%3D%3D",
        "hex: 50632b63616e6172792f317e785f792d7a3d3d",
        "HEX: 50632B63616E6172792F317E785F792D7A3D3D",
        r"json: \u0050c+canary\u002F1~x_y-z==",
        r"json slash: Pc+canary\/1~x_y-z==",
        r"json in json: \\u0050c+canary\\u002F1~x_y-z==",
        r"json in json in json: Pc+canary\\\\\/1~x_y-z==",
        r"json in json in json: Pc+canary\\\\u002f1~x_y-z==",
        "percent, twice: Pc%252Bcanary%252f1~x_y-z%253D%253D",
        "html: Pc&plus;canary&sol;1~x&lowbar;y-z&equals;&equals;",
        "html, decimal: Pc&#43;canary&#47;1~x_y-z==",
        "html, hexadecimal: Pc&#x2B;canary&#x2f;1~x_y-z==",
        "html, zeros, no end: Pc&#0043canary&#X002F;1~x_y-z==",
        "html, all: &#80;&#99;&#43;&#99;&#97;&#110;&#97;&#114;&#121;&#47;&#49;&#126;&#120;&#95;&#121;&#45;&#122;&#61;&#61;",
        "html, twice: Pc&amp;#43;canary&amp;sol;1~x_y-z==",
        r"html in json: Pc\u0026#43;canary\u0026#x2F;1~x_y-z==",
        r"a mixture: P%63\u002bc&#97;n%2561ry\/&#49;~x_y-z==",
        "base64 behind html: UGMrY2FuYXJ5LzF&#43;eF95LXo9PQ==",
        "base32: KBRSWY3BNZQXE6JPGF7HQX3ZFV5D2PI=",
        "base32 of user:… : OVZWK4R2KBRSWY3BNZQXE6JPGF7HQX3ZFV5D2PJB",
        "base32, lower case, of ab:… : mfrduuddfnrwc3tboj4s6ml6pbpxsll2hu6q====",
    ];
    for text in hidden {
        assert!(canary.find(text.as_bytes()).is_some(), "{text}");
    }
    for text in [
        "Pc+canary/2~x_y-z==",
        "",
        "%",
        r"\u12",
        "100%zz",
        "&",
        "&#;",
        "&#x;",
        "&#999;",
        "\\",
        "Pc&#44;canary/1~x_y-z==",
    ] {
        assert!(canary.find(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn a_credential_echoed_by_every_answer_reaches_neither_the_agent_nor_the_log() {
    let upstream = Recorder::start(|seen| {
        Reply::new("418 Echo", &[("etag", &seen.headers("authorization").concat())], &seen.head)
    });
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    assert_eq!(gate.get("/api/v1/organization/7").code(), "upstream_error");
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": {"a": 1} });
    assert_eq!(gate.call("api_send", &write).code(), "upstream_error");
    gate.finish();
}

#[test]
fn a_basic_credential_leaks_no_more_than_a_bearer_one() {
    let upstream = Recorder::start(|seen| Reply::json(json!({ "echo": seen.head }).to_string()));
    let bearer = format!("bearer = {{ env = \"{TOKEN}\" }}");
    let basic = format!("basic = {{ username = {{ env = \"NAME\" }}, password = {{ env = \"{TOKEN}\" }} }}");
    let home = Home::new(&policy::a(&upstream).replace(&bearer, &basic));
    let mut gate = Launch::new(&home).env("NAME", "portcullis").start();
    assert!(gate.get("/api/v1/organization/7").is_success());
    let authorization = upstream.seen().first().expect("one request").headers("authorization").concat();
    assert!(authorization.starts_with("Basic ") && home.canary.find(authorization.as_bytes()).is_some(), "it was sent");
    gate.finish();
}

#[test]
fn a_credential_in_a_header_of_its_own_is_sent_there_alone() {
    let upstream = Recorder::start(|seen| Reply::json(json!({ "echo": seen.head }).to_string()));
    let bearer = format!("bearer = {{ env = \"{TOKEN}\" }}");
    let header = format!("header = {{ name = \"X-Api-Key\", value = {{ env = \"{TOKEN}\" }} }}");
    let mut gate = Gate::start(&policy::a(&upstream).replace(&bearer, &header));
    assert!(gate.get("/api/v1/organization/7").is_success());
    let seen = upstream.seen().pop().expect("one request");
    assert_eq!(seen.headers("x-api-key"), [gate.home.canary.secret()]);
    assert!(seen.headers("authorization").is_empty(), "{}", seen.head);
    gate.finish();
}

#[test]
fn a_credential_from_a_file_is_sent_and_found_nowhere_else() {
    let upstream = Recorder::start(|seen| Reply::json(json!({ "echo": seen.head }).to_string()));
    let env = format!("{{ env = \"{TOKEN}\" }}");
    let home = Home::new(&policy::a(&upstream).replace(&env, "{ file = \"api.token\" }"));
    let token = home.path().join("api.token");
    fs::write(&token, format!("{}\n", home.canary.secret())).expect("the secret is written");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("the secret is private");
    let mut gate = Launch::new(&home).without_token().start();
    assert!(gate.get("/api/v1/organization/7").is_success());
    let seen = upstream.seen().pop().expect("one request");
    assert_eq!(seen.headers("authorization"), [format!("Bearer {}", home.canary.secret())]);
    gate.finish();
}

#[test]
fn a_command_that_fetches_one_credential_sees_none_of_the_others() {
    let upstream = Recorder::plain();
    let fetched = format!(
        "bearer = {{ env = \"{TOKEN}\" }}\n\n[upstream.credentials.fetched]\nbearer = {{ command = [\"/bin/sh\", \"fetch.sh\"] }}\n"
    );
    let policy = policy::a(&upstream)
        .replace(&format!("bearer = {{ env = \"{TOKEN}\" }}\n"), &fetched)
        .replace("id = \"metrics\"", "id = \"metrics\"\ncredential = \"fetched\"");
    let home = Home::new(&policy);
    let (script, seen) = (home.path().join("fetch.sh"), home.path().join("seen"));
    let seen = seen.display();
    // What any process that looks on would see of this child: its environment and its arguments.
    let text = format!("cat /proc/$$/environ /proc/$$/cmdline > '{seen}'\necho fetched-credential\n");
    fs::write(&script, text).expect("the script is written");
    let policy = policy.replace("\"fetch.sh\"", &format!("\"{}\"", script.display()));
    home.rewrite(&policy);
    let mut gate = Launch::new(&home).start();
    assert!(gate.get("/api/v1/project/1/metrics_v2/a").is_success());
    assert!(gate.get("/api/v1/organization/7").is_success());
    let sent: Vec<_> = upstream.seen().iter().map(|seen| seen.headers("authorization").concat()).collect();
    assert_eq!(sent, ["Bearer fetched-credential".to_owned(), format!("Bearer {}", home.canary.secret())]);
    let seen = fs::read(seen.to_string()).expect("the command ran");
    assert!(!seen.is_empty(), "the child has a command line");
    home.canary.search("the environment of the command", &seen);
    gate.finish();
}
