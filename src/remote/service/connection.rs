//! Sockets: listening, and each accepted connection.
//!
//! Problem: connections come from strangers who may open thousands, say nothing, or stay when the service ends. Answer: a connection takes
//! one of a bounded number of places; it must begin to speak in the time that a ping may take; and it can be broken from inside. TLS and HTTP/2 are tonic's.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::transport::server::Connected;

use super::core::Core;
use super::gate::Peer;
use crate::error::{Error, Result};

/// After a failed `accept`, most likely for want of descriptors: time for some to be closed.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens the socket. A wrong address is an option's error.
pub async fn listen(host: &str, port: u16) -> Result<TcpListener> {
    let name = host.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(host);
    let found = tokio::net::lookup_host((name, port)).await;
    let addresses: Vec<SocketAddr> =
        found.map_err(|error| Error::config("host", format!("'{host}' cannot be resolved: {error}")).because(error))?.collect();
    let mut failure = None;
    for address in &addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some((*address, error)),
        }
    }
    let Some((address, error)) = failure else { return Err(Error::config("host", format!("'{host}' has no address"))) };
    let wrong = match error.kind() {
        io::ErrorKind::AddrInUse => Error::config("port", format!("{address} is in use by another program")),
        io::ErrorKind::PermissionDenied => Error::config("port", format!("this user may not listen at {address}")),
        io::ErrorKind::AddrNotAvailable => Error::config("host", format!("{} is no address of this machine", address.ip())),
        _ => Error::config("host", format!("cannot listen at {address}: {error}")),
    };
    Err(wrong.because(error))
}

/// The next connection that there is a place for.
pub async fn accept(listener: &TcpListener, core: &Arc<Core>) -> Connection {
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(target: "service", "a connection could not be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&core.doors).try_acquire_owned() else {
            core.metrics.connections_refused.add(1);
            continue;
        };
        core.metrics.connections_accepted.add(1);
        core.metrics.connections_open.add(1);
        // Answers are small and awaited; HTTP/2 collects by itself what belongs together.
        let _ = socket.set_nodelay(true);
        return Connection {
            socket,
            peer,
            kill: Box::pin(core.kill.child_token().cancelled_owned()),
            silence: Some(Box::pin(tokio::time::sleep(core.config.ping_timeout))),
            core: Arc::clone(core),
            _permit: permit,
            _token: core.connections.token(),
        };
    }
}

/// An accepted connection.
pub struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    kill: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until the first bytes arrive.
    silence: Option<Pin<Box<Sleep>>>,
    core: Arc<Core>,
    _permit: OwnedSemaphorePermit,
    _token: TaskTrackerToken,
}

impl Connection {
    /// What the socket says, unless the service has broken the connection.
    fn unless_broken<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.kill.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the service has closed")));
        }
        polled
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.core.metrics.connections_open.sub(1);
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(Some(self.peer))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.silence = None;
        } else if let Some(silence) = &mut self.silence
            && silence.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")));
        }
        self.unless_broken(cx, polled)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.unless_broken(cx, polled)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.unless_broken(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        self.unless_broken(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
