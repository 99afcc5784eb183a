//! The service's life: from options to listening to closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::connection;
use super::core::{Core, close_sessions, tell};
use super::gate::GateLayer;
use super::handler::{NodeEntry, check_node_type};
use super::options::{ServiceConfig, ServiceOptions};
use super::rpc::Rpc;
use crate::data::{Map, Value};
use crate::error::{Code, Error, Result};
use crate::remote::pb::DESCRIPTORS;
use crate::remote::pb::v0::remote_execution_service_server::RemoteExecutionServiceServer;
use crate::remote::runtime;

/// A server of registered nodes.
pub struct Service {
    core: Arc<Core>,
    address: Mutex<Option<SocketAddr>>,
}

/// Bytes of unread requests: per stream as much as a fast link of some 10 ms needs, per connection a few of those. They bound what a client
/// can leave lying in the service's memory without a handler asking for it.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Time for the last frames to go out once all calls have ended.
const LAST_FRAMES: Duration = Duration::from_secs(2);

impl Service {
    /// Checks the options. Nothing listens yet.
    pub fn new(options: ServiceOptions) -> Result<Self> {
        Ok(Self { core: Core::new(ServiceConfig::new(options)?), address: Mutex::new(None) })
    }

    /// Offers a node under this name; also while listening. A name is taken once.
    pub fn register(&self, node_type: &str, entry: NodeEntry) -> Result<()> {
        check_node_type(node_type)?;
        let mut nodes = self.core.nodes.write();
        if nodes.contains_key(node_type) {
            return Err(Error::config("nodeType", format!("'{node_type}' is registered already")));
        }
        nodes.insert(node_type.to_owned(), Arc::new(entry));
        Ok(())
    }

    /// Starts to serve, and says where. Again, it says it again.
    pub async fn listen(&self) -> Result<SocketAddr> {
        let mut address = self.address.lock().await;
        if self.core.closing.is_cancelled() {
            return Err(Error::new(Code::Closed, "the service was closed"));
        }
        if let Some(address) = *address {
            return Ok(address);
        }
        let core = Arc::clone(&self.core);
        // Sockets belong to the runtime that they were opened on, and this may be awaited on any thread.
        let opened = runtime::spawn(async move {
            let listener = connection::listen(&core.config.host, core.config.port).await?;
            let bound = listener.local_addr().map_err(|error| Error::new(Code::Internal, error.to_string()))?;
            set_health(&core, ServingStatus::Serving).await;
            // Counted among its connections: the port is free when they are gone.
            tokio::spawn(core.connections.track_future(serve(Arc::clone(&core), listener)?));
            tokio::spawn(sweep(core));
            Ok(bound)
        })?;
        let bound = opened.await.unwrap_or_else(|_| Err(Error::new(Code::Internal, "the network's threads have ended")))?;
        *address = Some(bound);
        Ok(bound)
    }

    /// Stops. Health says so and nothing new is let in, not even connections; calls under way have `grace`, and are then cancelled. Again, it
    /// waits for the same, or for less.
    pub async fn close(&self, grace: Duration) {
        let core = Arc::clone(&self.core);
        match runtime::spawn(async move { close(&core, grace).await }) {
            // It does not panic, and the runtime never ends.
            Ok(task) => drop(task.await),
            Err(_) => self.core.kill.cancel(),
        }
    }

    /// Figures by name; see `metrics.rs`.
    pub fn metrics(&self) -> Map<String, Value> {
        self.core.metrics.snapshot(self.core.sessions.len(), self.core.memory.used())
    }
}

impl Drop for Service {
    /// Without `close`, everything ends at once.
    fn drop(&mut self) {
        for signal in [&self.core.closing, &self.core.stop, &self.core.cut, &self.core.kill] {
            signal.cancel();
        }
    }
}

async fn close(core: &Core, grace: Duration) {
    set_health(core, ServingStatus::NotServing).await;
    core.closing.cancel();
    core.calls.close();
    core.connections.close();
    let _ = tokio::time::timeout(grace, core.calls.wait()).await;
    core.stop.cancel();
    core.cut.cancel();
    // Ended calls still say so to their clients, who may not be listening.
    let _ = tokio::time::timeout(LAST_FRAMES, core.connections.wait()).await;
    core.kill.cancel();
    let _ = tokio::time::timeout(LAST_FRAMES, core.connections.wait()).await;
    let _ = tokio::time::timeout(grace.max(LAST_FRAMES), tell(core.sessions.drain())).await;
}

async fn set_health(core: &Core, status: ServingStatus) {
    for name in ["", <RemoteExecutionServiceServer<Rpc> as NamedService>::NAME] {
        core.health.set_service_status(name, status).await;
    }
}

/// Everything that is served, as a future that ends when the service and its connections have.
fn serve(core: Arc<Core>, listener: TcpListener) -> Result<impl Future<Output = ()>> {
    let limit = core.config.max_message_size;
    let nodes = RemoteExecutionServiceServer::new(Rpc(Arc::clone(&core)))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    let health = HealthServer::new(HealthService::from_health_reporter(core.health.clone()));
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(<RemoteExecutionServiceServer<Rpc> as NamedService>::NAME)
            .with_service_name("grpc.health.v1.Health")
            .with_service_name("grpc.reflection.v1.ServerReflection")
            .with_service_name("grpc.reflection.v1alpha.ServerReflection")
    };
    let broken = |error: tonic_reflection::server::Error| Error::new(Code::Internal, format!("reflection is unusable: {error}"));
    let reflection = describe().build_v1().map_err(broken)?;
    // What older tools ask for.
    let reflection_alpha = describe().build_v1alpha().map_err(broken)?;
    let routes = Routes::new(nodes).add_service(health).add_service(reflection).add_service(reflection_alpha);

    let mut server = Server::builder();
    if let Some(tls) = core.config.tls.clone() {
        server = server.tls_config(tls).map_err(|error| Error::config("tls", error))?;
    }
    let server = server
        .max_concurrent_streams(core.config.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(core.config.ping_interval))
        .http2_keepalive_timeout(Some(core.config.ping_timeout))
        .layer(GateLayer(Arc::clone(&core)))
        .add_routes(routes);
    let closing = core.closing.clone();
    let incoming = futures_util::stream::unfold((listener, core), |(listener, core)| async move {
        let connection = connection::accept(&listener, &core).await;
        Some((Ok::<_, std::io::Error>(connection), (listener, core)))
    });
    Ok(async move {
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, closing.cancelled_owned()).await {
            tracing::error!(target: "service", "serving ended: {error}");
        }
    })
}

/// Ends sessions that nobody has used for long.
async fn sweep(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(core.sessions.sweep_interval());
    while core.closing.run_until_cancelled(ticks.tick().map(drop)).await.is_some() {
        close_sessions(core.sessions.expired());
    }
}
