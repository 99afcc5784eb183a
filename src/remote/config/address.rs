//! Where a server is: `host:port`, a URL, or a name that stands for several servers.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

use http::uri::Authority;

use crate::error::{Error, Result};

/// One server, or with `dns:` all the addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or IP address, the latter of version 6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether its connections have TLS.
    pub tls: bool,
    /// Whether each address of the name is an endpoint of its own.
    pub every: bool,
    /// Name that `host` is one address of: certificates are for the name.
    pub name: Option<String>,
}

impl Address {
    /// From the options `host` and `port`.
    pub(super) fn host(host: &str, port: u16, tls: bool) -> Result<Self> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let address = Self { host: bare.to_owned(), port, tls, every: false, name: None };
        if bare.is_empty() {
            return Err(Error::config("host", "must not be empty"));
        }
        // A name with a port, a scheme or a path would otherwise fail as an unknown host later.
        let plain = !bare.contains(':') || bare.parse::<Ipv6Addr>().is_ok();
        if plain && address.authority().parse::<Authority>().is_ok_and(|authority| authority.host().trim_matches(['[', ']']) == bare) {
            Ok(address)
        } else {
            Err(Error::config("host", format!("must be a host name or an IP address, got '{host}'")))
        }
    }

    /// From text; the problem comes back without a path. A scheme in the text decides about TLS and must not contradict `ssl_enabled`.
    pub fn parse(text: &str, default_port: u16, ssl_enabled: Option<bool>) -> Result<Self, String> {
        let (every, rest) = match text.strip_prefix("dns:") {
            Some(rest) => (true, rest.strip_prefix("///").unwrap_or(rest)),
            None => (false, text),
        };
        let (tls, rest) = match rest.split_once("://") {
            None => (ssl_enabled.unwrap_or(false), rest),
            Some(("http" | "grpc", rest)) if ssl_enabled != Some(true) => (false, rest),
            Some(("https" | "grpcs", rest)) if ssl_enabled != Some(false) => (true, rest),
            Some((scheme @ ("http" | "grpc" | "https" | "grpcs"), _)) => return Err(format!("{scheme}:// contradicts sslEnabled")),
            Some((scheme, _)) => return Err(format!("must be host:port or a URL with http, https, grpc or grpcs, got '{scheme}://'")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: Authority = rest.parse().map_err(|_| format!("must be host:port or a URL, got '{text}'"))?;
        if authority.as_str().contains('@') {
            return Err("must not hold a user or password; authToken is for that".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.port() {
            None => default_port,
            Some(port) => port.as_str().parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("has the impossible port {port}"))?,
        };
        if host.is_empty() {
            return Err(format!("must name a host, got '{text}'"));
        }
        // "::1" reads as host "" or "::" with a port: only brackets are clear.
        if host.contains(':') && !rest.starts_with('[') {
            return Err("an IPv6 address must be in brackets, as in [::1]:50052".to_owned());
        }
        Ok(Self { host: host.to_owned(), port, tls, every, name: None })
    }

    /// One address of this name.
    #[must_use]
    pub fn at(&self, found: SocketAddr) -> Self {
        Self { host: found.ip().to_string(), port: found.port(), tls: self.tls, every: false, name: Some(self.host.clone()) }
    }

    /// Name that its certificate must be for.
    pub fn certificate_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.host)
    }

    /// `host:port` as HTTP writes it.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// The same of the name that requests are for, where `host` is one address of it.
    pub fn origin(&self) -> String {
        authority(self.certificate_name(), self.port)
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}
