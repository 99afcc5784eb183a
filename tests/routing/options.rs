//! Every option that is wrong, unknown or contradicts another is refused, by its own path and with what would be right.

use std::time::Duration;

use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::routing::{
    AdaptiveOptions, BatchOptions, BreakerOptions, BulkheadOptions, CostOptions, FallbackOptions, HedgeOptions, MAX_PROBES, MAX_WINDOW,
    RoutingConfig, RoutingOptions, Strategy, Target,
};

fn refused(options: RoutingOptions) -> Error {
    let text = format!("{options:?}");
    let error = RoutingConfig::new(options).expect_err(&text);
    assert_eq!(error.code(), Code::Config);
    assert!(error.message().starts_with(&format!("{}: ", error.path().expect("a path"))), "{error}");
    error
}

/// What no option that is a number takes.
const NO_NUMBERS: [f64; 4] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];

type Set = fn(&mut RoutingOptions, f64);

/// Every option that is a number: how it is set, and what else it does not take.
fn numbers() -> Vec<(&'static str, Set, Vec<f64>)> {
    fn batch(options: &mut RoutingOptions) -> &mut BatchOptions {
        options.batch.get_or_insert(BatchOptions { max_items: Some(8.0), max_delay_ms: Some(5.0) })
    }
    fn hedge(options: &mut RoutingOptions) -> &mut HedgeOptions {
        options.hedge.get_or_insert_default()
    }
    let window = f64::from(MAX_WINDOW);
    vec![
        ("edgeMaxBytes", |o, v| o.edge_max_bytes = Some(v), vec![0.5, 1e17]),
        ("cloudMinBytes", |o, v| o.cloud_min_bytes = Some(v), vec![1_024.25, 1e17]),
        ("complexity", |o, v| o.complexity = Some(v), vec![1.01, 30.0]),
        ("latencyBudgetMs", |o, v| o.latency_budget_ms = Some(v), vec![0.0, 1e12]),
        ("seed", |o, v| o.seed = Some(v), vec![0.1, 1e17]),
        ("cost.latencyMs", |o, v| o.cost.latency_ms = Some(v), vec![1e10]),
        ("cost.cloudCall", |o, v| o.cost.cloud_call = Some(v), vec![1e10]),
        ("cost.cloudByte", |o, v| o.cost.cloud_byte = Some(v), vec![1e10]),
        ("cost.edgeMs", |o, v| o.cost.edge_ms = Some(v), vec![1e10]),
        ("cost.error", |o, v| o.cost.error = Some(v), vec![1e10]),
        ("adaptive.exploration", |o, v| o.adaptive.exploration = Some(v), vec![0.51, 1.0]),
        ("adaptive.halfLifeItems", |o, v| o.adaptive.half_life_items = Some(v), vec![0.0, 3.0, 1e7]),
        ("adaptive.hysteresis", |o, v| o.adaptive.hysteresis = Some(v), vec![1.5]),
        ("circuitBreaker.failureThreshold", |o, v| o.circuit_breaker.failure_threshold = Some(v), vec![0.0, 2.5, 1e7]),
        ("circuitBreaker.failureRate", |o, v| o.circuit_breaker.failure_rate = Some(v), vec![0.0, 1.01, 50.0]),
        ("circuitBreaker.minimumCalls", |o, v| o.circuit_breaker.minimum_calls = Some(v), vec![0.0, 1.5, window + 1.0]),
        ("circuitBreaker.windowItems", |o, v| o.circuit_breaker.window_items = Some(v), vec![0.0, 1.5, window + 1.0]),
        ("circuitBreaker.successThreshold", |o, v| o.circuit_breaker.success_threshold = Some(v), vec![0.0, 1.5]),
        ("circuitBreaker.resetTimeoutMs", |o, v| o.circuit_breaker.reset_timeout_ms = Some(v), vec![0.0, 0.5, 1e12]),
        ("circuitBreaker.probes", |o, v| o.circuit_breaker.probes = Some(v), vec![0.0, 1.5, MAX_PROBES as f64 + 1.0]),
        ("fallback.afterMs", |o, v| o.fallback.after_ms = Some(v), vec![0.0, 0.5, 1e12]),
        ("fallback.budgetPercent", |o, v| o.fallback.budget_percent = Some(v), vec![100.5]),
        ("hedge.percentile", |o, v| hedge(o).percentile = Some(v), vec![0.95, 49.0, 100.0]),
        ("hedge.maxPercent", |o, v| hedge(o).max_percent = Some(v), vec![101.0]),
        ("hedge.minDelayMs", |o, v| hedge(o).min_delay_ms = Some(v), vec![1e12]),
        ("hedge.delayMs", |o, v| hedge(o).delay_ms = Some(v), vec![0.0, 0.05, 1e12]),
        ("batch.maxItems", |o, v| batch(o).max_items = Some(v), vec![0.0, 1.5, 4_097.0]),
        ("batch.maxDelayMs", |o, v| batch(o).max_delay_ms = Some(v), vec![0.0, 0.05, 1e12]),
        ("bulkhead.edge", |o, v| o.bulkhead.edge = Some(v), vec![0.0, 1.5, 1e7]),
        ("bulkhead.cloud", |o, v| o.bulkhead.cloud = Some(v), vec![0.0, 1.5, 1e7]),
        ("bulkhead.maxQueue", |o, v| o.bulkhead.max_queue = Some(v), vec![0.5, 1e7]),
    ]
}

#[test]
fn numbers_that_cannot_be_are_refused_by_their_path() {
    for (path, set, wrong) in numbers() {
        for value in NO_NUMBERS.into_iter().chain(wrong) {
            let mut options = RoutingOptions::default();
            set(&mut options, value);
            let error = refused(options);
            assert_eq!(error.path(), Some(path), "{value}");
            assert!(error.message().contains(&format!("got {value}")), "{path}: {error}");
        }
    }
}

#[test]
fn the_table_of_numbers_is_whole() {
    // Taken apart, so that a new option does not compile before it is in the table.
    let RoutingOptions {
        strategy: _,
        edge_max_bytes: _,
        cloud_min_bytes: _,
        complexity: _,
        realtime: _,
        latency_budget_ms: _,
        cost: CostOptions { latency_ms: _, cloud_call: _, cloud_byte: _, edge_ms: _, error: _ },
        adaptive: AdaptiveOptions { enabled: _, exploration: _, half_life_items: _, hysteresis: _ },
        circuit_breaker:
            BreakerOptions {
                failure_threshold: _,
                failure_rate: _,
                minimum_calls: _,
                window_items: _,
                success_threshold: _,
                reset_timeout_ms: _,
                probes: _,
            },
        fallback: FallbackOptions { enabled: _, after_ms: _, budget_percent: _ },
        hedge: _,
        batch: _,
        bulkhead: BulkheadOptions { edge: _, cloud: _, max_queue: _ },
        seed: _,
    } = RoutingOptions::default();
    let HedgeOptions { percentile: _, max_percent: _, min_delay_ms: _, delay_ms: _ } = HedgeOptions::default();
    let BatchOptions { max_items: _, max_delay_ms: _ } = BatchOptions::default();
    assert_eq!(numbers().len(), 31);
}

/// Options that do not go together: the path that is blamed, and words that must be in the sentence.
fn contradictions() -> Vec<(&'static str, &'static [&'static str], RoutingOptions)> {
    let none = RoutingOptions::default;
    let nothing = CostOptions { latency_ms: Some(0.0), error: Some(5.0), ..CostOptions::default() };
    let breaker = |minimum, window| BreakerOptions { minimum_calls: Some(minimum), window_items: window, ..BreakerOptions::default() };
    let hedge = |percentile, delay_ms| Some(HedgeOptions { percentile, delay_ms, ..HedgeOptions::default() });
    let batch = |max_items, max_delay_ms| Some(BatchOptions { max_items, max_delay_ms });
    let never = FallbackOptions { enabled: Some(false), after_ms: Some(50.0), ..FallbackOptions::default() };
    let both = |edge, cloud| RoutingOptions { edge_max_bytes: Some(edge), cloud_min_bytes: Some(cloud), ..none() };
    vec![
        ("edgeMaxBytes", &["cloudMinBytes", "1024"], both(1_024.0, 1_024.0)),
        ("edgeMaxBytes", &["cloudMinBytes", "10"], both(2_048.0, 10.0)),
        ("cost", &["weight"], RoutingOptions { cost: nothing, ..none() }),
        (
            "batch.maxDelayMs",
            &["latencyBudgetMs (20)", "got 20"],
            RoutingOptions { batch: batch(Some(4.0), Some(20.0)), latency_budget_ms: Some(20.0), ..none() },
        ),
        ("batch.maxDelayMs", &["latencyBudgetMs"], RoutingOptions { batch: batch(Some(4.0), Some(90.0)), latency_budget_ms: Some(20.0), ..none() }),
        ("batch.maxItems", &["must be given"], RoutingOptions { batch: batch(None, Some(5.0)), ..none() }),
        ("batch.maxDelayMs", &["must be given"], RoutingOptions { batch: batch(Some(5.0), None), ..none() }),
        ("hedge.delayMs", &["hedge.percentile"], RoutingOptions { hedge: hedge(Some(95.0), Some(20.0)), ..none() }),
        ("hedge", &["edge-first"], RoutingOptions { hedge: hedge(None, None), strategy: Some("edge-first".into()), ..none() }),
        ("fallback.afterMs", &["fallback.enabled"], RoutingOptions { fallback: never, ..none() }),
        ("circuitBreaker.minimumCalls", &["windowItems (10)", "got 11"], RoutingOptions { circuit_breaker: breaker(11.0, Some(10.0)), ..none() }),
        ("circuitBreaker.minimumCalls", &["windowItems (100)", "got 101"], RoutingOptions { circuit_breaker: breaker(101.0, None), ..none() }),
        (
            "strategy",
            &["'edge-first'", "'cloud-first'", "'auto'", "'hybrid'", "got 'fog'"],
            RoutingOptions { strategy: Some("fog".into()), ..none() },
        ),
        ("strategy", &["got 'Auto'"], RoutingOptions { strategy: Some("Auto".into()), ..none() }),
        ("strategy", &["got ''"], RoutingOptions { strategy: Some(String::new()), ..none() }),
    ]
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (path, words, options) in contradictions() {
        let error = refused(options);
        assert_eq!(error.path(), Some(path), "{error}");
        for word in words {
            assert!(error.message().contains(word), "{path}: '{word}' is not in: {error}");
        }
    }
}

#[test]
fn the_limits_themselves_are_taken() {
    let edges: [(&str, &[f64]); 9] = [
        ("complexity", &[0.0, 1.0]),
        ("adaptive.exploration", &[0.0, 0.5]),
        ("circuitBreaker.failureRate", &[0.01, 1.0]),
        ("circuitBreaker.windowItems", &[1.0, f64::from(MAX_WINDOW)]),
        ("circuitBreaker.probes", &[1.0, MAX_PROBES as f64]),
        ("hedge.percentile", &[50.0, 99.9]),
        ("batch.maxItems", &[1.0, 4_096.0]),
        ("bulkhead.maxQueue", &[0.0, 1e6]),
        ("seed", &[0.0, 9_007_199_254_740_992.0]),
    ];
    for (path, values) in edges {
        let (_, set, _) = numbers().into_iter().find(|(name, ..)| *name == path).expect(path);
        for value in values {
            let mut options = RoutingOptions::default();
            set(&mut options, *value);
            RoutingConfig::new(options).unwrap_or_else(|error| panic!("{value}: {error}"));
        }
    }
}

#[test]
fn defaults_and_names() {
    let config = RoutingConfig::new(RoutingOptions::default()).expect("nothing is wrong with nothing");
    assert_eq!(config.strategy(), Strategy::Auto);
    assert!(config.falls_back() && config.batch().is_none() && config.fallback_after().is_none() && config.complexity().is_none());
    assert_eq!((config.in_flight_max(Target::Edge), config.in_flight_max(Target::Cloud), config.queue_max()), (None, None, 64));
    for strategy in Strategy::ALL {
        assert_eq!(Strategy::from_name(strategy.name()), Some(strategy));
    }
    let options = RoutingOptions {
        batch: Some(BatchOptions { max_items: Some(16.0), max_delay_ms: Some(2.5) }),
        fallback: FallbackOptions { after_ms: Some(40.0), ..FallbackOptions::default() },
        bulkhead: BulkheadOptions { edge: Some(2.0), cloud: Some(30.0), max_queue: Some(0.0) },
        ..RoutingOptions::default()
    };
    let config = RoutingConfig::new(options).expect("options");
    let batch = config.batch().expect("batches");
    assert_eq!((batch.max_items, batch.max_delay), (16, Duration::from_micros(2_500)));
    assert_eq!(config.fallback_after(), Some(Duration::from_millis(40)));
    assert_eq!((config.in_flight_max(Target::Edge), config.in_flight_max(Target::Cloud), config.queue_max()), (Some(2), Some(30), 0));
}

#[test]
fn one_threshold_makes_room_for_itself() {
    // Only one is given, beyond the other's default: that is no contradiction.
    for options in [
        RoutingOptions { edge_max_bytes: Some(1e9), ..RoutingOptions::default() },
        RoutingOptions { cloud_min_bytes: Some(1_000.0), ..RoutingOptions::default() },
        RoutingOptions { cloud_min_bytes: Some(0.0), ..RoutingOptions::default() },
    ] {
        assert!(RoutingConfig::new(options.clone()).is_ok(), "{options:?}");
    }
}
