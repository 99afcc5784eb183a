//! One POST at a time over HTTP/1.1, with a connection that is kept as long as the collector keeps it.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use super::Unsent;
use super::options::Telemetry;
use crate::data::Bytes;
use crate::error::{Code, Error, Result};
use crate::remote::channel::dial;
use crate::remote::config::{Address, TlsSetup};

/// What of an answer is read: it says what was wrong, if anything was.
const ANSWER_BYTES: usize = 64 << 10;

/// Posts to one collector.
pub struct Poster {
    address: Address,
    base: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Option<Arc<ClientConfig>>,
    kept: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Poster {
    /// Connects to nothing yet. `ERR_CONFIG` with the path of a header that is none.
    pub fn new(settings: &Telemetry) -> Result<Self> {
        let uri = &settings.uri;
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let address = Address::parse(&format!("{}://{}:{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default()), port, None)
            .map_err(|problem| Error::config("otlpEndpoint", problem))?;
        let mut headers = Vec::new();
        for (name, value) in &settings.headers {
            let wrong = || Error::config(format!("headers.{name}"), "is no HTTP header");
            headers.push((name.parse().map_err(|_| wrong())?, value.parse().map_err(|_| wrong())?));
        }
        let tls = secure.then(|| {
            let mut config = ClientConfig::clone(&*TlsSetup::default().client_config()?);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok::<_, Error>(Arc::new(config))
        });
        Ok(Self { address, base: settings.base_path().to_owned(), headers, tls: tls.transpose()?, kept: Mutex::new(None) })
    }

    /// Posts a message in protobuf.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<(), Unsent> {
        let mut request = Request::post(format!("{}{path}", self.base))
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("remotemedia-wasmedge/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| self.unsent(&error, false))?;
        let kept = self.kept.lock().take().filter(|sender| !sender.is_closed());
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await.map_err(|error| Unsent { error, retryable: true })?,
        };
        let answer = sender.send_request(request).await.map_err(|error| self.unsent(&error, true))?;
        let status = answer.status();
        let text = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        if status.is_success() {
            if text.is_ok() {
                *self.kept.lock() = Some(sender);
            }
            return Ok(());
        }
        let retryable =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        let error = Error::new(Code::Remote, format!("the collector at {} answers {status} to {path}", self.address));
        Err(Unsent { error, retryable })
    }

    fn unsent(&self, error: &dyn std::fmt::Display, retryable: bool) -> Unsent {
        Unsent { error: Error::new(Code::Unavailable, format!("the collector at {} cannot be reached: {error}", self.address)), retryable }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let tcp = dial(&self.address).await?;
        let Some(tls) = &self.tls else { return self.begin(TokioIo::new(tcp)).await };
        let name = TlsSetup::default().name_for(&self.address.host)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        let refused = |error| Error::new(Code::Unavailable, format!("{} did not finish the TLS handshake: {error}", self.address));
        self.begin(TokioIo::new(stream.map_err(refused)?)).await
    }

    async fn begin<I>(&self, io: I) -> Result<SendRequest<Full<Bytes>>>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let started = handshake(io).await;
        let (sender, connection) = started.map_err(|error| Error::new(Code::Unavailable, format!("{} cannot be reached: {error}", self.address)))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "telemetry", %error, "connection ended");
            }
        });
        Ok(sender)
    }
}
