//! Services and clients for these tests, all in one process and over real sockets.

#![allow(dead_code, reason = "each file of tests uses its part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use remotemedia_wasmedge::data::{Bytes, Format, Kind, Packet};
use remotemedia_wasmedge::error::Result;
use remotemedia_wasmedge::remote::pb::v0;
use remotemedia_wasmedge::remote::pb::v0::remote_execution_service_client::RemoteExecutionServiceClient;
use remotemedia_wasmedge::remote::service::{CallInfo, Handler, ItemSink, ItemSource, NodeEntry, Service, ServiceLimitOptions, ServiceOptions};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

pub type Client = RemoteExecutionServiceClient<Channel>;

/// Nothing here takes this long; a test that hangs fails.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it ends")
}

/// A node that is a function of one item.
pub struct PerItem<F>(pub F);

impl<F> Handler for PerItem<F>
where
    F: Fn(CallInfo, Packet) -> Result<Vec<Packet>> + Send + Sync + 'static,
{
    fn execute(&self, info: CallInfo, input: Packet) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let done = (self.0)(info, input);
        Box::pin(async { done })
    }
}

/// A node that is an async function of one item.
pub struct Async<F>(pub F);

impl<F> Handler for Async<F>
where
    F: Fn(CallInfo, Packet) -> BoxFuture<'static, Result<Vec<Packet>>> + Send + Sync + 'static,
{
    fn execute(&self, info: CallInfo, input: Packet) -> BoxFuture<'static, Result<Vec<Packet>>> {
        (self.0)(info, input)
    }
}

/// A node that is an async function of a stream.
pub struct Streams<F>(pub F);

impl<F> Handler for Streams<F>
where
    F: Fn(CallInfo, ItemSource, ItemSink) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
{
    fn execute(&self, info: CallInfo, input: Packet) -> BoxFuture<'static, Result<Vec<Packet>>> {
        let (sink, collected) = ItemSink::collecting(1 << 20);
        let work = (self.0)(info, ItemSource::of(vec![input]), sink);
        Box::pin(collected.during(work))
    }

    fn stream(self: Arc<Self>, info: CallInfo, input: ItemSource, output: ItemSink) -> BoxFuture<'static, Result<()>> {
        (self.0)(info, input, output)
    }
}

/// A service at a free port, with these nodes.
pub struct Running {
    pub service: Service,
    pub address: SocketAddr,
}

pub fn options() -> ServiceOptions {
    ServiceOptions { port: Some(0.0), ..ServiceOptions::default() }
}

pub fn limited(limits: ServiceLimitOptions) -> ServiceOptions {
    ServiceOptions { limits, ..options() }
}

impl Running {
    pub async fn with(options: ServiceOptions, nodes: Vec<(&str, NodeEntry)>) -> Self {
        let service = Service::new(options).expect("options");
        for (name, entry) in nodes {
            service.register(name, entry).expect("a fresh name");
        }
        let address = service.listen().await.expect("a free port");
        Self { service, address }
    }

    pub async fn node(handler: impl Handler) -> Self {
        Self::with(options(), vec![("Node", NodeEntry::new(handler))]).await
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL")
    }

    pub async fn client(&self) -> Client {
        RemoteExecutionServiceClient::new(self.endpoint().connect().await.expect("a connection"))
    }

    /// A number in the service's metrics.
    pub fn metric(&self, path: &[&str]) -> u64 {
        let mut value = serde_json::Value::Object(self.service.metrics());
        for key in path {
            value = value.get(key).cloned().unwrap_or_default();
        }
        value.as_u64().unwrap_or_default()
    }

    /// Waits until a metric has this value.
    pub async fn until(&self, path: &[&str], wanted: u64) {
        within(async {
            while self.metric(path) != wanted {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

pub fn echo() -> NodeEntry {
    NodeEntry::new(PerItem(|_, packet| Ok(vec![packet])))
}

pub fn json(text: &str) -> Packet {
    Packet::new(Format::Plain(Kind::Json), text.to_owned())
}

pub fn request(node_type: &str, format: &str, input: impl Into<Bytes>) -> v0::ExecuteNodeRequest {
    v0::ExecuteNodeRequest {
        node_type: node_type.to_owned(),
        input_data: input.into(),
        serialization_format: format.to_owned(),
        ..v0::ExecuteNodeRequest::default()
    }
}

pub async fn execute(client: &mut Client, message: v0::ExecuteNodeRequest) -> v0::ExecuteNodeResponse {
    within(client.execute_node(message)).await.expect("an answer").into_inner()
}

pub fn init(node_type: &str, format: &str, config: &[(&str, &str)]) -> v0::StreamData {
    let config: BTreeMap<String, String> = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let init = v0::StreamInit { node_type: node_type.to_owned(), config, serialization_format: format.to_owned() };
    v0::StreamData { payload: Some(v0::stream_data::Payload::Init(init)), ..v0::StreamData::default() }
}

pub fn data(payload: impl Into<Bytes>) -> v0::StreamData {
    v0::StreamData { payload: Some(v0::stream_data::Payload::Data(payload.into())), ..v0::StreamData::default() }
}

/// A stream whose two halves are in the test's hands.
pub struct Talk {
    pub say: Option<mpsc::Sender<v0::StreamData>>,
    pub hear: Streaming<v0::StreamData>,
}

impl Talk {
    pub async fn begin(client: &mut Client, first: v0::StreamData) -> Self {
        let (say, said) = mpsc::channel(1);
        let hear = within(client.stream_node(ReceiverStream::new(said))).await.expect("headers").into_inner();
        within(say.send(first)).await.expect("a stream");
        Self { say: Some(say), hear }
    }

    pub async fn say(&self, payload: impl Into<Bytes>) {
        within(self.say.as_ref().expect("not finished").send(data(payload))).await.expect("a stream");
    }

    pub fn finish(&mut self) {
        self.say = None;
    }

    /// The next item's payload; the text of an in-band error; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Result<Bytes, String>>, Status> {
        let message = within(self.hear.message()).await?;
        Ok(message.map(|message| match message.payload {
            Some(v0::stream_data::Payload::Data(bytes)) => Ok(bytes),
            _ => Err(message.error_message),
        }))
    }

    /// An item's payload, as text.
    pub async fn item(&mut self) -> String {
        let item = self.next().await.expect("no status").expect("not the end").expect("no error");
        String::from_utf8(item.to_vec()).expect("text")
    }

    /// Everything that still comes.
    pub async fn rest(&mut self) -> Vec<Result<String, String>> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await.expect("no status") {
            all.push(item.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
        all
    }
}
