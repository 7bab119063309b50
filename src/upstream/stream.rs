//! A connection of bytes to one fixed place, plain to this machine or by TLS: what a syslog sink is made of.
//!
//! Promises that only addresses which the policy allows are dialled, those that were judged, and that a certificate is checked
//! for the name that the policy gives: by the system's roots, or by `ca_file`'s alone where one is named.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
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
/// For the end to be said, and heard.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// So long after the other end closed its half, a reset would say that it closed the other with something unread.
const RESET: Duration = Duration::from_millis(50);
/// Between two looks at a connection that ends.
const LOOK: Duration = Duration::from_millis(5);

/// How to connect.
#[derive(Debug)]
pub struct Dialer {
    target: Target,
    reach: Reach,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// An open connection.
pub struct Stream(Wire);

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How a connection is.
#[derive(Debug)]
pub enum Pulse {
    /// Nothing speaks against it.
    Open,
    /// The other end closed it, and its system had taken everything by then.
    Closed,
    /// It ended, and something that was sent may not have been taken.
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
        let Some((config, name)) = &self.tls else { return Ok(Stream(Wire::Plain(stream))) };
        let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await?;
        Ok(Stream(Wire::Tls(Box::new(stream))))
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
            self.both().write_all(bytes).await?;
            self.both().flush().await
        };
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(WRITE_TIMEOUT, sending).await.unwrap_or_else(|_| Err(late()))
    }

    /// Ends the connection in order, and waits a moment for the other end to do the same.
    ///
    /// # Errors
    /// It ended before: something that was sent may not have been taken.
    pub async fn end(mut self) -> io::Result<()> {
        let ending = async {
            self.both().shutdown().await?;
            self.hear().await
        };
        // Whoever keeps its half open longer has said nothing against it.
        tokio::time::timeout(END_TIMEOUT, ending).await.unwrap_or(Ok(()))?;
        self.tcp().take_error()?.map_or(Ok(()), Err)
    }

    /// How the connection is, as far as the system knows after so much time. What the other end says is not listened to.
    pub async fn pulse(&mut self, wait: Duration) -> Pulse {
        // So that the runtime looks at the socket first.
        tokio::task::yield_now().await;
        match tokio::time::timeout(wait, self.hear()).await {
            Err(_) => Pulse::Open,
            Ok(Ok(())) => self.after_its_end().await,
            Ok(Err(error)) => Pulse::Broken(error),
        }
    }

    /// Resolves when the other end has closed its half.
    async fn hear(&mut self) -> io::Result<()> {
        let mut unheard = [0; 256];
        loop {
            match self.both().read(&mut unheard).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // TLS without its own end. The system's end came all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The other end has closed its half. A system resets a connection on which something arrives that nobody will read, but
    /// behind an end a read does not tell of that. So this end is said as well: once the other system has taken it, it has taken
    /// everything before it.
    async fn after_its_end(&mut self) -> Pulse {
        tokio::time::sleep(RESET).await;
        let tcp = self.tcp();
        // Not TLS's own end, which whoever has closed would answer with a reset. An error is told by the socket.
        let said = rustix::net::shutdown(tcp, rustix::net::Shutdown::Write);
        let ending = async {
            loop {
                // First, since a reset is told before the connection is gone. Where a system says at once that it is gone, as
                // the BSDs do, the read has told of a reset.
                let gone = tcp.peer_addr().is_err();
                match (tcp.take_error(), said) {
                    (Ok(Some(error)) | Err(error), _) => return Pulse::Broken(error),
                    (Ok(None), Err(error)) => return Pulse::Broken(error.into()),
                    (Ok(None), Ok(())) if gone => return Pulse::Closed,
                    (Ok(None), Ok(())) => tokio::time::sleep(LOOK).await,
                }
            }
        };
        let late = io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(END_TIMEOUT, ending).await.unwrap_or(Pulse::Broken(late))
    }

    fn both(&mut self) -> &mut dyn Both {
        match &mut self.0 {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.get_ref().0,
        }
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

    /// A connection, and its other end.
    async fn pair() -> (Stream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream(Wire::Plain(stream)), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_is_sent_to_a_receiver_that_has_closed_was_not_taken() {
        let (mut stream, mut other) = pair().await;
        stream.send(b"one").await.unwrap();
        other.read_exact(&mut [0; 3]).await.unwrap();
        drop(other);
        tokio::time::sleep(RESET).await;
        // Before its end is noticed: the system takes it all the same.
        stream.send(b"two").await.unwrap();
        let pulse = stream.pulse(Duration::from_secs(5)).await;
        assert!(matches!(pulse, Pulse::Broken(_)), "{pulse:?}");
    }

    #[tokio::test]
    async fn a_receiver_that_closes_with_something_unread_has_not_taken_it() {
        for halves in [false, true] {
            let (mut stream, mut other) = pair().await;
            stream.send(b"one").await.unwrap();
            other.readable().await.unwrap();
            if halves {
                other.shutdown().await.unwrap();
            }
            drop(other);
            let pulse = stream.pulse(Duration::from_secs(5)).await;
            assert!(matches!(pulse, Pulse::Broken(_)), "{pulse:?}, first one half: {halves}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_closes_with_everything_read_has_taken_it() {
        let (mut stream, mut other) = pair().await;
        assert!(matches!(stream.pulse(Duration::ZERO).await, Pulse::Open));
        stream.send(b"one").await.unwrap();
        other.read_exact(&mut [0; 3]).await.unwrap();
        drop(other);
        let pulse = stream.pulse(Duration::from_secs(5)).await;
        assert!(matches!(pulse, Pulse::Closed), "{pulse:?}");
        assert!(pair().await.0.end().await.is_ok(), "it has nothing to read");
        let (mut stream, other) = pair().await;
        stream.send(b"one").await.unwrap();
        other.readable().await.unwrap();
        let (end, ()) = tokio::join!(stream.end(), async {
            tokio::time::sleep(RESET).await;
            drop(other);
        });
        assert!(end.is_err(), "it closed with something unread");
    }
}
