//! Where an upstream's credential comes from, and what happens when it changes, over raw sockets on loopback.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::support::{LIMIT, Server, TOKEN, get, ok, say, surroundings_in};
use crate::clock::ManualClock;
use crate::policy::{CredentialSpec, SecretSpec, UpstreamSpec};
use crate::upstream::error::{CertificateError, Delivery, UpstreamSetupError};
use crate::upstream::forward::Failed;
use crate::upstream::rotation::{CredentialChoice, Credentials};
use crate::upstream::{Outgoing, Upstream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn each_kind_of_credential_is_shown_in_its_header() {
    let secret = |name: &str| SecretSpec::Env(name.to_owned());
    let cases = [
        (CredentialSpec::Bearer(secret("API_TOKEN")), format!("authorization: Bearer {TOKEN}")),
        (
            CredentialSpec::Basic { username: secret("NAME"), password: secret("PASSWORD") },
            format!("authorization: Basic {}", STANDARD.encode("somebody:pass word: x")),
        ),
        (
            CredentialSpec::Header { name: "x-api-key".to_owned(), value: secret("API_TOKEN") },
            format!("x-api-key: {TOKEN}"),
        ),
    ];
    for (credential, expected) in cases {
        let (server, mut spec) = server();
        spec.credential = Some(credential);
        let variables = [("NAME", "somebody\n"), ("PASSWORD", "pass word: x")];
        let upstream = open(&spec, Path::new("/"), &variables, &ManualClock::default()).await.unwrap();
        upstream.send(&get("/x")).await.unwrap();
        let request = server.requests().remove(0);
        assert!(request.contains(&format!("\r\n{expected}\r\n")), "{expected}\n{request}");
        assert_eq!(request.matches("authorization").count(), expected.matches("authorization").count());
    }
}

#[tokio::test]
async fn a_rule_chooses_its_credential_and_none_is_sent_where_there_is_none() {
    let (server, mut spec) = server();
    spec.credential = None;
    spec.credentials.insert("writer".to_owned(), CredentialSpec::Bearer(SecretSpec::Env("WRITER".to_owned())));
    let variables = [("WRITER", "writer-token-1")];
    let upstream = open(&spec, Path::new("/"), &variables, &ManualClock::default()).await.unwrap();
    upstream.send(&get("/x")).await.unwrap();
    upstream.send(&Outgoing { credential: CredentialChoice::Named("writer"), ..get("/x") }).await.unwrap();
    let unknown =
        upstream.send(&Outgoing { credential: CredentialChoice::Named("other"), ..get("/x") }).await.unwrap_err().error;
    assert_eq!((unknown.name(), unknown.delivery()), ("credential", Delivery::NotSent));
    let [without, with] = server.requests().try_into().unwrap();
    assert!(!without.contains("authorization"), "{without}");
    assert!(with.contains("\r\nauthorization: Bearer writer-token-1\r\n"), "{with}");
}

#[tokio::test]
async fn an_echo_of_another_credential_is_redacted_too() {
    let server = Server::saying(ok("", b"writer-token-1 and ignored-1"));
    let mut spec = server.spec();
    spec.credentials.insert("writer".to_owned(), CredentialSpec::Bearer(SecretSpec::Env("WRITER".to_owned())));
    let upstream = open(&spec, Path::new("/"), &[("WRITER", "writer-token-1")], &ManualClock::default()).await.unwrap();
    assert_eq!(upstream.send(&get("/x")).await.unwrap().body, b"[redacted] and ignored-1");
}

#[tokio::test]
async fn every_form_of_a_basic_credential_is_redacted() {
    let pair = STANDARD.encode("somebody-1:password-1");
    let hex: String = pair.bytes().map(|byte| format!("{byte:02x}")).collect();
    let body = format!(
        "Basic {pair}, somebody-1, password-1, somebody-1:password-1, {hex}, {}",
        STANDARD.encode("x somebody-1")
    );
    let server = Server::saying(ok("", body.as_bytes()));
    let mut spec = server.spec();
    let (username, password) = (SecretSpec::Env("NAME".to_owned()), SecretSpec::Env("PASSWORD".to_owned()));
    spec.credential = Some(CredentialSpec::Basic { username, password });
    let variables = [("NAME", "somebody-1"), ("PASSWORD", "password-1")];
    let upstream = open(&spec, Path::new("/"), &variables, &ManualClock::default()).await.unwrap();
    let reply = String::from_utf8(upstream.send(&get("/x")).await.unwrap().body).unwrap();
    assert!(
        reply.starts_with("Basic [redacted], [redacted], [redacted], [redacted], [redacted], ")
            && !reply.contains("somebody"),
        "{reply}"
    );
    assert_eq!(reply.matches("[redacted]").count(), 6, "{reply}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_redacted_is_not_shown_and_counts_as_sent() {
    for status in [200, 401] {
        let credentials = Arc::new(OnceLock::<Arc<Credentials>>::new());
        let held = Arc::clone(&credentials);
        let server = Server::start(move |_, stream| {
            held.get().unwrap().poison();
            say(stream, format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes())
        });
        let upstream = server.upstream().await;
        credentials.set(Arc::clone(&upstream.credentials)).unwrap();
        let Failed { error, attempts } = upstream.send(&get("/x")).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.name(), attempts), ("internal", "unredactable", 1));
        assert_eq!(error.delivery(), Delivery::Unknown);
        let Failed { error, attempts } = upstream.send(&get("/x")).await.unwrap_err();
        assert_eq!((error.name(), error.delivery(), attempts), ("credential", Delivery::NotSent, 0));
    }
}

#[tokio::test]
async fn a_short_secret_is_redacted_in_its_header_alone() {
    let server = Server::saying(ok("", b"\"Authorization\": \"Bearer abc\", abc"));
    let mut spec = server.spec();
    spec.credential = Some(CredentialSpec::Bearer(SecretSpec::Env("SHORT".to_owned())));
    let upstream = open(&spec, Path::new("/"), &[("SHORT", "abc")], &ManualClock::default()).await.unwrap();
    assert_eq!(upstream.send(&get("/x")).await.unwrap().body, b"\"Authorization\": \"[redacted]\", abc");
    let server = Server::saying(ok("", b"{\"X-Api-Key\": \"abc\"} x-api-key: abc, abc"));
    let mut spec = server.spec();
    let value = SecretSpec::Env("SHORT".to_owned());
    spec.credential = Some(CredentialSpec::Header { name: "X-Api-Key".to_owned(), value });
    let upstream = open(&spec, Path::new("/"), &[("SHORT", "abc")], &ManualClock::default()).await.unwrap();
    assert_eq!(upstream.send(&get("/x")).await.unwrap().body, b"{\"[redacted]\"} [redacted], abc");
}

#[tokio::test]
async fn a_value_that_is_no_header_stops_the_start_and_is_not_repeated() {
    let long = "x".repeat(9_000);
    for value in
        ["", "\n", "se\u{e9}cret-value", "secret value", "secret\r\nx: y", "secret\u{7f}value", " secret-value", &long]
    {
        let error = refused(SecretSpec::Env("VALUE".to_owned()), Path::new("/"), &[("VALUE", value)]).await;
        assert!(!error.contains("secret-value") && !error.contains("xxxx") && !error.contains("x: y"), "{error}");
    }
    let unset = refused(SecretSpec::Env("VALUE".to_owned()), Path::new("/"), &[]).await;
    assert_eq!(unset, "credential of the upstream: environment variable `VALUE` is not set");
}

#[tokio::test]
async fn every_fault_of_a_source_names_the_source_and_nothing_of_what_it_gave() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    write(&directory.path().join("large"), &"secret".repeat(12_000));
    write(&directory.path().join("empty"), "\n");
    write(&directory.path().join("foreign"), "s\u{e9}cret-value\n");
    let variables = [
        ("EMPTY", ""),
        ("SPACED", "secret value"),
        ("LONG", &*"secret".repeat(2_000)),
        ("COLON", "se:cret"),
        ("FINE", "secret-value"),
        ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap()),
    ];
    let env = |name: &str| SecretSpec::Env(name.to_owned());
    let file = |name: &str| SecretSpec::File(name.into());
    let systemd = |name: &str| SecretSpec::Systemd(name.to_owned());
    let sh = |script: &str| SecretSpec::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec());
    let basic = |username, password| CredentialSpec::Basic { username: env(username), password: env(password) };
    let header = |name: &str, value| CredentialSpec::Header { name: name.to_owned(), value };
    let invisible = "gave a secret with a character that is not visible ASCII";
    let bearer = CredentialSpec::Bearer;
    let cases = [
        (bearer(env("UNSET")), "environment variable `UNSET` is not set".to_owned()),
        (bearer(env("EMPTY")), "environment variable `EMPTY` gave an empty secret".to_owned()),
        (bearer(env("SPACED")), format!("environment variable `SPACED` {invisible}")),
        (
            bearer(env("LONG")),
            "environment variable `LONG` gave a secret that makes a header longer than 8192 bytes".into(),
        ),
        (bearer(file("empty")), format!("file `{}` gave an empty secret", at("empty"))),
        (bearer(file("large")), format!("file `{}` gave a secret longer than 65536 bytes", at("large"))),
        (bearer(file("foreign")), format!("file `{}` {invisible}", at("foreign"))),
        (bearer(file("none")), format!("file `{0}` cannot be used: cannot read `{0}`: No such file", at("none"))),
        (bearer(systemd("empty")), "systemd credential `empty` gave an empty secret".to_owned()),
        (bearer(systemd("a/b")), "systemd credential `a/b` is no plain file name: name it without `/`".to_owned()),
        (bearer(sh("echo secret-value; exit 3")), "command `/bin/sh` failed: exit status: 3".to_owned()),
        (bearer(sh(":")), "command `/bin/sh` gave an empty secret".to_owned()),
        (bearer(sh("echo secret value")), format!("command `/bin/sh` {invisible}")),
        (bearer(SecretSpec::Command(vec!["./show".into()])), "command `./show` must be an absolute path".to_owned()),
        (bearer(SecretSpec::Command(vec!["/no/show".into()])), "command `/no/show` was not found".to_owned()),
        (basic("COLON", "FINE"), "environment variable `COLON` gave a user name with `:`".to_owned()),
        (basic("UNSET", "FINE"), "environment variable `UNSET` is not set".to_owned()),
        (basic("FINE", "EMPTY"), "environment variable `EMPTY` gave an empty secret".to_owned()),
        (basic("LONG", "FINE"), "environment variable `LONG` gave a secret that makes a header".to_owned()),
        (basic("FINE", "LONG"), "environment variable `LONG` gave a secret that makes a header".to_owned()),
        (header("x-key", file("foreign")), format!("file `{}` {invisible}", at("foreign"))),
        (header("host", env("FINE")), "a credential may not be sent in the header `host`".to_owned()),
    ];
    for (credential, expected) in cases {
        let (_server, mut spec) = server();
        spec.credential = None;
        spec.credentials.insert("writer".to_owned(), credential);
        let error = open(&spec, directory.path(), &variables, &ManualClock::default()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("credential `writer`: {expected}")), "{error}\n{expected}");
        assert!(
            !error.contains("secret-value") && !error.contains("cret-") && !error.contains("secretsecret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_secrets_file_is_its_owners_alone() {
    let directory = TempDir::new().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    write(&inner.join("token"), "file-token-1\n");
    let (server, spec) = server_with(SecretSpec::File("inner/token".into()));
    let upstream = open(&spec, directory.path(), &[], &ManualClock::default()).await.unwrap();
    upstream.send(&get("/x")).await.unwrap();
    assert!(server.requests()[0].contains("\r\nauthorization: Bearer file-token-1\r\n"));

    let file = || SecretSpec::File(inner.join("token"));
    for mode in [0o604, 0o640, 0o660, 0o602, 0o644] {
        fs::set_permissions(inner.join("token"), fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(file(), directory.path(), &[]).await;
        assert!(error.contains("has mode"), "{mode:o}: {error}");
    }
    fs::set_permissions(inner.join("token"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(refused(file(), directory.path(), &[]).await.contains("inner"));
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();

    symlink(inner.join("token"), directory.path().join("link")).unwrap();
    assert!(refused(SecretSpec::File("link".into()), directory.path(), &[]).await.contains("symbolic link"));
    assert!(refused(SecretSpec::File("inner".into()), directory.path(), &[]).await.contains("regular file"));
    assert!(refused(SecretSpec::File("/dev/null".into()), directory.path(), &[]).await.contains("regular file"));
    assert!(refused(SecretSpec::File("absent".into()), directory.path(), &[]).await.contains("absent"));
    write(&directory.path().join("large"), &"x".repeat(64 * 1024 + 2));
    assert!(refused(SecretSpec::File("large".into()), directory.path(), &[]).await.contains("longer than"));
    write(&directory.path().join("empty"), "\n");
    assert!(refused(SecretSpec::File("empty".into()), directory.path(), &[]).await.contains("empty"));
}

#[tokio::test]
async fn a_changed_file_is_read_again_and_its_old_value_still_redacted() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    write(&path, "rotated-token-0");
    let server = Server::saying(ok("", b"rotated-token-0 rotated-token-1 rotated-token-2"));
    let mut spec = server.spec();
    spec.credential = Some(CredentialSpec::Bearer(SecretSpec::File("token".into())));
    let clock = ManualClock::default();
    let upstream = open(&spec, directory.path(), &[], &clock).await.unwrap();
    let mut seen = Vec::new();
    for value in ["rotated-token-1", "rotated-token-2"] {
        seen.push(String::from_utf8(upstream.send(&get("/x")).await.unwrap().body).unwrap());
        replace(&path, value);
        clock.advance(SECOND);
    }
    seen.push(String::from_utf8(upstream.send(&get("/x")).await.unwrap().body).unwrap());
    assert_eq!(
        seen,
        [
            "[redacted] rotated-token-1 rotated-token-2",
            "[redacted] [redacted] rotated-token-2",
            "[redacted] [redacted] [redacted]"
        ]
    );
    for (number, request) in server.requests().iter().enumerate() {
        assert!(request.contains(&format!("\r\nauthorization: Bearer rotated-token-{number}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_file_is_looked_at_once_a_second_at_most() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    write(&path, "rotated-token-0");
    let (server, spec) = server_with(SecretSpec::File("token".into()));
    let clock = ManualClock::default();
    let upstream = open(&spec, directory.path(), &[], &clock).await.unwrap();
    replace(&path, "rotated-token-1");
    clock.advance(SECOND - Duration::from_millis(1));
    upstream.send(&get("/x")).await.unwrap();
    clock.advance(Duration::from_millis(1));
    upstream.send(&get("/x")).await.unwrap();
    assert!(server.requests()[0].contains("rotated-token-0") && server.requests()[1].contains("rotated-token-1"));
}

#[tokio::test]
async fn a_file_that_vanished_or_was_opened_to_others_refuses_calls_until_it_is_right_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    write(&path, "rotated-token-0");
    let (server, spec) = server_with(SecretSpec::File("token".into()));
    let clock = ManualClock::default();
    let upstream = open(&spec, directory.path(), &[], &clock).await.unwrap();
    fs::remove_file(&path).unwrap();
    clock.advance(SECOND);
    for _ in 0..3 {
        let error = upstream.send(&get("/x")).await.unwrap_err().error;
        assert_eq!(
            (error.code().as_str(), error.name(), error.delivery()),
            ("upstream_error", "credential", Delivery::NotSent)
        );
        assert!(error.cause().contains("token"), "{}", error.cause());
        assert!(!error.to_string().contains("/token"), "{error}");
        clock.advance(SECOND);
    }
    write(&path, "rotated-token-1");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    clock.advance(SECOND);
    assert!(upstream.send(&get("/x")).await.unwrap_err().error.cause().contains("has mode"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    clock.advance(SECOND);
    upstream.send(&get("/x")).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    assert!(server.requests()[0].contains("rotated-token-1"));
}

#[tokio::test]
async fn a_command_is_asked_again_after_a_401_at_most_every_ten_seconds() {
    let directory = TempDir::new().unwrap();
    let counter = directory.path().join("counter");
    let script = format!("echo >> '{0}'; echo command-token-$(wc -l < '{0}')", counter.display());
    let server = Server::saying("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
    let mut spec = server.spec();
    let words = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    spec.credential = Some(CredentialSpec::Bearer(SecretSpec::Command(words)));
    let clock = ManualClock::default();
    let upstream = open(&spec, directory.path(), &[], &clock).await.unwrap();
    for seconds in [0, 9, 1, 9, 1] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(upstream.send(&get("/x")).await.unwrap().status, 401);
    }
    let tokens: Vec<usize> = (1..=3)
        .map(|n| server.requests().iter().filter(|r| r.contains(&format!("command-token-{n}\r\n"))).count())
        .collect();
    assert_eq!(tokens, [2, 2, 1]);
}

#[tokio::test]
async fn a_call_that_is_taken_back_does_not_make_the_command_run_more_often() {
    let directory = TempDir::new().unwrap();
    let [counter, go] = ["counter", "go"].map(|name| directory.path().join(name));
    let script = format!(
        "echo >> '{0}'; n=$(wc -l < '{0}'); while [ $n -gt 1 ] && [ ! -e '{1}' ]; do sleep 0.01; done; echo command-token-$n",
        counter.display(),
        go.display()
    );
    let runs = || fs::read_to_string(&counter).unwrap().lines().count();
    let server = Server::saying("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
    let mut spec = server.spec();
    let words = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    spec.credential = Some(CredentialSpec::Bearer(SecretSpec::Command(words)));
    let clock = ManualClock::default();
    let upstream = open(&spec, directory.path(), &[], &clock).await.unwrap();
    upstream.send(&get("/x")).await.unwrap();
    clock.advance(Duration::from_secs(10));
    let call = get("/x");
    for _ in 0..3 {
        tokio::select! {
            biased;
            result = upstream.send(&call) => panic!("{result:?}"),
            () = async { while runs() < 2 { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
        }
    }
    fs::write(go, "").unwrap();
    upstream.send(&get("/x")).await.unwrap();
    assert_eq!(runs(), 2);
    let [first, second] = server.requests().try_into().unwrap();
    assert!(first.contains("command-token-1\r\n") && second.contains("command-token-2\r\n"), "{first}{second}");
}

#[tokio::test]
async fn a_command_gets_no_secret_in_its_environment_and_is_found_on_the_path() {
    let directory = TempDir::new().unwrap();
    symlink("/bin/sh", directory.path().join("show")).unwrap();
    let seen = directory.path().join("seen");
    let words = ["show", "-c", "env > \"$0\"; echo \"$1\"", seen.to_str().unwrap(), "a;b|c$HOME"];
    let words = words.map(str::to_owned).to_vec();
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let (server, spec) = server_with(SecretSpec::Command(words));
    let variables = [("PATH", path.as_str()), ("LANG", "C.UTF-8"), ("CREDENTIALS_DIRECTORY", "/x")];
    open(&spec, Path::new("/"), &variables, &ManualClock::default()).await.unwrap().send(&get("/x")).await.unwrap();
    assert!(server.requests()[0].contains("\r\nauthorization: Bearer a;b|c$HOME\r\n"), "no shell took the words apart");
    let environment = fs::read_to_string(seen).unwrap();
    let mut names: Vec<_> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH"]);
}

#[tokio::test]
async fn a_command_that_cannot_be_believed_stops_the_start() {
    let directory = TempDir::new().unwrap();
    let command = |words: &[&str]| SecretSpec::Command(words.iter().map(|word| (*word).to_owned()).collect());
    let sh = |script: &str| command(&["/bin/sh", "-c", script]);
    let loose = directory.path().join("loose");
    write(&loose, "#!/bin/sh\necho loose-token-1\n");
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o777)).unwrap();
    let plain = directory.path().join("plain");
    write(&plain, "text");
    let open_to_all = directory.path().join("open-to-all");
    fs::create_dir(&open_to_all).unwrap();
    let below = open_to_all.join("show");
    write(&below, "#!/bin/sh\necho below-token-1\n");
    fs::set_permissions(&below, fs::Permissions::from_mode(0o700)).unwrap();
    let (link_below, link_to_below) = (open_to_all.join("sh"), directory.path().join("show"));
    symlink("/bin/sh", &link_below).unwrap();
    symlink(&below, &link_to_below).unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).unwrap();
    let cases = [
        (sh("echo some-secret; exit 3"), "failed"),
        (sh("exit 0"), "empty"),
        (sh("head -c 70000 /dev/zero | tr '\\0' x; sleep 100"), "longer than"),
        (sh("echo secret-on-stderr >&2; exit 1"), "failed"),
        (command(&[]), "empty"),
        (command(&["./show"]), "absolute path"),
        (command(&["no-such-command-here"]), "not found"),
        (command(&["/no/such/command"]), "not found"),
        (command(&[plain.to_str().unwrap()]), "not found"),
        (command(&[loose.to_str().unwrap()]), "has mode"),
        (command(&[below.to_str().unwrap()]), "open-to-all` has mode"),
        (command(&[link_below.to_str().unwrap(), "-c", "echo token-1"]), "open-to-all` has mode"),
        (command(&[link_to_below.to_str().unwrap()]), "open-to-all` has mode"),
    ];
    for (spec, expected) in cases {
        let name = format!("{spec:?}");
        let error = refused(spec, directory.path(), &[]).await;
        assert!(
            error.contains(expected) && !error.contains("secret-on-stderr") && !error.contains("some-secret"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn a_command_is_believed_anew_each_time_it_is_run() {
    let directory = TempDir::new().unwrap();
    let show = directory.path().join("show");
    symlink("/bin/sh", &show).unwrap();
    let server = Server::saying("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
    let mut spec = server.spec();
    let words = [show.to_str().unwrap(), "-c", "echo command-token-1"].map(str::to_owned).to_vec();
    spec.credential = Some(CredentialSpec::Bearer(SecretSpec::Command(words)));
    let clock = ManualClock::default();
    let upstream = open(&spec, Path::new("/"), &[], &clock).await.unwrap();
    upstream.send(&get("/x")).await.unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    clock.advance(Duration::from_secs(10));
    let error = upstream.send(&get("/x")).await.unwrap_err().error;
    assert!(error.cause().contains("has mode 0777"), "{}", error.cause());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_systemd_credential_is_a_plain_name_in_its_directory() {
    let directory = TempDir::new().unwrap();
    write(&directory.path().join("token"), "systemd-token-1");
    let variables = [("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
    let (server, spec) = server_with(SecretSpec::Systemd("token".to_owned()));
    open(&spec, Path::new("/"), &variables, &ManualClock::default()).await.unwrap().send(&get("/x")).await.unwrap();
    assert!(server.requests()[0].contains("\r\nauthorization: Bearer systemd-token-1\r\n"));
    for name in ["../token", "/etc/hostname", "", ".", ".."] {
        let error = refused(SecretSpec::Systemd(name.to_owned()), Path::new("/"), &variables).await;
        assert!(error.contains("plain file name"), "{name}: {error}");
    }
    let unset = refused(SecretSpec::Systemd("token".to_owned()), Path::new("/"), &[]).await;
    assert!(unset.contains("CREDENTIALS_DIRECTORY"), "{unset}");
}

#[tokio::test]
async fn a_private_key_that_others_can_read_stops_the_start() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("client.pem");
    write(&path, "no pem at all");
    let (_server, mut spec) = server();
    spec.client_certificate = Some(path.clone());
    let error = open(&spec, directory.path(), &[], &ManualClock::default()).await.unwrap_err();
    assert!(matches!(error, UpstreamSetupError::Certificate { cause: CertificateError::Unusable, .. }), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = open(&spec, directory.path(), &[], &ManualClock::default()).await.unwrap_err();
    assert!(matches!(error, UpstreamSetupError::Certificate { cause: CertificateError::Untrusted(_), .. }), "{error}");
}

/// `check` asks the same function, which is why it agrees.
#[tokio::test]
async fn certificates_that_others_can_exchange_or_that_are_none_stop_the_start() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ca.pem");
    let (_server, mut spec) = server();
    spec.ca_file = Some("ca.pem".into());
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, mode, expected) in [("text", 0o700, "PEM"), (garbage, 0o700, "PEM"), (garbage, 0o777, "mode 0777")] {
        write(&path, text);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        let checked = crate::upstream::authorities(&path).unwrap_err().to_string();
        let served = open(&spec, directory.path(), &[], &ManualClock::default()).await.unwrap_err().to_string();
        assert!(checked.contains(expected), "{checked}");
        assert_eq!(served, format!("`upstream.ca_file`: {checked}"));
    }
}

fn server() -> (Server, UpstreamSpec) {
    let server = Server::saying(ok("", b"{}"));
    let spec = server.spec();
    (server, spec)
}

fn server_with(secret: SecretSpec) -> (Server, UpstreamSpec) {
    let (server, mut spec) = server();
    spec.credential = Some(CredentialSpec::Bearer(secret));
    (server, spec)
}

async fn open(
    spec: &UpstreamSpec,
    directory: &Path,
    variables: &[(&str, &str)],
    clock: &ManualClock,
) -> Result<Upstream, UpstreamSetupError> {
    Upstream::open(spec, LIMIT, surroundings_in(spec, directory, variables), Arc::new(clock.clone())).await
}

/// What the person at the terminal reads when a bearer token of this source cannot be used.
async fn refused(secret: SecretSpec, directory: &Path, variables: &[(&str, &str)]) -> String {
    let (_server, spec) = server_with(secret);
    open(&spec, directory, variables, &ManualClock::default()).await.unwrap_err().to_string()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// As a careful writer does it: a new file takes the old one's name.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    write(&new, text);
    fs::rename(new, path).unwrap();
}
