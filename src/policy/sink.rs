//! What a policy says of where the log goes beside its file, as plain values.

use std::net::IpAddr;
use std::path::PathBuf;

use url::{Host, Url};

use super::spec::{CredentialSpec, SecretSpec};
use crate::address::Reach;

/// `[[audit.sinks]]`: one place that gets every record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSpec {
    /// A lower-case letter, then lower-case letters, digits and `-`; no two sinks have the same.
    pub name: String,
    /// Where, and in which form.
    pub to: Destination,
    /// No write is sent before the sink has taken its intent.
    pub require: bool,
    /// Private, link-local and other special addresses are accepted.
    pub allow_private: bool,
    /// PEM certificates that its certificate is checked against instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A sink's form and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// RFC 5424 in datagrams to a Unix socket, by its absolute path.
    SyslogUnix(PathBuf),
    /// RFC 5424 over plain TCP, to this machine alone.
    SyslogTcp(Target),
    /// RFC 5424 over TLS (RFC 5425).
    SyslogTls(Target),
    /// OTLP over HTTP; the base URL of its signals, which ends with `/`.
    Otlp(Endpoint),
    /// Signed batches, as Standard Webhooks has it.
    Webhook(Endpoint, SecretSpec),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address.
    pub host: Host<String>,
    /// The port.
    pub port: u16,
}

/// Where HTTP requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Canonical, `https` (or `http` to a loopback address where `allow_http` is set), without query or fragment.
    pub url: Url,
    /// How the request shows who sends it.
    pub credential: Option<CredentialSpec>,
}

impl SinkSpec {
    /// How far it may reach; nothing of a Unix socket's concern.
    pub(crate) fn reach(&self) -> Reach {
        match &self.to {
            Destination::SyslogTcp(_) | Destination::SyslogUnix(_) => Reach::Loopback,
            Destination::Otlp(to) | Destination::Webhook(to, _) if to.url.scheme() != "https" => Reach::Loopback,
            Destination::SyslogTls(_) | Destination::Otlp(_) | Destination::Webhook(..) => {
                Reach::over_https(self.allow_private)
            }
        }
    }

    /// The secrets that it names.
    pub(crate) fn secrets(&self) -> Vec<&SecretSpec> {
        match &self.to {
            Destination::SyslogUnix(_) | Destination::SyslogTcp(_) | Destination::SyslogTls(_) => Vec::new(),
            Destination::Otlp(to) => to.credential.iter().flat_map(CredentialSpec::secrets).collect(),
            Destination::Webhook(to, secret) => {
                to.credential.iter().flat_map(CredentialSpec::secrets).chain([secret]).collect()
            }
        }
    }
}

impl Target {
    /// The address that stands in place of a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }
}
