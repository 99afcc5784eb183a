//! Tables, and the same as JSON.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::counting;
use crate::routing::{Item, Load, Outcome as Ended, Policy, RoutingConfig, RoutingOptions, Target, Verdict};
use crate::run::Outcome;

/// Regret is scored over this many items.
pub const SCORED: usize = 5_000;

/// What a decision takes.
pub struct Speed {
    p50_ns: f64,
    p99_ns: f64,
    allocations: u64,
}

/// Times decisions of a policy that knows both sides. Each figure is of a thousand decisions, for the clock itself takes some 20 ns.
pub fn speed() -> Speed {
    let mut policy = Policy::new(RoutingConfig::new(RoutingOptions::default()).expect("options"));
    let mut now = Duration::ZERO;
    for index in 0..2_000_u64 {
        now += Duration::from_millis(5);
        let target = if index % 2 == 0 { Target::Edge } else { Target::Cloud };
        policy.admit(target, now);
        let ended = Ended {
            target,
            bytes: 1_000 + index * 37 % 200_000,
            complexity: None,
            latency_ms: 5.0 + (index % 17) as f64,
            queue_ms: 0.0,
            result: Verdict::Ok,
            batch: 1,
            ahead: 0,
        };
        policy.record(&ended, now);
    }
    let load = Load { edge_slots: 2, ..Load::default() };
    let mut times = Vec::with_capacity(2_000);
    let before = counting::count();
    for round in 0..2_000_u64 {
        let started = Instant::now();
        for index in 0..100_u64 {
            let item = Item { bytes: 500 + (round * 100 + index) * 7_919 % 300_000, ..Item::default() };
            std::hint::black_box(policy.decide(&item, &load, now));
        }
        times.push(started.elapsed().as_nanos() as f64 / 100.0);
    }
    let allocations = counting::count() - before;
    times.sort_by(f64::total_cmp);
    Speed { p50_ns: times[times.len() / 2], p99_ns: times[times.len() * 99 / 100], allocations }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn spread(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

struct Row {
    policy: &'static str,
    regret: Vec<f64>,
    recovery: Vec<f64>,
}

fn rows(outcomes: &[Outcome]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for outcome in outcomes {
        let index = rows.iter().position(|row| row.policy == outcome.policy).unwrap_or_else(|| {
            rows.push(Row { policy: outcome.policy, regret: Vec::new(), recovery: Vec::new() });
            rows.len() - 1
        });
        rows[index].regret.push(outcome.regret_percent(SCORED));
        rows[index].recovery.extend(outcome.recovery().into_iter().map(|items| items as f64));
    }
    rows
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Prints the tables, in Markdown.
pub fn print(all: &[Vec<Outcome>], speed: &Speed) {
    let tables: Vec<_> = all.iter().map(|outcomes| (outcomes[0].trace, rows(outcomes))).collect();
    let policies: Vec<_> = tables.first().map_or_else(Vec::new, |(_, rows)| rows.iter().map(|row| row.policy).collect());
    println!("Regret in percent of the oracle's cost over {SCORED} items, mean of the seeds (standard deviation):\n");
    println!("| policy | {} |", tables.iter().map(|(trace, _)| *trace).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---:|".repeat(tables.len()));
    for (index, policy) in policies.iter().enumerate() {
        let cells: Vec<_> = tables.iter().map(|(_, rows)| format!("{:.2} ({:.2})", mean(&rows[index].regret), spread(&rows[index].regret))).collect();
        println!("| {policy} | {} |", cells.join(" | "));
    }
    println!("\nItems until twenty in a row cost at most 10% more than the oracle's, after a change; median (worst):\n");
    for (trace, rows) in tables.iter().filter(|(_, rows)| !rows[0].recovery.is_empty()) {
        let cells: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {:.0} ({:.0})", row.policy, median(&row.recovery), row.recovery.iter().copied().fold(0.0, f64::max)))
            .collect();
        println!("{trace}: {}", cells.join(", "));
    }
    for (index, policy) in policies.iter().enumerate().skip(1) {
        let better: Vec<_> = tables.iter().filter(|(_, rows)| mean(&rows[index].regret) < mean(&rows[0].regret)).map(|(trace, _)| *trace).collect();
        if !better.is_empty() {
            println!("{policy} is better on: {}", better.join(", "));
        }
    }
    println!("\na decision: p50 {:.0} ns, p99 {:.0} ns, {} allocations in 200,000", speed.p50_ns, speed.p99_ns, speed.allocations);
}

/// Writes the same as JSON.
pub fn write(all: &[Vec<Outcome>], speed: &Speed, path: &Path) {
    let traces: Vec<Value> = all
        .iter()
        .map(|outcomes| {
            let policies: Vec<_> = rows(outcomes)
                .iter()
                .map(|row| {
                    json!({
                        "policy": row.policy, "regretPercent": mean(&row.regret), "deviation": spread(&row.regret),
                        "recoveryItems": if row.recovery.is_empty() { Value::Null } else { json!({ "median": median(&row.recovery), "worst": row.recovery.iter().copied().fold(0.0, f64::max) }) },
                    })
                })
                .collect();
            json!({ "trace": outcomes[0].trace, "items": outcomes[0].items, "policies": policies })
        })
        .collect();
    let results = json!({ "scoredItems": SCORED, "decision": { "p50Ns": speed.p50_ns, "p99Ns": speed.p99_ns, "allocations": speed.allocations }, "traces": traces });
    fs::write(path, format!("{results:#}\n")).expect("a file of results");
}
