//! A socket that is watched: what its first bytes say, and when it was last heard of.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// What the other side's first bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// A SETTINGS frame.
    Http2,
    /// A TLS record.
    Tls,
    /// A status line.
    Http1,
    /// Anything else.
    Other,
    /// Nothing: the connection ended, and why.
    Failed(String),
}

impl Opening {
    /// Reads the head of the first frame; nothing while it is not complete.
    fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"HTTP/") {
            return Some(Opening::Http1);
        }
        if head.len() >= 2 && head[1] == 3 && matches!(head[0], 20..=23) {
            return Some(Opening::Tls);
        }
        // Length (3), type (1), flags (1), stream (4).
        if head.len() < HEAD {
            return None;
        }
        Some(if head[3] == 4 && head[5..9] == [0, 0, 0, 0] { Opening::Http2 } else { Opening::Other })
    }
}

/// Length of an HTTP/2 frame's head.
const HEAD: usize = 9;

/// Signs of life of a connection.
pub struct Vital {
    born: Instant,
    /// Microseconds from `born` to the last bytes that were read.
    heard: AtomicU64,
    opening: Mutex<Option<oneshot::Sender<Opening>>>,
}

impl Vital {
    /// The signs, and what tells how the connection opened.
    pub fn new() -> (Arc<Self>, oneshot::Receiver<Opening>) {
        let (tell, told) = oneshot::channel();
        let vital = Self { born: Instant::now(), heard: AtomicU64::new(0), opening: Mutex::new(Some(tell)) };
        (Arc::new(vital), told)
    }

    fn opened(&self, opening: Opening) {
        if let Some(tell) = self.opening.lock().take() {
            // Nobody waits any more when the time to connect is over.
            let _ = tell.send(opening);
        }
    }

    fn hear(&self) {
        let now = u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Whether anything was read after `since`.
    pub fn heard_after(&self, since: Instant) -> bool {
        self.born + std::time::Duration::from_micros(self.heard.load(Ordering::Relaxed)) > since
    }
}

/// The two kinds of socket.
pub enum Io {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A socket with its signs of life.
pub struct Watched {
    io: Io,
    vital: Arc<Vital>,
    /// The first bytes, while they tell nothing yet.
    head: Option<Vec<u8>>,
}

impl Watched {
    /// Watches `io`.
    pub fn new(io: Io, vital: Arc<Vital>) -> Self {
        Self { io, vital, head: Some(Vec::with_capacity(HEAD)) }
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.vital.hear();
        let Some(head) = &mut self.head else { return };
        head.extend(&bytes[..bytes.len().min(HEAD - head.len())]);
        if let Some(opening) = Opening::of(head) {
            self.vital.opened(opening);
            self.head = None;
        }
    }

    fn ended(&mut self, why: &str) {
        if self.head.take().is_some() {
            self.vital.opened(Opening::Failed(why.to_owned()));
        }
    }
}

impl Drop for Watched {
    /// HTTP/2 gave it up, perhaps because nothing could be written any more, before a read told why.
    fn drop(&mut self) {
        self.ended("it was lost");
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Io::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        };
        match &result {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.saw(&buf.filled()[before..]),
            Poll::Ready(Ok(())) => self.ended("it was closed"),
            Poll::Ready(Err(error)) => self.ended(&error.to_string()),
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Io::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Io::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_speaks() {
        assert_eq!(Opening::of(b"\0\0\x12\x04\0\0\0\0\0"), Some(Opening::Http2));
        assert_eq!(Opening::of(b"\0\0\x12\x04\0"), None);
        assert_eq!(Opening::of(b"\x15\x03\x03"), Some(Opening::Tls));
        assert_eq!(Opening::of(b"HTTP/1.1 "), Some(Opening::Http1));
        assert_eq!(Opening::of(b"220 smtp "), Some(Opening::Other));
        assert_eq!(Opening::of(b""), None);
    }
}
