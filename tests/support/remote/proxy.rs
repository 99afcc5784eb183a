//! A TCP proxy that does to connections what networks do: delays, silence, resets, slowness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// They pass.
    Fair,
    /// Each piece passes this much later.
    Late(Duration),
    /// They vanish in both directions, the connections stay.
    Hole,
    /// Those of the server vanish; its end of the connection is not passed on either.
    HalfOpen,
    /// One byte at a time.
    Drip,
    /// Connections are reset.
    Reset,
    /// Connections are closed.
    Close,
}

/// A running proxy.
pub struct Proxy {
    pub address: SocketAddr,
    mood: watch::Sender<Mood>,
    target: watch::Sender<SocketAddr>,
    connections: Arc<std::sync::atomic::AtomicUsize>,
}

impl Proxy {
    /// Before `target`.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (mood, feel) = watch::channel(Mood::Fair);
        let (target, aim) = watch::channel(target);
        let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let (feel, target) = (feel.clone(), *aim.borrow());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(target).await {
                        pass(client, server, feel).await;
                    }
                });
            }
        });
        Self { address, mood, target, connections }
    }

    /// From now on, for connections that are open and for new ones.
    pub fn feel(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// New connections go here.
    pub fn aim(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(std::sync::atomic::Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, server: TcpStream, mood: watch::Receiver<Mood>) {
    for end in [&client, &server] {
        end.set_nodelay(true).expect("a socket");
    }
    let mut torn = mood.clone();
    // A reset needs the whole socket, not its halves: they are put together again at the end.
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let up = tokio::spawn(copy(client_in, server_out, mood.clone(), false));
    let down = tokio::spawn(copy(server_in, client_out, mood, true));
    let tear = torn.wait_for(|mood| matches!(mood, Mood::Reset | Mood::Close));
    let reset = match tear.await {
        Ok(mood) => *mood == Mood::Reset,
        Err(_) => false,
    };
    let (up, down) = (up.await.expect("a task"), down.await.expect("a task"));
    let (client_in, server_out) = up;
    let (server_in, client_out) = down;
    for (reader, writer) in [(client_in, client_out), (server_in, server_out)] {
        let socket = reader.reunite(writer).expect("two halves of one socket");
        if reset {
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket");
        }
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mood: watch::Receiver<Mood>, down: bool) -> (OwnedReadHalf, OwnedWriteHalf) {
    let mut bytes = vec![0; 16_384];
    loop {
        let now = *mood.borrow_and_update();
        if matches!(now, Mood::Reset | Mood::Close) {
            return (from, to);
        }
        let read = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            changed = mood.changed() => if changed.is_ok() { continue } else { return (from, to) },
        };
        let now = *mood.borrow();
        let vanish = now == Mood::Hole || (now == Mood::HalfOpen && down);
        if read == 0 {
            if !vanish {
                let _ = to.shutdown().await;
            }
            // Only a tear ends it now.
            let _ = mood.wait_for(|mood| matches!(mood, Mood::Reset | Mood::Close)).await;
            return (from, to);
        }
        let piece = &bytes[..read];
        let done = match now {
            _ if vanish => Ok(()),
            Mood::Late(by) => {
                tokio::time::sleep(by).await;
                to.write_all(piece).await
            }
            Mood::Drip => drip(&mut to, piece, &mood).await,
            _ => to.write_all(piece).await,
        };
        if done.is_err() {
            let _ = mood.wait_for(|mood| matches!(mood, Mood::Reset | Mood::Close)).await;
            return (from, to);
        }
    }
}

async fn drip(to: &mut OwnedWriteHalf, piece: &[u8], mood: &watch::Receiver<Mood>) -> std::io::Result<()> {
    for (index, byte) in piece.iter().enumerate() {
        if *mood.borrow() != Mood::Drip {
            return to.write_all(&piece[index..]).await;
        }
        to.write_all(std::slice::from_ref(byte)).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
