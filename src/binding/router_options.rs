//! Options of `IntelligentRouter`. Types are checked here, ranges and contradictions in `routing`.

use std::sync::Arc;
use std::time::Duration;

use super::error::Outcome;
use super::options::Reader;
use super::service_call::JsHandler;
use super::service_registry::instance;
use super::stage::NativeStage;
use super::value::{Type, Value};
use crate::data::{Map, Packet, SessionId, Value as Json};
use crate::error::{Error, Result};
use crate::pipeline::{Confidence, Escalate, Judge, Node, RouterParts};
use crate::remote::BoxFuture;
use crate::remote::service::{CallInfo, Handler};
use crate::routing::{AdaptiveOptions, BatchOptions, BulkheadOptions, CostOptions, FallbackOptions, HedgeOptions, RoutingConfig, RoutingOptions};

/// How often the way to the cloud is measured while nothing else does, unless the options say otherwise.
const DEFAULT_PROBE_MS: f64 = 1_000.0;
const DAY_MS: f64 = 86_400_000.0;

/// Everything that makes a router.
pub struct Options {
    pub parts: RouterParts,
    pub config: RoutingConfig,
    pub warm_start: Option<Json>,
}

/// A function of the application that judges packets.
struct JsJudge {
    what: &'static str,
    handler: JsHandler,
}

impl Judge for JsJudge {
    fn judge(&self, packet: Packet, session: &SessionId) -> BoxFuture<'static, Result<Json>> {
        let info = CallInfo {
            node_type: self.what.to_owned(),
            config: Map::new(),
            session: Some(session.clone()),
            metadata: Vec::new(),
            traceparent: None,
            deadline: None,
            peer: None,
            cancel: crate::remote::CancellationToken::new(),
        };
        let answer = self.handler.execute(info, packet);
        Box::pin(async move {
            let packets = answer.await?;
            Ok(packets.first().map_or(Json::Null, |packet| serde_json::from_slice(&packet.bytes).unwrap_or(Json::Null)))
        })
    }
}

/// Reads all of them. Nodes and functions are what `js/router.js` made of the application's.
pub fn read(value: Value) -> Outcome<Options> {
    let mut reader = Reader::new(value, "")?;
    let options = routing(&mut reader)?;
    let complexity = match reader.any("complexity")? {
        None => (None, None),
        Some(value) => match value.as_number() {
            Some(number) => (Some(number), None),
            None if value.get_type() == Type::Object => (None, Some(judge("complexity", value)?)),
            None => return Err(reader.wrong("complexity", "a number from 0 to 1 or a function", value).into()),
        },
    };
    let options = RoutingOptions { complexity: complexity.0, ..options };
    let (mut preprocess, mut postprocess, mut escalate) = (None, None, None);
    if let Some(mut hybrid) = reader.object("hybrid")? {
        preprocess = stage(&mut hybrid, "preprocess")?;
        postprocess = stage(&mut hybrid, "postprocess")?;
        escalate = hybrid.any("escalate")?.map(|value| escalation(&hybrid, value)).transpose()?;
        hybrid.finish()?;
    }
    let given = |side: &str| Error::config(side, "must be given: a node");
    let edge = stage(&mut reader, "edge")?.ok_or_else(|| given("edge"))?;
    let cloud = stage(&mut reader, "cloud")?.ok_or_else(|| given("cloud"))?;
    let probe_ms = reader.number("probeIntervalMs")?.unwrap_or(DEFAULT_PROBE_MS);
    if !(0.0..=DAY_MS).contains(&probe_ms) {
        return Err(Error::config("probeIntervalMs", format!("must be 0 to {DAY_MS}, got {probe_ms}")).into());
    }
    let parts = RouterParts {
        name: reader.string("name")?.unwrap_or_else(|| "router".to_owned()),
        edge,
        cloud,
        preprocess,
        postprocess,
        escalate,
        complexity: complexity.1,
        probe_interval: Duration::from_secs_f64(probe_ms / 1e3),
    };
    let warm_start = reader.json("warmStart")?;
    reader.finish()?;
    Ok(Options { parts, config: RoutingConfig::new(options)?, warm_start })
}

fn routing(reader: &mut Reader) -> Outcome<RoutingOptions> {
    let mut options = RoutingOptions {
        strategy: reader.string("strategy")?,
        edge_max_bytes: reader.number("edgeMaxBytes")?,
        cloud_min_bytes: reader.number("cloudMinBytes")?,
        realtime: reader.flag("realtime")?,
        latency_budget_ms: reader.number("latencyBudgetMs")?,
        seed: reader.number("seed")?,
        ..RoutingOptions::default()
    };
    if let Some(mut cost) = reader.object("cost")? {
        options.cost = CostOptions {
            latency_ms: cost.number("latencyMs")?,
            cloud_call: cost.number("cloudCall")?,
            cloud_byte: cost.number("cloudByte")?,
            edge_ms: cost.number("edgeMs")?,
            error: cost.number("error")?,
        };
        cost.finish()?;
    }
    if let Some(mut adaptive) = switch(reader, "adaptive", |on| options.adaptive.enabled = Some(on))? {
        options.adaptive = AdaptiveOptions {
            enabled: adaptive.flag("enabled")?,
            exploration: adaptive.number("exploration")?,
            half_life_items: adaptive.number("halfLifeItems")?,
            hysteresis: adaptive.number("hysteresis")?,
        };
        adaptive.finish()?;
    }
    if let Some(mut breaker) = reader.object("circuitBreaker")? {
        options.circuit_breaker = super::remote_options::breaker(&mut breaker)?;
        breaker.finish()?;
    }
    if let Some(mut fallback) = switch(reader, "fallback", |on| options.fallback.enabled = Some(on))? {
        options.fallback = FallbackOptions {
            enabled: fallback.flag("enabled")?,
            after_ms: fallback.number("afterMs")?,
            budget_percent: fallback.number("budgetPercent")?,
        };
        fallback.finish()?;
    }
    if let Some(mut hedge) = reader.object("hedge")? {
        options.hedge = Some(HedgeOptions {
            percentile: hedge.number("percentile")?,
            max_percent: hedge.number("maxPercent")?,
            min_delay_ms: hedge.number("minDelayMs")?,
            delay_ms: hedge.number("delayMs")?,
        });
        hedge.finish()?;
    }
    if let Some(mut batch) = reader.object("batch")? {
        options.batch = Some(BatchOptions { max_items: batch.number("maxItems")?, max_delay_ms: batch.number("maxDelayMs")? });
        batch.finish()?;
    }
    if let Some(mut bulkhead) = reader.object("bulkhead")? {
        options.bulkhead =
            BulkheadOptions { edge: bulkhead.number("edge")?, cloud: bulkhead.number("cloud")?, max_queue: bulkhead.number("maxQueue")? };
        bulkhead.finish()?;
    }
    Ok(options)
}

/// An option that is a switch or an object of its own options.
fn switch(reader: &mut Reader, key: &'static str, set: impl FnOnce(bool)) -> Outcome<Option<Reader>> {
    let Some(value) = reader.any(key)? else { return Ok(None) };
    if let Some(on) = value.as_boolean() {
        set(on);
        return Ok(None);
    }
    if value.get_type() != Type::Object || value.is_array() {
        return Err(reader.wrong(key, "a boolean or an object", value).into());
    }
    Reader::new(value, &reader.full(key)).map(Some)
}

fn stage(reader: &mut Reader, key: &'static str) -> Outcome<Option<Arc<dyn Node>>> {
    let Some(value) = reader.any(key)? else { return Ok(None) };
    let stage = instance::<NativeStage>(value).ok_or_else(|| reader.wrong(key, "a node", value))?;
    Ok(Some(Arc::clone(&stage.node)))
}

fn judge(what: &'static str, value: Value) -> Outcome<Arc<dyn Judge>> {
    Ok(Arc::new(JsJudge { what, handler: JsHandler::new(value)? }))
}

fn escalation(hybrid: &Reader, value: Value) -> Outcome<Escalate> {
    if value.get_type() == Type::Object && value.get("execute")?.get_type() == Type::Function {
        return Ok(Escalate::Judge(judge("hybrid.escalate", value)?));
    }
    if value.get_type() != Type::Object || value.is_array() {
        return Err(hybrid.wrong("escalate", "a function or { confidence, low, high }", value).into());
    }
    let mut reader = Reader::new(value, &hybrid.full("escalate"))?;
    let path = reader.string("confidence")?.filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| Error::config(reader.full("confidence"), "must be given: where the number is in the edge's answer"))?;
    let (low, high) = (reader.number("low")?, reader.number("high")?);
    let bound =
        |value: Option<f64>, key: &str| value.filter(|value| value.is_finite()).ok_or_else(|| Error::config(reader.full(key), "must be a number"));
    let (low, high) = (bound(low, "low")?, bound(high, "high")?);
    if low >= high {
        return Err(Error::config(reader.full("low"), format!("must be below high ({high}), got {low}")).into());
    }
    reader.finish()?;
    Ok(Escalate::Confidence(Confidence { path, low, high }))
}
