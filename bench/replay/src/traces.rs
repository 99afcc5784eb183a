//! The traces: what comes when, and what changes in the world meanwhile.
//!
//! Recorded ones are files `traces/*.jsonl`, one item per line: `{"tMs", "bytes", "edgeMs", "cloudMs", "edgeOk", "cloudOk"}`, both sides measured
//! for every item (`bench/replay/record.mjs`).

use std::fs;
use std::path::Path;

use crate::world::{Dead, Moment, Random, TraceItem};

type World = Box<dyn Fn(f64) -> Moment>;

/// A recorded item's times on both sides, and whether each answered.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    pub ms: [f64; 2],
    pub ok: [bool; 2],
    /// Expected times: the mean of the neighbours, which is all that a recording knows.
    pub expected: [f64; 2],
}

pub struct Trace {
    pub name: &'static str,
    pub items: Vec<TraceItem>,
    pub world: World,
    /// When something changes at once.
    pub changes_ms: Vec<f64>,
    pub recorded: Option<Vec<Recorded>>,
}

const ITEMS: usize = 6_000;
const INTERVAL_MS: f64 = 20.0;
const LENGTH_MS: f64 = ITEMS as f64 * INTERVAL_MS;

/// Sizes from a kilobyte to a megabyte, around the sizes where the better side changes.
fn bytes(random: &mut Random) -> u64 {
    (24_576.0 * (1.1 * random.normal()).exp()).clamp(512.0, 2e6) as u64
}

fn steady(seed: u64) -> Vec<TraceItem> {
    let mut random = Random::new(seed);
    let mut at = 0.0;
    (0..ITEMS)
        .map(|_| {
            at += random.exponential(INTERVAL_MS);
            let bytes = bytes(&mut random);
            TraceItem::new(at, bytes, &mut random)
        })
        .collect()
}

fn between(at: f64, from: f64, to: f64) -> bool {
    at >= from * LENGTH_MS && at < to * LENGTH_MS
}

fn trace(name: &'static str, items: Vec<TraceItem>, changes: &[f64], world: impl Fn(f64) -> Moment + 'static) -> Trace {
    Trace { name, items, world: Box::new(world), changes_ms: changes.iter().map(|share| share * LENGTH_MS).collect(), recorded: None }
}

pub fn all() -> Vec<fn(u64) -> Trace> {
    vec![stationary, rtt_step, cloud_overload, cpu_theft, outage_fast, outage_silent, drift, bursts, one_size]
}

fn stationary(seed: u64) -> Trace {
    trace("stationary", steady(seed), &[], |_| Moment::default())
}

/// A network that becomes five times as far, and near again.
fn rtt_step(seed: u64) -> Trace {
    trace("rtt-step", steady(seed ^ 11), &[0.35, 0.7], |at| Moment { rtt_ms: if between(at, 0.35, 0.7) { 100.0 } else { 20.0 }, ..Moment::default() })
}

/// A service that becomes slow and fails, and recovers.
fn cloud_overload(seed: u64) -> Trace {
    trace("cloud-overload", steady(seed ^ 22), &[0.35, 0.7], |at| {
        if between(at, 0.35, 0.7) {
            Moment { cloud_service_ms: 60.0, cloud_per_kib_ms: 0.1, cloud_fails: 0.1, ..Moment::default() }
        } else {
            Moment::default()
        }
    })
}

/// Somebody else takes the processors.
fn cpu_theft(seed: u64) -> Trace {
    trace("edge-cpu-theft", steady(seed ^ 33), &[0.35, 0.7], |at| {
        if between(at, 0.35, 0.7) { Moment { edge_slow: 4.0, cpu: 0.95, ..Moment::default() } } else { Moment::default() }
    })
}

/// Connections are refused for a while.
fn outage_fast(seed: u64) -> Trace {
    trace("outage-refused", steady(seed ^ 44), &[0.35, 0.7], |at| Moment { dead: between(at, 0.35, 0.7).then_some(Dead::Fast), ..Moment::default() })
}

/// Nothing comes back for a while.
fn outage_silent(seed: u64) -> Trace {
    trace("outage-silent", steady(seed ^ 55), &[0.35, 0.7], |at| Moment {
        dead: between(at, 0.35, 0.7).then_some(Dead::Timeout(1_000.0)),
        ..Moment::default()
    })
}

/// A network that comes and goes slowly, and an edge that does so too.
fn drift(seed: u64) -> Trace {
    trace("slow-drift", steady(seed ^ 66), &[], |at| {
        let phase = at / LENGTH_MS * std::f64::consts::TAU;
        Moment { rtt_ms: 45.0 + 35.0 * (phase * 1.5).sin(), edge_slow: 1.6 + 0.7 * (phase * 1.1).cos(), ..Moment::default() }
    })
}

/// Quiet times and bursts, before an edge with two workers: choosing it makes those behind wait.
fn bursts(seed: u64) -> Trace {
    let mut random = Random::new(seed ^ 77);
    let mut at = 0.0;
    let items = (0..ITEMS)
        .map(|index| {
            at += random.exponential(if index % 200 < 60 { 4.0 } else { 27.0 });
            let bytes = bytes(&mut random);
            TraceItem::new(at, bytes, &mut random)
        })
        .collect();
    trace("bursts", items, &[], |_| Moment { workers: 2, ..Moment::default() })
}

/// Items of one size, as audio frames are: what is learned of others says nothing here. The network comes and goes, and so does the edge.
fn one_size(seed: u64) -> Trace {
    let mut random = Random::new(seed ^ 88);
    let items = (0..ITEMS).map(|index| TraceItem::new(index as f64 * INTERVAL_MS, 40_960, &mut random)).collect();
    trace("one-size", items, &[0.25, 0.5, 0.75], |at| {
        let rtt_ms = if between(at, 0.25, 0.5) { 80.0 } else { 20.0 };
        let edge_slow = if between(at, 0.5, 0.75) { 3.0 } else { 1.0 };
        Moment { rtt_ms, edge_slow, cpu: if edge_slow > 1.0 { 0.9 } else { 0.3 }, edge_base_ms: 12.0, ..Moment::default() }
    })
}

/// Traces that were recorded.
pub fn recorded(folder: &Path) -> Vec<Trace> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")).collect();
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Trace {
    let text = fs::read_to_string(path).expect("a trace");
    let mut random = Random::new(1);
    let (mut items, mut recorded) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let number = |key: &str| line[key].as_f64().expect("a number");
        items.push(TraceItem::new(number("tMs"), number("bytes") as u64, &mut random));
        let ms = [number("edgeMs"), number("cloudMs")];
        let ok = [line["edgeOk"].as_bool().unwrap_or(true), line["cloudOk"].as_bool().unwrap_or(true)];
        recorded.push(Recorded { ms, ok, expected: ms });
    }
    // What was to be expected at a moment: the mean of the items around it that are about as large.
    let near = |index: usize, side: usize| {
        let bucket = |at: usize| (items[at].bytes.max(1) as f64).log2().round();
        let around = index.saturating_sub(60)..(index + 60).min(items.len());
        let alike: Vec<_> = around.filter(|at| (bucket(*at) - bucket(index)).abs() < 0.5).map(|at| recorded[at].ms[side]).collect();
        alike.iter().sum::<f64>() / alike.len() as f64
    };
    let expected: Vec<_> = (0..items.len()).map(|index| [near(index, 0), near(index, 1)]).collect();
    for (one, expected) in recorded.iter_mut().zip(expected) {
        one.expected = expected;
    }
    let name = path.file_stem().map_or_else(String::new, |stem| format!("recorded: {}", stem.to_string_lossy()));
    Trace { name: Box::leak(name.into_boxed_str()), items, world: Box::new(|_| Moment::default()), changes_ms: Vec::new(), recorded: Some(recorded) }
}
