use std::net::TcpListener;
use std::path::PathBuf;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::*;
use crate::policy::Policy;

/// Made for these tests: `localhost` and 127.0.0.1, from 2000 to 2126.
const CERTIFICATE: &str = include_str!("cert.pem");
const KEY: &str = include_str!("key.pem");

fn policy(upstream: &str) -> Policy {
    let text = format!(
        "version = 1\nname = \"t\"\n[upstream]\n{upstream}\n[[allow]]\nid = \"a\"\nmethods = [\"GET\"]\npaths = [\"/a\"]\n"
    );
    let parsed = Policy::parse("t.toml", &text);
    parsed.policy.unwrap_or_else(|| panic!("{:#?}", parsed.findings))
}

fn surroundings(policy: &Policy, directory: &std::path::Path) -> Surroundings {
    Surroundings::collect(policy.upstream(), directory, &|_| None)
}

/// A TLS server for one connection: its port.
async fn server() -> u16 {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not believe it hangs up.
        acceptor.accept(stream).await.ok();
    });
    port
}

#[tokio::test]
async fn a_handshake_tells_the_version_and_the_dates_of_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ca.pem"), CERTIFICATE).unwrap();
    let port = server().await;
    let policy =
        policy(&format!("base_url = \"https://127.0.0.1:{port}/\"\nallow_private = true\nca_file = \"ca.pem\""));
    let spec = policy.upstream();
    let found = addresses(spec).await.unwrap();
    assert_eq!(found, [IpAddr::from([127, 0, 0, 1])]);
    let shaken = handshake(spec, &surroundings(&policy, directory.path()), &found).await.unwrap().unwrap();
    assert_eq!(shaken.version, "TLSv1_3");
    let date = |text: &str| humantime::parse_rfc3339(text).unwrap();
    assert_eq!(shaken.good, Some((date("2000-01-01T00:00:00Z"), date("2126-01-01T00:00:00Z"))));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let port = server().await;
    let policy = policy(&format!("base_url = \"https://127.0.0.1:{port}/\"\nallow_private = true"));
    let found = addresses(policy.upstream()).await.unwrap();
    let error = handshake(policy.upstream(), &surroundings(&policy, directory.path()), &found).await.unwrap_err();
    assert!(matches!(error, WayError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn each_step_fails_as_itself() {
    let directory = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let policy_of_closed = policy(&format!("base_url = \"http://127.0.0.1:{closed}/\"\nallow_http = true"));
    let found = addresses(policy_of_closed.upstream()).await.unwrap();
    let error =
        handshake(policy_of_closed.upstream(), &surroundings(&policy_of_closed, directory.path()), &found).await;
    assert!(matches!(error, Err(WayError::Connect(_))), "{error:?}");
    let private = policy("base_url = \"https://localhost/\"");
    let error = addresses(private.upstream()).await.unwrap_err();
    assert!(matches!(&error, WayError::Address(text) if text.contains("does not allow")), "{error:?}");
    let missing = policy("base_url = \"https://127.0.0.1:1/\"\nallow_private = true\nca_file = \"none.pem\"");
    let error = settings(missing.upstream(), &surroundings(&missing, &PathBuf::from("/"))).unwrap_err();
    assert!(matches!(error, WayError::Certificate(_)), "{error:?}");
}

#[tokio::test]
async fn plain_http_is_connected_to_and_told_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let policy = policy(&format!("base_url = \"http://127.0.0.1:{port}/\"\nallow_http = true"));
    let found = addresses(policy.upstream()).await.unwrap();
    let shaken = handshake(policy.upstream(), &surroundings(&policy, std::path::Path::new("/")), &found).await.unwrap();
    assert_eq!(shaken, None);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard).await.unwrap();
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn both_forms_of_dates_are_read_and_no_others() {
    let utc = |text: &str| [&[UTC_TIME, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let general = |text: &str| [&[GENERALIZED_TIME, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    for (der, expected) in [
        (utc("490102030405Z"), Some("2049-01-02T03:04:05Z")),
        (utc("991231235959Z"), Some("1999-12-31T23:59:59Z")),
        (general("20500102030405Z"), Some("2050-01-02T03:04:05Z")),
        (utc("4901020304Z"), None),
        (utc("490102030405"), None),
        (utc("49010203040xZ"), None),
        (general("490102030405Z"), None),
        (vec![UTC_TIME, 0x80], None),
        (vec![UTC_TIME, 0x7f], None),
        (vec![], None),
    ] {
        let read = time(&der).map(|(time, _)| humantime::format_rfc3339_seconds(time).to_string());
        assert_eq!(read.as_deref(), expected, "{der:?}");
    }
}

proptest::proptest! {
    /// Whatever a server calls a certificate, reading its dates ends.
    #[test]
    fn no_certificate_breaks_the_reader(der in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        validity(&der);
        let own = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let mut bent = own.to_vec();
        for (at, byte) in der.iter().enumerate() {
            bent[at * 3] ^= byte;
        }
        validity(&bent);
    }
}
