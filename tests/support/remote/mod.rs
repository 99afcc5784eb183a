//! Servers that play RemoteMedia's, in this process: real tonic servers on real sockets, with the answers of the wire contract.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod proxy;
pub mod v0;
pub mod v1;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use remotemedia_wasmedge::data::{Format, Kind, Packet};
use remotemedia_wasmedge::error::Result;
use remotemedia_wasmedge::remote::pb::v0::RegisterPipelineRequest;
use remotemedia_wasmedge::remote::pb::v0::remote_execution_service_server::RemoteExecutionServiceServer;
use remotemedia_wasmedge::remote::pb::v1::PipelineManifest;
use remotemedia_wasmedge::remote::pb::v1::pipeline_execution_service_server::PipelineExecutionServiceServer;
use remotemedia_wasmedge::remote::pb::v1::streaming_pipeline_service_server::StreamingPipelineServiceServer;
use remotemedia_wasmedge::remote::{Client, RemoteConfig, RemoteOptions, RemoteStream, Scope};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::transport::server::Router;

/// Longest that anything may take before a test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a server saw, and what it is to do next.
#[derive(Default)]
pub struct Book {
    /// Calls by method.
    pub calls: Mutex<Vec<String>>,
    /// Metadata of the last call.
    pub metadata: Mutex<Vec<(String, String)>>,
    /// Addresses that calls came from.
    pub peers: Mutex<Vec<(String, SocketAddr)>>,
    /// Calls that wait and were given up by the client.
    pub dropped: AtomicUsize,
    /// Told when `dropped` grows.
    pub gone: Notify,
    /// Calls that are waiting.
    pub waiting: watch::Sender<usize>,
    /// How many calls fail with `UNAVAILABLE` before one goes well.
    pub failing: AtomicUsize,
    /// How many calls of `SlowOnce` wait before the others are answered at once.
    pub slow_first: AtomicUsize,
    /// Items that stream nodes received.
    pub received: AtomicUsize,
    /// Lets slow calls go.
    pub go: Notify,
    /// Objects by session, and the address of the connection that made each.
    pub objects: Mutex<Vec<(String, SocketAddr)>>,
    /// What generators give next.
    pub generators: Mutex<HashMap<String, u32>>,
    /// Told when a generator was closed.
    pub closed: Notify,
    /// The last manifest of protocol v1.
    pub manifest: Mutex<Option<PipelineManifest>>,
    /// Pipelines by id.
    pub pipelines: Mutex<Vec<(String, RegisterPipelineRequest)>>,
}

impl Book {
    /// How often a method was called.
    pub fn count(&self, method: &str) -> usize {
        self.calls.lock().iter().filter(|one| *one == method).count()
    }

    /// The last call's metadata by name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.metadata.lock().iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// Notes a call.
    pub fn note<T>(&self, method: &str, request: &tonic::Request<T>) {
        self.calls.lock().push(method.to_owned());
        let pairs = request.metadata().iter().filter_map(|entry| match entry {
            tonic::metadata::KeyAndValueRef::Ascii(key, value) => Some((key.to_string(), value.to_str().unwrap_or_default().to_owned())),
            tonic::metadata::KeyAndValueRef::Binary(..) => None,
        });
        *self.metadata.lock() = pairs.collect();
        if let Some(peer) = request.remote_addr() {
            self.peers.lock().push((method.to_owned(), peer));
        }
    }

    /// Until this many calls wait at the server.
    pub async fn until_waiting(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        tokio::time::timeout(PATIENCE, waiting.wait_for(|now| *now >= count)).await.expect("calls that wait").expect("the book");
    }

    /// The number of calls that wait, once it has not changed for a while.
    pub async fn until_quiet(&self) -> usize {
        let mut waiting = self.waiting.subscribe();
        while tokio::time::timeout(Duration::from_millis(300), waiting.changed()).await.is_ok() {}
        *waiting.borrow()
    }

    /// Until this many calls were given up.
    pub async fn until_dropped(&self, count: usize) {
        let wait = async {
            loop {
                let told = self.gone.notified();
                if self.dropped.load(Ordering::SeqCst) >= count {
                    return;
                }
                told.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("calls that were given up");
    }
}

/// A call at the server that waits until it is let go; says so when the client gives it up.
pub struct Waiting(pub Arc<Book>, pub bool);

impl Waiting {
    pub async fn wait(book: &Arc<Book>) {
        let go = book.go.notified();
        let mut waiting = Waiting(Arc::clone(book), false);
        book.waiting.send_modify(|count| *count += 1);
        go.await;
        waiting.1 = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|count| *count -= 1);
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
            self.0.gone.notify_waiters();
        }
    }
}

/// A running server.
pub struct Stage {
    pub address: SocketAddr,
    pub book: Arc<Book>,
    pub health: tonic_health::server::HealthReporter,
    stop: Option<oneshot::Sender<()>>,
    /// Its own threads, so that it can be killed with all its connections.
    runtime: Option<Runtime>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Which services a server has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    V0,
    V1,
    Nothing,
}

impl Stage {
    /// A server of protocol v0 on a port of its own.
    pub async fn v0() -> Self {
        Self::start(Speaks::V0, "127.0.0.1:0", Arc::default(), |server| server).await
    }

    /// A server of protocol v1.
    pub async fn v1() -> Self {
        Self::start(Speaks::V1, "127.0.0.1:0", Arc::default(), |server| server).await
    }

    /// A server at `address`, with its settings.
    pub async fn start(speaks: Speaks, address: &str, book: Arc<Book>, settings: impl FnOnce(Server) -> Server) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let (health, checks) = tonic_health::server::health_reporter();
        let router = router(settings(Server::builder()), speaks, &book).add_service(checks);
        let mut stage = Self::serve(listener, book, router);
        stage.health = health;
        stage
    }

    /// Serves what is in `router`.
    pub fn serve(listener: TcpListener, book: Arc<Book>, router: Router) -> Self {
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = listener.into_std().expect("a listener");
        runtime.spawn(async move {
            let ended = async { drop(stopped.await) };
            let listener = TcpListener::from_std(listener).expect("a listener");
            router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), ended).await.expect("the server runs");
        });
        let (health, _) = tonic_health::server::health_reporter();
        Self { address, book, health, stop: Some(stop), runtime: Some(runtime) }
    }

    /// Options of a client for it.
    pub fn options(&self) -> RemoteOptions {
        options(self.address)
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        client(self.options())
    }

    /// Lets it finish what is under way and tells its clients to go (GOAWAY).
    pub fn leave(&mut self) {
        drop(self.stop.take());
    }

    /// Ends it at once; connections break. Returns when its port is free.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().expect("killed once");
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.expect("ended");
    }
}

/// A service for every path.
#[derive(Clone)]
pub struct ByHand<S>(pub S);

impl<S> tonic::server::NamedService for ByHand<S> {
    const NAME: &'static str = "remotemedia.execution.RemoteExecutionService";
}

impl<S: tower::Service<R>, R> tower::Service<R> for ByHand<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

/// A body of these bytes and trailers.
pub fn body(bytes: &'static [u8], trailers: &[(&'static str, &'static str)]) -> tonic::body::Body {
    let mut frames = Vec::new();
    if !bytes.is_empty() {
        frames.push(http_body::Frame::data(bytes::Bytes::from_static(bytes)));
    }
    if !trailers.is_empty() {
        let map = trailers.iter().map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
        frames.push(http_body::Frame::trailers(map.collect()));
    }
    tonic::body::Body::new(Frames(frames.into_iter()))
}

struct Frames(std::vec::IntoIter<http_body::Frame<bytes::Bytes>>);

impl http_body::Body for Frames {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, tonic::Status>>> {
        std::task::Poll::Ready(self.0.next().map(Ok))
    }
}

fn router(mut server: Server, speaks: Speaks, book: &Arc<Book>) -> Router {
    let most = 1 << 30;
    match speaks {
        Speaks::V0 => {
            let service = RemoteExecutionServiceServer::new(v0::Stock(Arc::clone(book)));
            server.add_service(
                service
                    .max_decoding_message_size(most)
                    .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
                    .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
                    .send_compressed(tonic::codec::CompressionEncoding::Gzip),
            )
        }
        Speaks::V1 => server
            .add_service(PipelineExecutionServiceServer::new(v1::Stock(Arc::clone(book))))
            .add_service(StreamingPipelineServiceServer::new(v1::Stock(Arc::clone(book)))),
        Speaks::Nothing => server.add_routes(tonic::service::Routes::default()),
    }
}

/// Options of a client for `address`; one attempt per call unless a test wants more.
pub fn options(address: SocketAddr) -> RemoteOptions {
    RemoteOptions {
        host: Some(address.ip().to_string()),
        port: Some(f64::from(address.port())),
        max_retries: Some(0.0),
        timeout: Some(30.0),
        ..RemoteOptions::default()
    }
}

/// A client with these options.
pub fn client(options: RemoteOptions) -> Client {
    Client::new(RemoteConfig::new(options).expect("options")).expect("a client")
}

/// A JSON packet.
pub fn json(value: serde_json::Value) -> Packet {
    Packet::new(Format::Plain(Kind::Json), value.to_string().into_bytes())
}

/// What a packet of JSON or text holds.
pub fn value(packet: &Packet) -> serde_json::Value {
    match packet.kind() {
        Kind::Text => String::from_utf8_lossy(&packet.bytes).into(),
        Kind::Json => serde_json::from_slice(&packet.bytes).expect("JSON"),
        other => panic!("a packet of {}", other.name()),
    }
}

/// A scope with a timeout of its own.
pub fn within(millis: u64) -> Scope {
    Scope { timeout: Some(Duration::from_millis(millis)), ..Scope::default() }
}

/// What has arrived, up to `max`.
pub async fn receive(stream: &RemoteStream, max: usize) -> Result<Option<Vec<Packet>>> {
    let (tell, told) = oneshot::channel();
    stream.receive(max, Box::new(move |answer| drop(tell.send(answer))));
    tokio::time::timeout(PATIENCE, told).await.expect("an answer within a minute").expect("an answer")
}

/// Everything until the end: what came, and how it ended.
pub async fn drain(stream: &RemoteStream) -> (Vec<Packet>, Result<()>) {
    let mut all = Vec::new();
    loop {
        match receive(stream, 64).await {
            Ok(Some(packets)) => all.extend(packets),
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// Until there is room.
pub async fn room(stream: &RemoteStream) -> Result<()> {
    let (tell, told) = oneshot::channel();
    stream.room(Box::new(move |answer| drop(tell.send(answer))));
    tokio::time::timeout(PATIENCE, told).await.expect("an answer within a minute").expect("an answer")
}
