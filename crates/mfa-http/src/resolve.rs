//! Resolving names, and refusing what they lead to.

use core::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use crate::is_public;

/// Resolves host names. The default asks the operating system.
///
/// *Contract.* The answer is every address that may be connected to; the client refuses those that are not public
/// and connects to one of the others without asking again.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// Returns the addresses of `host`, a name in lower case.
    ///
    /// # Errors
    /// The resolver's own, if the name cannot be resolved.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug)]
pub(crate) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A name leads somewhere, and nowhere that is public.
#[derive(Debug, Error)]
#[error("no public address")]
pub(crate) struct NotPublic;

/// What a client connects to.
#[derive(Debug)]
pub(crate) enum Reach {
    /// Public addresses, and the proxy's host wherever it is.
    Public { proxy_host: Option<String> },
    /// Whatever the name leads to: the authority was allowed before.
    Allowed,
}

/// A resolver as `reqwest` wants it, with the filter behind it.
pub(crate) struct Filtered {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) reach: Arc<Reach>,
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, reach) = (Arc::clone(&self.resolver), Arc::clone(&self.reach));
        Box::pin(async move {
            let addresses = reach.addresses(&*resolver, name.as_str()).await?;
            // Port 0 stands for the port of the URL.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

impl Reach {
    async fn addresses(&self, resolver: &dyn Resolver, host: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            // RFC 6761 §6.3: the name is this machine, whatever a server says.
            Self::Allowed if host == "localhost" => {
                Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
            }
            Self::Public { proxy_host } if proxy_host.as_deref() != Some(host) => {
                let mut addresses = resolver.resolve(host).await?;
                let leads_nowhere = addresses.is_empty();
                addresses.retain(|address| is_public(*address));
                if addresses.is_empty() && !leads_nowhere {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, NotPublic));
                }
                Ok(addresses)
            }
            Self::Allowed | Self::Public { .. } => resolver.resolve(host).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Always(&'static [&'static str]);

    #[async_trait]
    impl Resolver for Always {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.iter().map(|address| address.parse().unwrap()).collect())
        }
    }

    const MIXED: Always = Always(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111", "169.254.169.254"]);

    #[tokio::test]
    async fn addresses_that_are_not_public_are_dropped() {
        let public = Reach::Public { proxy_host: None };
        let addresses = public.addresses(&MIXED, "example.com").await.unwrap();
        assert_eq!(
            addresses,
            ["1.1.1.1", "2606:4700::1111"].map(|address| address.parse::<IpAddr>().unwrap())
        );
        let refused = public.addresses(&Always(&["127.0.0.1"]), "example.com").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn the_filter_lets_the_proxy_and_what_was_allowed_pass() {
        let public = Reach::Public { proxy_host: Some("proxy".to_owned()) };
        assert_eq!(public.addresses(&MIXED, "proxy").await.unwrap().len(), 5);
        assert_eq!(public.addresses(&MIXED, "proxy.example").await.unwrap().len(), 2);
        assert_eq!(Reach::Allowed.addresses(&MIXED, "duo.test").await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn localhost_is_this_machine_whatever_a_server_says() {
        let addresses = Reach::Allowed.addresses(&Always(&["1.1.1.1"]), "localhost").await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }
}
