//! What a remote says about itself.

use serde_json::{Value, json};

use super::{Client, GET_STATUS, answer};
use crate::data::Packet;
use crate::error::{Code, Error, Result};
use crate::remote::channel::{Rpc, Scope};
use crate::remote::codec;
use crate::remote::config::Api;
use crate::remote::pb::v0;
use crate::remote::status;

const LIST_NODES: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/ListNodes", name: "ListNodes", safe: true };
const EXPORT: Rpc =
    Rpc { path: "/remotemedia.execution.RemoteExecutionService/ExportTypeScriptDefinitions", name: "ExportTypeScriptDefinitions", safe: true };
const CUSTOM_TASK: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/ExecuteCustomTask", name: "ExecuteCustomTask", safe: false };

/// Code to run on the remote, as RemoteMedia's packages have it.
#[derive(Clone, Debug, Default)]
pub struct CustomTask {
    /// A zip.
    pub code_package: bytes::Bytes,
    /// What in it is called.
    pub entry_point: String,
    /// Packages for pip.
    pub dependencies: Vec<String>,
}

impl Client {
    /// Refuses what only protocol v0 has.
    pub(super) async fn needs_v0(&self, scope: &Scope, what: &str) -> Result<()> {
        match self.api(scope).await? {
            Api::V0 => Ok(()),
            Api::V1 => Err(Error::config("api", format!("{what} is for protocol v0; this remote speaks v1"))),
        }
    }

    /// How the remote is: `{ status, version, uptimeSeconds, metrics?, activeSessions }`.
    pub async fn get_status(&self, include_metrics: bool, include_sessions: bool, scope: &Scope) -> Result<Value> {
        self.needs_v0(scope, "getStatus").await?;
        let reply: v0::StatusResponse = self.channels.call(&GET_STATUS, scope, || v0::StatusRequest { include_metrics, include_sessions }).await?;
        let sessions = reply.active_sessions.into_iter().map(|session| {
            json!({
                "sessionId": session.session_id,
                "nodeType": session.node_type,
                "createdTimestamp": session.created_timestamp,
                "lastActivity": session.last_activity,
                "processedItems": session.processed_items,
            })
        });
        let mut value = json!({
            "status": service_status(reply.status),
            "version": reply.version,
            "uptimeSeconds": reply.uptime_seconds,
            "activeSessions": sessions.collect::<Vec<_>>(),
        });
        if let Some(metrics) = reply.metrics {
            value["metrics"] = json!({
                "totalRequests": metrics.total_requests,
                "successfulRequests": metrics.successful_requests,
                "failedRequests": metrics.failed_requests,
                "averageDurationMs": metrics.average_duration_ms,
                "peakMemoryMb": metrics.peak_memory_mb,
                "activeSessions": metrics.active_sessions,
                "availableWorkers": metrics.available_workers,
                "busyWorkers": metrics.busy_workers,
                "cpuUsagePercent": metrics.cpu_usage_percent,
                "memoryUsagePercent": metrics.memory_usage_percent,
            });
        }
        Ok(value)
    }

    /// The node types of the remote, of one category where one is given. Protocol v1 knows their names only.
    pub async fn list_nodes(&self, category: Option<&str>, scope: &Scope) -> Result<Value> {
        if self.api(scope).await? == Api::V1 {
            let version = self.get_version(scope).await?;
            let types = version["supportedNodeTypes"].as_array().cloned().unwrap_or_default();
            let named = types.into_iter().map(|name| json!({ "nodeType": name, "category": "", "description": "", "parameters": [] }));
            return Ok(named.filter(|_| category.is_none()).collect());
        }
        let wanted = category.unwrap_or_default();
        let reply: v0::ListNodesResponse = self.channels.call(&LIST_NODES, scope, || v0::ListNodesRequest { category: wanted.to_owned() }).await?;
        let nodes = reply.available_nodes.into_iter().map(|node| {
            let parameters = node.parameters.into_iter().map(|parameter| {
                json!({
                    "name": parameter.name,
                    "type": parameter.r#type,
                    "description": parameter.description,
                    "required": parameter.required,
                    "defaultValue": parameter.default_value,
                    "sourceClass": parameter.source_class,
                })
            });
            json!({
                "nodeType": node.node_type,
                "category": node.category,
                "description": node.description,
                "parameters": parameters.collect::<Vec<_>>(),
            })
        });
        Ok(nodes.collect())
    }

    /// The definitions that the stock server gives in place of TypeScript: JSON with each node's parameters, methods and types.
    pub async fn export_definitions(&self, scope: &Scope) -> Result<Value> {
        self.needs_v0(scope, "exportTypeScriptDefinitions").await?;
        let reply: v0::ExportTypeScriptResponse =
            self.channels.call(&EXPORT, scope, || v0::ExportTypeScriptRequest { include_node_configs: true, include_examples: false }).await?;
        status::check_v0(reply.status, &reply.error_message, "")?;
        // Text that is no JSON is what the method's name promises.
        Ok(serde_json::from_str(&reply.typescript_definitions).unwrap_or(Value::String(reply.typescript_definitions)))
    }

    /// Runs code on the remote; the stock server has not learnt it yet and says so.
    pub async fn execute_custom_task(&self, task: &CustomTask, format: codec::PayloadFormat, input: Packet, scope: &Scope) -> Result<Packet> {
        self.needs_v0(scope, "executeCustomTask").await?;
        let wire = format.wire_for(&input);
        let payload = codec::encode(&input, wire, scope.session.as_ref())?;
        answer::sent(&self.channels, payload.len());
        let reply: v0::ExecuteCustomTaskResponse = self
            .channels
            .call(&CUSTOM_TASK, scope, || v0::ExecuteCustomTaskRequest {
                code_package: task.code_package.clone(),
                entry_point: task.entry_point.clone(),
                input_data: payload.clone(),
                serialization_format: wire.name().to_owned(),
                dependencies: task.dependencies.clone(),
                options: None,
            })
            .await?;
        status::check_v0(reply.status, &reply.error_message, &reply.error_traceback)?;
        answer::received(&self.channels, reply.output_data.len());
        Ok(answer::to(&input, answer::packet(&reply.output_data, wire, self.keeps_errors())?))
    }
}

fn service_status(status: i32) -> &'static str {
    use v0::ServiceStatus as S;
    match S::try_from(status) {
        Ok(S::Healthy) => "healthy",
        Ok(S::Degraded) => "degraded",
        Ok(S::Unhealthy) => "unhealthy",
        Ok(S::Starting) => "starting",
        Ok(S::Stopping) => "stopping",
        Ok(S::Unspecified) | Err(_) => "unknown",
    }
}

/// The error of an answer that lacks what it is for.
pub fn incomplete(rpc: &Rpc, what: &str) -> Error {
    Error::new(Code::Remote, format!("{}: the remote answered without {what}", rpc.name))
}
