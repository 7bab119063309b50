//! The resolver that the HTTP client is given.
//!
//! Promises that the addresses which were judged are the very ones dialled (no second look-up that could answer otherwise). Refuses a
//! whole answer when one address in it is not allowed. Trusts the system's resolver for what it says, not for what it points at. An
//! address literal in `base_url` never gets here: it is judged at set-up. Behind a proxy the target's name is resolved by the proxy,
//! out of sight.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::{Reach, Spelled};

/// A future of a look-up's answer.
pub(crate) type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Asks for the addresses of a name; a test puts its own answers here.
pub(crate) type Lookup = Arc<dyn Fn(String) -> Answer + Send + Sync>;

/// The system's resolver: nsswitch, `/etc/hosts`, DNS.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            // The HTTP client puts the URL's port in place of 0.
            tokio::net::lookup_host((name, 0)).await.map(Iterator::collect)
        })
    })
}

/// The resolver that the HTTP client is given: what it answers is what is dialled.
#[derive(Clone)]
pub(crate) struct Guard {
    reach: Reach,
    lookup: Lookup,
}

impl Guard {
    pub(crate) fn new(reach: Reach, lookup: Lookup) -> Self {
        Self { reach, lookup }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, lookup } = self.clone();
        Box::pin(async move {
            let addresses = judged(reach, &lookup, name.as_str().to_owned()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// The addresses of a name, all of which may be dialled.
///
/// # Errors
/// There are none, or one may not be dialled.
pub(crate) async fn judged(
    reach: Reach,
    lookup: &Lookup,
    name: String,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let addresses = lookup(name).await.map_err(Unresolved::Failed)?;
    if addresses.is_empty() {
        return Err(Unresolved::Empty.into());
    }
    for address in &addresses {
        reach.judge(address.ip(), Spelled::Name)?;
    }
    Ok(addresses)
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// A name that could not be resolved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unresolved {
    #[error("the resolver failed: {0}")]
    Failed(#[source] io::Error),
    #[error("the resolver knows no address")]
    Empty,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_that_is_not_allowed_refuses_the_whole_answer() {
        for (answer, allowed) in [
            ("1.1.1.1:0", true),
            ("1.1.1.1:0 [2606:4700::1111]:0", true),
            ("1.1.1.1:0 10.0.0.1:0", false),
            ("10.0.0.1:0 1.1.1.1:0", false),
            ("[::ffff:169.254.169.254]:0", false),
            ("", false),
        ] {
            let addresses: Vec<SocketAddr> =
                answer.split_whitespace().map(|address| address.parse().unwrap()).collect();
            let given = addresses.clone();
            let lookup: Lookup = Arc::new(move |_| {
                let given = given.clone();
                Box::pin(async move { Ok(given) })
            });
            let resolved = Guard::new(Reach::Public, lookup).resolve("api.example.test".parse().unwrap()).await;
            match resolved {
                Ok(resolved) => assert!(allowed && resolved.eq(addresses), "{answer}"),
                Err(_) => assert!(!allowed, "{answer}"),
            }
        }
    }
}
