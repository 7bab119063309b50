//! A connection of bytes to one fixed place, plain to this machine or by TLS: what a syslog sink is made of.
//!
//! Promises that only addresses which the policy allows are dialled, those that were judged, and that a certificate is checked
//! for the name that the policy gives: by the system's roots, or by `ca_file`'s alone where one is named.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Host;

use crate::address::{Reach, Spelled};
use crate::policy::{SinkSpec, Target};
use crate::upstream::client::read_authorities;
use crate::upstream::error::CertificateError;
use crate::upstream::post::{CONNECT_TIMEOUT, PlaceError};
use crate::upstream::resolver::{judged, system_lookup};
use crate::upstream::source::Surroundings;

/// For one batch to be taken by the system.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_UNHEARD: usize = 16;
/// For the end to be said.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// How to connect.
#[derive(Debug)]
pub struct Dialer {
    target: Target,
    reach: Reach,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// An open connection.
pub struct Stream(Box<dyn Both>);

/// How a connection is.
#[derive(Debug)]
pub enum Pulse {
    /// Nothing speaks against it.
    Open,
    /// The other end closed it when it had read everything.
    Closed,
    /// It ended with something unread.
    Broken(io::Error),
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Both for S {}

impl Dialer {
    /// Plain TCP.
    #[must_use]
    pub fn plain(sink: &SinkSpec, target: &Target) -> Self {
        Self { target: target.clone(), reach: sink.reach(), tls: None }
    }

    /// TLS, with the certificates that the sink names.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn tls(sink: &SinkSpec, target: &Target, surroundings: &Surroundings) -> Result<Self, PlaceError> {
        let tls_error = |error: &dyn std::fmt::Display| PlaceError::Tls(error.to_string());
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| tls_error(&error))?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| tls_error(&error))?;
        let builder = match &sink.ca_file {
            Some(path) => builder.with_root_certificates(roots(&surroundings.path(path))?),
            None => builder.with_platform_verifier().map_err(|error| tls_error(&error))?,
        };
        let tls = Some((Arc::new(builder.with_no_client_auth()), name));
        Ok(Self { target: target.clone(), reach: sink.reach(), tls })
    }

    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// None may be dialled, none answers, or its certificate is not believed.
    pub async fn dial(&self) -> io::Result<Stream> {
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(&*self.addresses().await?).await?;
        let Some((config, name)) = &self.tls else { return Ok(Stream(Box::new(stream))) };
        let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await?;
        Ok(Stream(Box::new(stream)))
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let port = self.target.port;
        let found = match (self.target.address(), &self.target.host) {
            (Some(address), _) => {
                self.reach.judge(address, Spelled::Literal).map_err(io::Error::other)?;
                vec![SocketAddr::new(address, port)]
            }
            (None, host) => judged(self.reach, &system_lookup(), host.to_string()).await.map_err(io::Error::other)?,
        };
        Ok(found.into_iter().map(|found| SocketAddr::new(found.ip(), port)).collect())
    }
}

impl Stream {
    /// Hands bytes to the system.
    ///
    /// # Errors
    /// The connection ended, or took too long.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(WRITE_TIMEOUT, sending).await.unwrap_or_else(|_| Err(late()))
    }

    /// Ends the connection in order.
    ///
    /// # Errors
    /// It ended before, or takes too long.
    pub async fn end(mut self) -> io::Result<()> {
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(END_TIMEOUT, self.0.shutdown()).await.unwrap_or_else(|_| Err(late()))
    }

    /// How the connection is, as far as the system knows by now. What the other end says is not listened to.
    pub async fn pulse(&mut self) -> Pulse {
        // So that the runtime looks at the socket first.
        tokio::task::yield_now().await;
        let mut unheard = [0; 256];
        // Whoever says more than this is heard out another time.
        for _ in 0..MOST_UNHEARD {
            match self.0.read(&mut unheard).now_or_never() {
                None => break,
                Some(Ok(0)) => return Pulse::Closed,
                Some(Ok(_)) => {}
                // TLS without its own end. The system's end came all the same, so that nothing was left unread.
                Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Pulse::Closed,
                Some(Err(error)) => return Pulse::Broken(error),
            }
        }
        Pulse::Open
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

pub(super) fn roots(path: &Path) -> Result<RootCertStore, CertificateError> {
    let pem = read_authorities(path)?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| CertificateError::Unusable)?;
        store.add(certificate).map_err(|_| CertificateError::Unusable)?;
    }
    if store.is_empty() { Err(CertificateError::Unusable) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Destination;

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_dialled_only_where_the_policy_allows_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target { host: Host::Domain("localhost".into()), port: listener.local_addr().unwrap().port() };
        for (allow_private, dialled) in [(false, false), (true, true)] {
            let to = Destination::SyslogTls(target.clone());
            let sink = SinkSpec { name: "a".into(), to, require: false, allow_private, ca_file: None };
            // Without TLS: only where it leads is looked at.
            let result = Dialer::plain(&sink, &target).dial().await;
            assert_eq!(result.is_ok(), dialled, "{result:?}");
            if let Err(error) = result {
                assert!(error.to_string().contains("does not allow"), "{error}");
            }
        }
    }
}
