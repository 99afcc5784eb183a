//! The service's certificates, read and matched once, so that a wrong one is an option's error and not a failed handshake later.

use std::time::Duration;

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::error::{Error, Result};
use crate::remote::config::certificates;

/// `tls`: who we are and whom to let in, in PEM.
#[derive(Clone, Default)]
pub struct ServiceTlsOptions {
    /// The service's certificate, with those between it and the root.
    pub cert: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Roots that clients' certificates must lead to; without them clients need none.
    pub client_ca: Option<Vec<u8>>,
}

/// A handshake is two round trips. A connection that does not get through it holds a place.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Reads the certificates.
pub(super) fn server_tls(options: &ServiceTlsOptions) -> Result<ServerTlsConfig> {
    let cert = options.cert.as_deref().ok_or_else(|| Error::config("tls.cert", "must be given"))?;
    let key = options.key.as_deref().ok_or_else(|| Error::config("tls.key", "must be given"))?;
    certificates("tls.cert", cert)?;
    PrivateKeyDer::from_pem_slice(key).map_err(|error| Error::config("tls.key", format!("must be a private key in PEM: {error}")))?;
    let mut config = ServerTlsConfig::new().identity(Identity::from_pem(cert, key)).timeout(HANDSHAKE);
    if let Some(roots) = &options.client_ca {
        certificates("tls.clientCa", roots)?;
        config = config.client_ca_root(Certificate::from_pem(roots));
    }
    // What is left to go wrong is whether they belong together.
    let matched = Server::builder().tls_config(config.clone());
    matched.map_err(|error| Error::config("tls", format!("is unusable: {}", innermost(&error))))?;
    Ok(config)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
