//! One connection: name, TCP, TLS, HTTP/2, and whether the other side speaks HTTP/2 at all.
//!
//! Problem: a client's HTTP/2 handshake succeeds against anything that accepts bytes, so a TLS port, a web server or a black hole would only
//! show as a call that fails strangely. Answer: a connection counts as open when the server's first frame, its SETTINGS, has arrived; until
//! then nothing was sent that could be lost, and what came instead of it says what is wrong. It does not try again: that is `endpoint.rs`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use super::watched::{Io, Opening, Vital, Watched};
use crate::error::{Code, Error, Result};
use crate::remote::config::{Address, Transport};
use crate::remote::status;

/// An open connection. Clones share it.
#[derive(Clone)]
pub struct Conn {
    send: SendRequest<Body>,
    vital: Arc<Vital>,
}

impl Conn {
    /// Whether no further request can go over it.
    pub fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    /// A handle to send one request with.
    pub fn sender(&self) -> SendRequest<Body> {
        self.send.clone()
    }

    /// Signs of life.
    pub fn vital(&self) -> &Arc<Vital> {
        &self.vital
    }

    /// Whether both are the same connection.
    pub fn is(&self, other: &Conn) -> bool {
        Arc::ptr_eq(&self.vital, &other.vital)
    }
}

/// Silence on a socket after which the kernel asks whether the peer is there, three times. A dead peer is known after a minute, and no server
/// counts these probes as it counts HTTP/2 pings.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long sent bytes may go without the peer's acknowledgement; the peer's kernel gives it, so a busy server has no part in it.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Head start of each address of a name over the next one, as in RFC 8305.
const STAGGER: Duration = Duration::from_millis(250);

/// Opens a connection, within the transport's time for that.
pub async fn connect(address: &Address, transport: &Transport) -> Result<Conn> {
    let limit = transport.connect_timeout;
    match tokio::time::timeout(limit, open(address, transport)).await {
        Ok(result) => result,
        Err(_) => Err(unreachable(address, &format!("gave no answer within {} ms", limit.as_millis()))),
    }
}

fn unreachable(address: &Address, problem: &str) -> Error {
    Error::new(Code::Unavailable, format!("{address} {problem}")).with_remote(status::details(tonic::Code::Unavailable))
}

/// All addresses of a name.
pub async fn resolve(address: &Address) -> Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let list: Vec<_> = match found {
        Ok(list) => list.collect(),
        Err(error) => return Err(unreachable(address, &format!("cannot be found: {error}")).because(error)),
    };
    if list.is_empty() { Err(unreachable(address, "cannot be found: the name has no address")) } else { Ok(list) }
}

async fn open(address: &Address, transport: &Transport) -> Result<Conn> {
    let tcp = dial(address).await?;
    let io = if address.tls { Io::Tls(Box::new(tls(address, transport, tcp).await?)) } else { Io::Plain(tcp) };

    let (vital, opened) = Vital::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(transport.stream_window)
        .initial_connection_window_size(transport.connection_window)
        .keep_alive_interval(transport.keepalive.interval)
        .keep_alive_timeout(transport.keepalive.timeout)
        .keep_alive_while_idle(transport.keepalive.while_idle);
    let watched = Watched::new(io, Arc::clone(&vital));
    let started = builder.handshake(TokioIo::new(watched)).await;
    let (send, connection) = started.map_err(|error| unreachable(address, &format!("does not take HTTP/2: {error}")).because(error))?;
    tokio::spawn(async move {
        // Calls see by themselves that the connection is gone.
        if let Err(error) = connection.await {
            tracing::debug!(target: "remote", %error, "connection ended");
        }
    });

    let problem = match opened.await {
        Ok(Opening::Http2) => return Ok(Conn { send, vital }),
        Ok(Opening::Tls) => "answers in TLS: set sslEnabled".to_owned(),
        Ok(Opening::Http1) => "answers in HTTP/1: it is no gRPC server".to_owned(),
        Ok(Opening::Other) => "does not speak HTTP/2: it is no gRPC server".to_owned(),
        Ok(Opening::Failed(why)) if address.tls => format!("ended the connection after the TLS handshake: {why}"),
        Ok(Opening::Failed(why)) => format!("ended the connection before it said anything ({why}): it may want TLS"),
        // The watched socket is dropped with the connection.
        Err(_) => "ended the connection".to_owned(),
    };
    Err(unreachable(address, &problem))
}

/// A connection of TCP alone.
pub async fn dial(address: &Address) -> Result<TcpStream> {
    let failed = |error: io::Error| unreachable(address, &format!("cannot be reached: {error}")).because(error);
    let tcp = tcp(resolve(address).await?).await.map_err(failed)?;
    prepare(&tcp).map_err(failed)?;
    Ok(tcp)
}

/// The first address that accepts; each one has a head start over the next.
async fn tcp(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut rest = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match rest.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let more = rest.len() > 0;
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    // Frames are whole messages; waiting for more to send would only delay them.
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

async fn tls(address: &Address, transport: &Transport, tcp: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = transport.tls.name_for(address.certificate_name())?;
    let connector = TlsConnector::from(transport.tls.client_config()?);
    let stream = connector.connect(name, tcp).await.map_err(|error| {
        use tokio_rustls::rustls::Error as Tls;
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>());
        let problem = match cause {
            Some(Tls::InvalidCertificate(why)) => format!("has a certificate that is not trusted: {why}"),
            Some(Tls::InvalidMessage(_)) => "does not speak TLS: it may want sslEnabled: false".to_owned(),
            _ => format!("did not finish the TLS handshake: {error}"),
        };
        unreachable(address, &problem).because(error)
    })?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        Ok(stream)
    } else {
        Err(unreachable(address, "does not offer HTTP/2 over TLS: it is no gRPC server"))
    }
}
