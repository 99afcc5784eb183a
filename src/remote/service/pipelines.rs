//! Pipelines that clients register: a line of registered nodes under one id.
//!
//! Problem: definitions come from strangers and name nodes, connections and even other servers. Answer: a definition is checked when it
//! arrives: its nodes must be registered here and make one line, by its connections or, where it has none, by their order; configuration is
//! read as for single nodes. Nodes on other servers are refused: whom this process calls is not for its clients to say. The table is bounded
//! and lives in memory. How a pipeline runs is in `pipeline_run.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;

use super::core::{Core, unix_ms};
use super::fault::{Fault, fault};
use super::handler::NodeEntry;
use crate::data::{Map, Value};
use crate::error::{Code, Error, Result};
use crate::observe::{Counter, Timer};
use crate::remote::codec::parse_config;
use crate::remote::pb::v0;

/// Most pipelines, of all clients together, and nodes of one.
const MAX_PIPELINES: usize = 1_000;
const MAX_NODES: usize = 64;
/// Longest name in bytes.
const MAX_NAME: usize = 256;
/// Category of pipelines that do not say one, as on the stock server.
const CATEGORY: &str = "general";
/// The stock client's own ends of a pipeline: what comes from the client and goes to it passes through them unchanged.
const ENDS: [&str; 2] = ["DataSourceNode", "DataSinkNode"];

/// One node of a pipeline.
pub struct Stage {
    /// Its type.
    pub node_type: String,
    /// Its configuration.
    pub config: Map<String, Value>,
    /// What does the work.
    pub entry: Arc<NodeEntry>,
}

/// A registered pipeline.
pub struct Pipeline {
    /// The service's name for it.
    pub id: String,
    /// Its nodes in the order of the items.
    pub stages: Vec<Stage>,
    /// Whether an execution answers with a list of all results.
    pub streaming: bool,
    info: v0::PipelineInfo,
    runs: Counter,
    errors: Counter,
    took: Timer,
    last_run_ms: AtomicI64,
}

impl Pipeline {
    /// Counts a run.
    pub fn ran(&self, took: Duration, ok: bool) {
        self.runs.add(1);
        self.errors.add(u64::from(!ok));
        self.took.add(took);
        self.last_run_ms.store(unix_ms(SystemTime::now()), Ordering::Relaxed);
    }

    fn info(&self, with_definition: bool) -> v0::PipelineInfo {
        v0::PipelineInfo {
            usage_count: i32::try_from(self.runs.get()).unwrap_or(i32::MAX),
            definition: self.info.definition.clone().filter(|_| with_definition),
            ..self.info.clone()
        }
    }

    fn metrics(&self) -> v0::PipelineMetrics {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        v0::PipelineMetrics {
            total_executions: number(self.runs.get()),
            total_errors: number(self.errors.get()),
            average_execution_time_ms: self.took.mean().as_secs_f64() * 1_000.0,
            last_execution_timestamp: self.last_run_ms.load(Ordering::Relaxed) / 1_000,
        }
    }
}

/// The registered pipelines.
#[derive(Default)]
pub struct Pipelines {
    table: RwLock<BTreeMap<String, Arc<Pipeline>>>,
    next: AtomicU64,
}

impl Pipelines {
    /// The pipeline with this id.
    pub fn get(&self, id: &str) -> Result<Arc<Pipeline>> {
        self.table.read().get(id).cloned().ok_or_else(|| not_found(id))
    }
}

fn not_found(id: &str) -> Error {
    let id: String = id.chars().take(300).collect();
    wrong(format!("Pipeline not found: {}", id.escape_debug()))
}

/// `RegisterPipeline`
pub fn register(core: &Core, request: v0::RegisterPipelineRequest) -> v0::RegisterPipelineResponse {
    match accept(core, request) {
        Ok((pipeline_id, at_ms)) => v0::RegisterPipelineResponse {
            status: v0::ExecutionStatus::Success.into(),
            pipeline_id,
            registered_timestamp: at_ms / 1_000,
            ..v0::RegisterPipelineResponse::default()
        },
        Err(error) => {
            let fault = told(core, &error);
            v0::RegisterPipelineResponse { status: fault.status.into(), error_message: fault.message, ..v0::RegisterPipelineResponse::default() }
        }
    }
}

fn accept(core: &Core, request: v0::RegisterPipelineRequest) -> Result<(String, i64)> {
    let definition = request.definition.ok_or_else(|| wrong("a definition is needed"))?;
    let name = if request.pipeline_name.is_empty() { &definition.name } else { &request.pipeline_name };
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(wrong(format!("the name must be 1 to {MAX_NAME} bytes of text without control characters")));
    }
    let stages = stages(core, &definition)?;
    let now = unix_ms(SystemTime::now());
    let mut table = core.pipelines.table.write();
    if table.len() >= MAX_PIPELINES {
        return Err(Error::new(Code::PoolExhausted, format!("{MAX_PIPELINES} pipelines are registered, and no more are taken")));
    }
    let mut id = format!("pipeline_{name}_{now}");
    while table.contains_key(&id) {
        id = format!("pipeline_{name}_{now}_{}", core.pipelines.next.fetch_add(1, Ordering::Relaxed));
    }
    let streaming = definition.nodes.iter().any(|node| node.is_streaming);
    let metadata = request.metadata;
    let info = v0::PipelineInfo {
        pipeline_id: id.clone(),
        name: name.clone(),
        category: metadata.get("category").cloned().unwrap_or_else(|| CATEGORY.to_owned()),
        description: metadata.get("description").cloned().unwrap_or_default(),
        registered_timestamp: now / 1_000,
        usage_count: 0,
        metadata,
        definition: Some(definition),
    };
    let pipeline = Pipeline {
        id: id.clone(),
        stages,
        streaming,
        info,
        runs: Counter::default(),
        errors: Counter::default(),
        took: Timer::default(),
        last_run_ms: AtomicI64::new(0),
    };
    table.insert(id.clone(), Arc::new(pipeline));
    Ok((id, now))
}

fn wrong(problem: impl Into<String>) -> Error {
    Error::new(Code::Config, problem)
}

/// The nodes of a definition in the order of the items.
fn stages(core: &Core, definition: &v0::PipelineDefinition) -> Result<Vec<Stage>> {
    if definition.nodes.is_empty() || definition.nodes.len() > MAX_NODES {
        return Err(wrong(format!("a pipeline has 1 to {MAX_NODES} nodes, this one has {}", definition.nodes.len())));
    }
    let mut stages = Vec::new();
    for index in order(definition)? {
        let node = &definition.nodes[index];
        if node.is_remote || !node.remote_endpoint.is_empty() {
            let problem = format!("node '{}' is to run on another server; this one runs registered nodes only", node.node_id.escape_debug());
            return Err(wrong(problem));
        }
        let config = parse_config(&node.config);
        match core.node(&node.node_type) {
            Ok(entry) => stages.push(Stage { node_type: node.node_type.clone(), config, entry }),
            Err(_) if ENDS.contains(&node.node_type.as_str()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(stages)
}

/// Positions of the nodes in the order of the connections; in their own where there are none.
fn order(definition: &v0::PipelineDefinition) -> Result<Vec<usize>> {
    let mut positions = BTreeMap::new();
    for (index, node) in definition.nodes.iter().enumerate() {
        if positions.insert(node.node_id.as_str(), index).is_some() && !definition.connections.is_empty() {
            return Err(wrong(format!("two nodes have the id '{}'", node.node_id.escape_debug())));
        }
    }
    if definition.connections.is_empty() {
        return Ok((0..definition.nodes.len()).collect());
    }
    let (mut next, mut targets) = (BTreeMap::new(), BTreeSet::new());
    for connection in &definition.connections {
        let position =
            |id: &str| positions.get(id).copied().ok_or_else(|| wrong(format!("a connection names the unknown node '{}'", id.escape_debug())));
        let (from, to) = (position(&connection.from_node)?, position(&connection.to_node)?);
        if next.insert(from, to).is_some() || !targets.insert(to) {
            return Err(wrong("only pipelines that are one line are taken: a node has two connections at one end"));
        }
    }
    let start = (0..definition.nodes.len()).find(|index| !targets.contains(index)).ok_or_else(|| wrong("the connections make a circle"))?;
    let mut line = vec![start];
    // A circle has no start, so this ends; a circle beside the line leaves nodes out.
    while let Some(following) = line.last().and_then(|last| next.get(last)) {
        line.push(*following);
    }
    if line.len() != definition.nodes.len() {
        return Err(wrong("only pipelines that are one line are taken: some nodes are not connected with the others"));
    }
    Ok(line)
}

/// `UnregisterPipeline`; runs under way end by themselves.
pub fn unregister(core: &Core, id: &str) -> v0::UnregisterPipelineResponse {
    if core.pipelines.table.write().remove(id).is_some() {
        return v0::UnregisterPipelineResponse { status: v0::ExecutionStatus::Success.into(), ..v0::UnregisterPipelineResponse::default() };
    }
    let fault = told(core, &not_found(id));
    v0::UnregisterPipelineResponse { status: fault.status.into(), error_message: fault.message }
}

/// `ListPipelines`
pub fn list(core: &Core, request: &v0::ListPipelinesRequest) -> v0::ListPipelinesResponse {
    let table = core.pipelines.table.read();
    let wanted = table.values().filter(|pipeline| request.category.is_empty() || pipeline.info.category == request.category);
    v0::ListPipelinesResponse { pipelines: wanted.map(|pipeline| pipeline.info(request.include_definitions)).collect() }
}

/// `GetPipelineInfo`
pub fn info(core: &Core, request: &v0::GetPipelineInfoRequest) -> v0::GetPipelineInfoResponse {
    match core.pipelines.get(&request.pipeline_id) {
        Ok(pipeline) => v0::GetPipelineInfoResponse {
            status: v0::ExecutionStatus::Success.into(),
            pipeline_info: Some(pipeline.info(request.include_definition)),
            metrics: request.include_metrics.then(|| pipeline.metrics()),
            error_message: String::new(),
        },
        Err(error) => {
            let fault = told(core, &error);
            v0::GetPipelineInfoResponse { status: fault.status.into(), error_message: fault.message, ..v0::GetPipelineInfoResponse::default() }
        }
    }
}

fn told(core: &Core, error: &Error) -> Fault {
    let fault = fault(error);
    core.metrics.error(fault.category);
    fault
}
