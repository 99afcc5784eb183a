//! Options of a router's policy, checked once.
//!
//! Thresholds that were given are rules; those that were not are where learning starts. The program that reads them from JavaScript is
//! `binding/router_options.rs`; paths in errors are those of JavaScript's options.

use std::time::Duration;

use super::breaker::{BreakerConfig, MAX_PROBES, MAX_WINDOW};
use super::{Strategy, Target};
use crate::error::{Error, Result};

/// `cost`: weights of one sum.
#[derive(Clone, Debug, Default)]
pub struct CostOptions {
    /// Per millisecond of latency; 1 by default.
    pub latency_ms: Option<f64>,
    /// Per call to the cloud; 0 by default.
    pub cloud_call: Option<f64>,
    /// Per byte sent there; 0 by default.
    pub cloud_byte: Option<f64>,
    /// Per millisecond of work at the edge; 0 by default.
    pub edge_ms: Option<f64>,
    /// Per failure; 1000 by default.
    pub error: Option<f64>,
}

/// `adaptive`.
#[derive(Clone, Debug, Default)]
pub struct AdaptiveOptions {
    /// Whether to learn at all; yes by default.
    pub enabled: Option<bool>,
    /// Share of the running cost that may go into exploring; 0.01 by default.
    pub exploration: Option<f64>,
    /// Observations of a side after which one counts half; 200 by default.
    pub half_life_items: Option<f64>,
    /// Share by which the other side must be better; 0.05 by default.
    pub hysteresis: Option<f64>,
}

/// `circuitBreaker`; see [`BreakerConfig`] for the defaults.
#[derive(Clone, Debug, Default)]
pub struct BreakerOptions {
    /// Failures in a row.
    pub failure_threshold: Option<f64>,
    /// Share of failures, 0 to 1.
    pub failure_rate: Option<f64>,
    /// Calls before the share counts.
    pub minimum_calls: Option<f64>,
    /// Calls that the share is of.
    pub window_items: Option<f64>,
    /// Probes that close it.
    pub success_threshold: Option<f64>,
    /// Time before a probe.
    pub reset_timeout_ms: Option<f64>,
    /// Probes at the same time.
    pub probes: Option<f64>,
}

/// `fallback`.
#[derive(Clone, Debug, Default)]
pub struct FallbackOptions {
    /// Whether the other side is tried after a failure; yes by default.
    pub enabled: Option<bool>,
    /// Time after which a side is given up for the other.
    pub after_ms: Option<f64>,
    /// Most fallbacks to the cloud, in percent of the items; no limit by default.
    pub budget_percent: Option<f64>,
}

/// `hedge`.
#[derive(Clone, Debug, Default)]
pub struct HedgeOptions {
    /// Of the cloud's latency; what `max_percent` leaves by default, 98.
    pub percentile: Option<f64>,
    /// Most second requests, in percent; 2 by default.
    pub max_percent: Option<f64>,
    /// Never sooner than this; 1 by default.
    pub min_delay_ms: Option<f64>,
    /// A fixed time in place of the percentile.
    pub delay_ms: Option<f64>,
}

/// `batch`.
#[derive(Clone, Debug, Default)]
pub struct BatchOptions {
    /// Items that travel together at most.
    pub max_items: Option<f64>,
    /// How long the first of them waits at most.
    pub max_delay_ms: Option<f64>,
}

/// `bulkhead`.
#[derive(Clone, Debug, Default)]
pub struct BulkheadOptions {
    /// Items at the edge at once; no limit by default.
    pub edge: Option<f64>,
    /// Items in the cloud at once; no limit by default.
    pub cloud: Option<f64>,
    /// Items that wait for either; 64 by default.
    pub max_queue: Option<f64>,
}

/// Options as the caller gave them; `None` means the default.
#[derive(Clone, Debug, Default)]
pub struct RoutingOptions {
    /// Name of a [`Strategy`]; `auto` by default.
    pub strategy: Option<String>,
    /// Items up to this run at the edge.
    pub edge_max_bytes: Option<f64>,
    /// Items from this on run in the cloud.
    pub cloud_min_bytes: Option<f64>,
    /// Of every item, 0 to 1.
    pub complexity: Option<f64>,
    /// Whether in time is better than cheap.
    pub realtime: Option<bool>,
    /// What an answer should take at most.
    pub latency_budget_ms: Option<f64>,
    /// What better means.
    pub cost: CostOptions,
    /// Learning.
    pub adaptive: AdaptiveOptions,
    /// Of each side.
    pub circuit_breaker: BreakerOptions,
    /// To the other side.
    pub fallback: FallbackOptions,
    /// Second requests; none by default.
    pub hedge: Option<HedgeOptions>,
    /// Items that travel together; none by default.
    pub batch: Option<BatchOptions>,
    /// Limits of each side.
    pub bulkhead: BulkheadOptions,
    /// Of what is random.
    pub seed: Option<f64>,
}

/// See [`CostOptions`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub latency_ms: f64,
    pub cloud_call: f64,
    pub cloud_byte: f64,
    pub edge_ms: f64,
    pub error: f64,
}

/// See [`AdaptiveOptions`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    pub enabled: bool,
    pub exploration: f64,
    pub half_life_items: f64,
    pub hysteresis: f64,
}

/// See [`HedgeOptions`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgeConfig {
    pub percentile: f64,
    pub max_percent: f64,
    pub min_delay: Duration,
    pub delay: Option<Duration>,
}

/// See [`BatchOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    pub max_items: usize,
    pub max_delay: Duration,
}

/// Checked options with every default filled in.
#[derive(Clone, Debug)]
pub struct RoutingConfig {
    pub(super) strategy: Strategy,
    pub(super) edge_max_bytes: u64,
    pub(super) cloud_min_bytes: u64,
    /// Whether they were given, and so are rules.
    pub(super) edge_max_given: bool,
    pub(super) cloud_min_given: bool,
    pub(super) complexity: Option<f64>,
    pub(super) realtime: bool,
    pub(super) latency_budget_ms: Option<f64>,
    pub(super) cost: Cost,
    pub(super) adaptive: Adaptive,
    pub(super) breaker: BreakerConfig,
    pub(super) fallback: bool,
    pub(super) fallback_after: Option<Duration>,
    pub(super) fallback_budget_percent: Option<f64>,
    pub(super) hedge: Option<HedgeConfig>,
    pub(super) batch: Option<BatchConfig>,
    in_flight: [Option<u32>; 2],
    queue_max: u32,
    pub(super) seed: u64,
}

/// Where learning starts: small items are cheap here, large ones are worth the way.
const EDGE_MAX_BYTES: u64 = 100 << 10;
const CLOUD_MIN_BYTES: u64 = 10 << 20;
/// Complexity below which the edge, and above which the cloud is taken.
pub(super) const SIMPLE: f64 = 0.3;
pub(super) const COMPLEX: f64 = 0.8;
const DAY_MS: f64 = 86_400_000.0;
/// 2^53: beyond it JavaScript's numbers are not whole.
const MAX_BYTES: f64 = 9_007_199_254_740_992.0;

fn ranged(path: &str, given: Option<f64>, default: f64, low: f64, high: f64) -> Result<f64> {
    let value = given.unwrap_or(default);
    if value >= low && value <= high { Ok(value) } else { Err(Error::config(path, format!("must be {low} to {high}, got {value}"))) }
}

fn whole(path: &str, given: Option<f64>, default: f64, low: f64, high: f64) -> Result<f64> {
    let value = ranged(path, given, default, low, high)?;
    if value.fract() == 0.0 { Ok(value) } else { Err(Error::config(path, format!("must be a whole number, got {value}"))) }
}

fn millis(path: &str, given: Option<f64>, low: f64) -> Result<Option<Duration>> {
    given.map(|given| ranged(path, Some(given), low, low, DAY_MS).map(|value| Duration::from_secs_f64(value / 1e3))).transpose()
}

/// Reads the options of a breaker; `path` is where they are.
pub fn breaker(options: &BreakerOptions, path: &str) -> Result<BreakerConfig> {
    let defaults = BreakerConfig::default();
    let at = |key: &str| format!("{path}.{key}");
    let count = |key: &str, given, default: u32, high: f64| whole(&at(key), given, f64::from(default), 1.0, high).map(|value| value as u32);
    let config = BreakerConfig {
        failure_threshold: count("failureThreshold", options.failure_threshold, defaults.failure_threshold, 1e6)?,
        failure_rate: options.failure_rate.map(|rate| ranged(&at("failureRate"), Some(rate), rate, 0.01, 1.0)).transpose()?,
        window_items: count("windowItems", options.window_items, defaults.window_items, f64::from(MAX_WINDOW))?,
        minimum_calls: count(
            "minimumCalls",
            options.minimum_calls,
            defaults.minimum_calls.min(options.window_items.map_or(u32::MAX, |w| w as u32)),
            f64::from(MAX_WINDOW),
        )?,
        success_threshold: count("successThreshold", options.success_threshold, defaults.success_threshold, 1e6)?,
        reset_timeout: millis(&at("resetTimeoutMs"), options.reset_timeout_ms, 1.0)?.unwrap_or(defaults.reset_timeout),
        probes: count("probes", options.probes, defaults.probes, MAX_PROBES as f64)?,
    };
    if config.minimum_calls > config.window_items {
        let problem = format!("must not be more than windowItems ({}), got {}", config.window_items, config.minimum_calls);
        return Err(Error::config(at("minimumCalls"), problem));
    }
    Ok(config)
}

impl RoutingConfig {
    /// Checks the options.
    pub fn new(options: RoutingOptions) -> Result<Self> {
        let strategy = match options.strategy.as_deref() {
            None => Strategy::Auto,
            Some(name) => Strategy::from_name(name).ok_or_else(|| {
                let names = Strategy::ALL.map(|strategy| format!("'{}'", strategy.name())).join(", ");
                Error::config("strategy", format!("must be one of {names}, got '{name}'"))
            })?,
        };
        let edge_max = whole("edgeMaxBytes", options.edge_max_bytes, EDGE_MAX_BYTES as f64, 0.0, MAX_BYTES)?;
        let cloud_min = whole("cloudMinBytes", options.cloud_min_bytes, CLOUD_MIN_BYTES as f64, 0.0, MAX_BYTES)?;
        // Only one given: the other default makes room for it.
        let (edge_max, cloud_min) = match (options.edge_max_bytes, options.cloud_min_bytes) {
            (Some(_), Some(_)) if edge_max >= cloud_min => {
                let problem = format!("must be below cloudMinBytes ({cloud_min}), or an item would belong to both sides, got {edge_max}");
                return Err(Error::config("edgeMaxBytes", problem));
            }
            (Some(_), None) => (edge_max, cloud_min.max(edge_max + 1.0)),
            (None, Some(_)) => (edge_max.min((cloud_min - 1.0).max(0.0)), cloud_min),
            _ => (edge_max, cloud_min),
        };
        let weight = |key: &str, given: Option<f64>, default: f64| ranged(&format!("cost.{key}"), given, default, 0.0, 1e9);
        let cost = Cost {
            latency_ms: weight("latencyMs", options.cost.latency_ms, 1.0)?,
            cloud_call: weight("cloudCall", options.cost.cloud_call, 0.0)?,
            cloud_byte: weight("cloudByte", options.cost.cloud_byte, 0.0)?,
            edge_ms: weight("edgeMs", options.cost.edge_ms, 0.0)?,
            error: weight("error", options.cost.error, 1_000.0)?,
        };
        if cost.latency_ms == 0.0 && cost.cloud_call == 0.0 && cost.cloud_byte == 0.0 && cost.edge_ms == 0.0 {
            return Err(Error::config("cost", "must give a weight to something: with all at 0 no side is better"));
        }
        let adaptive = Adaptive {
            enabled: options.adaptive.enabled.unwrap_or(true),
            exploration: ranged("adaptive.exploration", options.adaptive.exploration, 0.01, 0.0, 0.5)?,
            half_life_items: ranged("adaptive.halfLifeItems", options.adaptive.half_life_items, 200.0, 4.0, 1e6)?,
            hysteresis: ranged("adaptive.hysteresis", options.adaptive.hysteresis, 0.05, 0.0, 1.0)?,
        };
        let latency_budget_ms = options.latency_budget_ms.map(|budget| ranged("latencyBudgetMs", Some(budget), budget, 0.1, DAY_MS)).transpose()?;
        let batch = batch(options.batch.as_ref(), latency_budget_ms)?;
        let fallback = options.fallback.enabled.unwrap_or(true);
        let fallback_after = millis("fallback.afterMs", options.fallback.after_ms, 1.0)?;
        if !fallback && fallback_after.is_some() {
            return Err(Error::config("fallback.afterMs", "says when to fall back, but fallback.enabled is false"));
        }
        let places = |key: &str, given: Option<f64>| -> Result<Option<u32>> {
            given.map(|given| whole(&format!("bulkhead.{key}"), Some(given), given, 1.0, 1e6).map(|value| value as u32)).transpose()
        };
        let hedge = hedge(options.hedge.as_ref())?;
        if strategy == Strategy::EdgeFirst && hedge.is_some() {
            return Err(Error::config("hedge", "is for requests to the cloud, which the strategy 'edge-first' makes only after a failure"));
        }
        Ok(Self {
            strategy,
            edge_max_bytes: edge_max as u64,
            cloud_min_bytes: cloud_min as u64,
            edge_max_given: options.edge_max_bytes.is_some(),
            cloud_min_given: options.cloud_min_bytes.is_some(),
            complexity: options.complexity.map(|value| ranged("complexity", Some(value), value, 0.0, 1.0)).transpose()?,
            realtime: options.realtime.unwrap_or(false),
            latency_budget_ms,
            cost,
            adaptive,
            breaker: breaker(&options.circuit_breaker, "circuitBreaker")?,
            fallback,
            fallback_after,
            fallback_budget_percent: options
                .fallback
                .budget_percent
                .map(|value| ranged("fallback.budgetPercent", Some(value), value, 0.0, 100.0))
                .transpose()?,
            hedge,
            batch,
            in_flight: [places("edge", options.bulkhead.edge)?, places("cloud", options.bulkhead.cloud)?],
            queue_max: whole("bulkhead.maxQueue", options.bulkhead.max_queue, 64.0, 0.0, 1e6)? as u32,
            seed: whole("seed", options.seed, 0.0, 0.0, MAX_BYTES)? as u64,
        })
    }

    /// How items are routed.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Of every item, where it is the same for all.
    pub fn complexity(&self) -> Option<f64> {
        self.complexity
    }

    /// Whether the other side is tried after a failure.
    pub fn falls_back(&self) -> bool {
        self.fallback
    }

    /// Time after which a side is given up for the other.
    pub fn fallback_after(&self) -> Option<Duration> {
        self.fallback_after
    }

    /// How items travel together, where they do.
    pub fn batch(&self) -> Option<BatchConfig> {
        self.batch
    }

    /// Items that a side may have at once.
    pub fn in_flight_max(&self, target: Target) -> Option<u32> {
        self.in_flight[target as usize]
    }

    /// Items that may wait for a side.
    pub fn queue_max(&self) -> u32 {
        self.queue_max
    }
}

fn batch(options: Option<&BatchOptions>, budget_ms: Option<f64>) -> Result<Option<BatchConfig>> {
    let Some(options) = options else { return Ok(None) };
    let needed = |key: &str, given: Option<f64>| given.ok_or_else(|| Error::config(format!("batch.{key}"), "must be given"));
    let items = needed("maxItems", options.max_items)?;
    let delay_ms = needed("maxDelayMs", options.max_delay_ms)?;
    let max_items = whole("batch.maxItems", Some(items), items, 1.0, 4_096.0)? as usize;
    let max_delay = millis("batch.maxDelayMs", Some(delay_ms), 0.1)?.unwrap_or_default();
    if let Some(budget) = budget_ms.filter(|budget| delay_ms >= *budget) {
        return Err(Error::config("batch.maxDelayMs", format!("must be below latencyBudgetMs ({budget}), got {delay_ms}")));
    }
    Ok(Some(BatchConfig { max_items, max_delay }))
}

fn hedge(options: Option<&HedgeOptions>) -> Result<Option<HedgeConfig>> {
    let Some(options) = options else { return Ok(None) };
    if let (Some(_), Some(_)) = (options.percentile, options.delay_ms) {
        return Err(Error::config("hedge.delayMs", "excludes hedge.percentile: either says when"));
    }
    let max_percent = ranged("hedge.maxPercent", options.max_percent, 2.0, 0.0, 100.0)?;
    Ok(Some(HedgeConfig {
        // More requests than the budget pays for would use it up before the slow ones come.
        percentile: ranged("hedge.percentile", options.percentile, (100.0 - max_percent).clamp(50.0, 99.9), 50.0, 99.9)?,
        max_percent,
        min_delay: millis("hedge.minDelayMs", options.min_delay_ms, 0.0)?.unwrap_or(Duration::from_millis(1)),
        delay: millis("hedge.delayMs", options.delay_ms, 0.1)?,
    }))
}
