//! The way to the API, step by step and without a request: its name, its addresses, its TLS handshake.
//!
//! Promises that only what the policy allows is dialled, and that not a byte of HTTP is sent: whatever asks the API for
//! something goes through the gate. For a person who wants to know which step fails.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig};
use url::Host;

use crate::address::Spelled;
use crate::policy::UpstreamSpec;
use crate::upstream::client::{reach, read_identity};
use crate::upstream::error::{CertificateError, UpstreamSetupError};
use crate::upstream::resolver::{judged, system_lookup};
use crate::upstream::source::Surroundings;
use crate::upstream::stream::roots;

/// The protocols that the HTTP client speaks.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a step fails. For the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// The policy's words about the upstream cannot be used.
    #[error(transparent)]
    Setup(#[from] UpstreamSetupError),
    /// A file of certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The name leads nowhere, or where the policy does not allow.
    #[error("{0}")]
    Address(String),
    /// Nobody answers at the addresses.
    #[error("{0}")]
    Connect(std::io::Error),
    /// The handshake failed.
    #[error("{0}")]
    Tls(std::io::Error),
    /// The TLS library refuses its settings.
    #[error("{0}")]
    Settings(rustls::Error),
    /// The step took longer than `connect_timeout`.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Late(Duration),
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `TLSv1_3`, as the TLS library calls it.
    pub version: String,
    /// From when until when the certificate is good; absent where it cannot be read.
    pub good: Option<(SystemTime, SystemTime)>,
}

/// The addresses of the upstream, all of which may be dialled; of an address in `base_url` that one.
///
/// # Errors
/// [`WayError`].
pub async fn addresses(spec: &UpstreamSpec) -> Result<Vec<IpAddr>, WayError> {
    let reach = reach(spec)?;
    let literal = |address: IpAddr| {
        reach
            .judge(address, Spelled::Literal)
            .map(|()| vec![address])
            .map_err(|error| WayError::Address(error.to_string()))
    };
    match spec.base_url.host() {
        Some(Host::Ipv4(address)) => literal(address.into()),
        Some(Host::Ipv6(address)) => literal(address.into()),
        Some(Host::Domain(name)) => {
            let lookup = system_lookup();
            let found = in_time(spec, judged(reach, &lookup, name.to_owned())).await?;
            let found = found.map_err(|error| WayError::Address(error.to_string()))?;
            Ok(found.into_iter().map(|address| address.ip()).collect())
        }
        None => Err(UpstreamSetupError::BaseUrl.into()),
    }
}

/// Connects to the first of these addresses that answers, and of HTTPS shakes hands; nothing for plain HTTP.
///
/// # Errors
/// [`WayError`].
pub async fn handshake(
    spec: &UpstreamSpec,
    surroundings: &Surroundings,
    addresses: &[IpAddr],
) -> Result<Option<Handshake>, WayError> {
    let port = spec.base_url.port_or_known_default().unwrap_or_default();
    let places: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
    let stream = in_time(spec, TcpStream::connect(&*places)).await?.map_err(WayError::Connect)?;
    if spec.base_url.scheme() != "https" {
        return Ok(None);
    }
    let connector = TlsConnector::from(Arc::new(settings(spec, surroundings)?));
    let stream = in_time(spec, connector.connect(server_name(spec)?, stream)).await?.map_err(WayError::Tls)?;
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
    let good = connection.peer_certificates().and_then(|chain| chain.first()).and_then(|own| validity(own));
    Ok(Some(Handshake { version, good }))
}

async fn in_time<T>(spec: &UpstreamSpec, step: impl Future<Output = T>) -> Result<T, WayError> {
    tokio::time::timeout(spec.connect_timeout, step).await.map_err(|_| WayError::Late(spec.connect_timeout))
}

fn server_name(spec: &UpstreamSpec) -> Result<ServerName<'static>, WayError> {
    match spec.base_url.host() {
        Some(Host::Ipv4(address)) => Ok(ServerName::from(IpAddr::V4(address))),
        Some(Host::Ipv6(address)) => Ok(ServerName::from(IpAddr::V6(address))),
        Some(Host::Domain(name)) => {
            ServerName::try_from(name.to_owned()).map_err(|error| WayError::Address(error.to_string()))
        }
        None => Err(UpstreamSetupError::BaseUrl.into()),
    }
}

/// The roots and the certificate that the HTTP client uses for this upstream.
fn settings(spec: &UpstreamSpec, surroundings: &Surroundings) -> Result<ClientConfig, WayError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(WayError::Settings)?;
    let builder = match &spec.ca_file {
        Some(path) => builder.with_root_certificates(roots(&surroundings.path(path))?),
        None => builder.with_platform_verifier().map_err(WayError::Settings)?,
    };
    let mut settings = match &spec.client_certificate {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let pem = read_identity(&surroundings.path(path))?;
            let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|_| CertificateError::Unusable)?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| CertificateError::Unusable)?;
            builder.with_client_auth_cert(chain, key).map_err(WayError::Settings)?
        }
    };
    settings.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(settings)
}

/// `notBefore` and `notAfter` of a certificate in DER (RFC 5280, section 4.1).
fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    // The version, which is absent where it is 1.
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // The serial number, the signature's algorithm, the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (dates, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(dates)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The content of the first element, which has this tag, and what follows it (X.690, section 8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        // At most four bytes of length: no certificate is longer.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        0x80 | 0x85.. => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// A date, and what follows it: `YYMMDDHHMMSSZ`, whose years begin in 1950, or `YYYYMMDDHHMMSSZ`.
fn time(der: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (century, (text, rest)) = match element(der, UTC_TIME) {
        Some((text, rest)) => (if text < b"50".as_slice() { "20" } else { "19" }, (text, rest)),
        None => ("", element(der, GENERALIZED_TIME)?),
    };
    let digits = format!("{century}{}", std::str::from_utf8(text).ok()?.strip_suffix('Z')?);
    let plain = digits.len() == 14 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let date =
        format!("{}-{}-{}T{}:{}:{}Z", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14));
    let time = plain.then(|| humantime::parse_rfc3339(&date).ok()).flatten()?;
    Some((time, rest))
}

#[cfg(test)]
mod tests;
