//! Certificates: read and matched once, so that a wrong one is an option's error and not a failed handshake later.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};

/// `tls`: what to trust and who we are, in PEM.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates to trust in place of the system's.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate, with those between it and the root.
    pub cert: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Name that the server's certificate must be for, in place of the host's.
    pub server_name: Option<String>,
}

/// Checked certificates. Two are equal when the options were.
#[derive(Clone, Default)]
pub struct TlsSetup {
    given: Option<Given>,
    config: Option<Arc<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
}

type Given = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<String>);

impl std::fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("TlsSetup").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl PartialEq for TlsSetup {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl Eq for TlsSetup {}

impl Hash for TlsSetup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.given.hash(state);
    }
}

impl TlsSetup {
    /// Reads the certificates. Without options the system's roots are used, and only when a connection has TLS.
    pub(super) fn new(options: Option<&TlsOptions>, ssl_enabled: Option<bool>) -> Result<Self> {
        let Some(options) = options else {
            if ssl_enabled == Some(true) {
                system_roots()?;
            }
            return Ok(Self::default());
        };
        if ssl_enabled == Some(false) {
            return Err(Error::config("tls", "contradicts sslEnabled: false"));
        }
        let roots = match &options.ca {
            None => Arc::clone(system_roots()?),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("tls.ca", pem)? {
                    roots.add(certificate).map_err(|error| Error::config("tls.ca", format!("holds an unusable certificate: {error}")))?;
                }
                Arc::new(roots)
            }
        };
        let server_name = match &options.server_name {
            None => None,
            Some(name) => {
                let wrong = |_| Error::config("tls.serverName", format!("must be a host name or an IP address, got '{name}'"));
                Some(ServerName::try_from(name.clone()).map_err(wrong)?)
            }
        };
        let identity = match (&options.cert, &options.key) {
            (None, None) => None,
            (Some(_), None) => return Err(Error::config("tls.key", "must be given with tls.cert")),
            (None, Some(_)) => return Err(Error::config("tls.cert", "must be given with tls.key")),
            (Some(cert), Some(key)) => {
                let wrong = |error| Error::config("tls.key", format!("must be a private key in PEM: {error}"));
                Some((certificates("tls.cert", cert)?, PrivateKeyDer::from_pem_slice(key).map_err(wrong)?))
            }
        };
        let given = Some((options.ca.clone(), options.cert.clone(), options.key.clone(), options.server_name.clone()));
        Ok(Self { given, config: Some(config(roots, identity)?), server_name })
    }

    /// What a connection with TLS needs.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>> {
        static PLAIN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if let Some(config) = &self.config {
            return Ok(Arc::clone(config));
        }
        if let Some(config) = PLAIN.get() {
            return Ok(Arc::clone(config));
        }
        let fresh = config(Arc::clone(system_roots()?), None)?;
        Ok(Arc::clone(PLAIN.get_or_init(|| fresh)))
    }

    /// Name that the server's certificate must be for.
    pub fn name_for(&self, host: &str) -> Result<ServerName<'static>> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        ServerName::try_from(host.to_owned()).map_err(|_| Error::config("host", format!("'{host}' is no name that a certificate can be for")))
    }
}

/// The certificates in an option.
pub fn certificates(path: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(Error::config(path, "holds no certificate in PEM")),
        Err(error) => Err(Error::config(path, format!("must be certificates in PEM: {error}"))),
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn config(roots: Arc<RootCertStore>, identity: Option<Identity>) -> Result<Arc<ClientConfig>> {
    let unusable = |error: &dyn std::fmt::Display| Error::config("tls", format!("is unusable: {error}"));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map_err(|error| unusable(&error))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| Error::config("tls.key", format!("does not go with tls.cert: {error}")))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// The system's roots, read once: it takes long.
fn system_roots() -> Result<&'static Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() { Err(Error::config("tls.ca", "must be given: this system has no root certificates")) } else { Ok(roots) }
}
