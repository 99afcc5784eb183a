//! What the router's policy is worth: traces replayed through it and through others, each scored against the same clairvoyant oracle.
//!
//! The policy is compiled right here from `src/routing`: it knows nothing but errors, so neither WebAssembly nor gRPC has to be built for it.
//!
//!   cargo run --release                        tables; results/replay.json; plots in results/replay/
//!   cargo run --release -- --seeds 1           one seed of each trace, quick
//!   cargo run --release -- --tune              the seeds that the policy was tuned on, which are not those that are reported
//!
//! Regret is in expected cost: what the chosen side would take on average for this item at this moment (queue included) beyond what the
//! oracle's choice would. The oracle knows all parameters of the world as they are at the moment, not the noise, and no future.

mod counting;
mod plot;
mod policies;
mod report;
mod run;
mod traces;
mod world;

#[path = "../../../src/error.rs"]
#[allow(dead_code, reason = "the package's; the policy needs a part of it")]
mod error;
#[path = "../../../src/routing/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the package's; this program needs a part of it")]
mod routing;

use std::path::Path;

use run::{Outcome, replay};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).and_then(|value| value.parse::<u64>().ok());
    let tune = args.iter().any(|arg| arg == "--tune");
    let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1));
    // Tuned on seeds from 1, reported on seeds from 1001.
    let first = if tune { 1 } else { 1_001 };
    let seeds = value("--seeds").unwrap_or(8);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<Vec<Outcome>> = Vec::new();
    for make in traces::all() {
        let mut outcomes = Vec::new();
        for seed in first..first + seeds {
            let trace = make(seed);
            if only.is_some_and(|only| *only != trace.name) {
                break;
            }
            outcomes.extend(replay(&trace, seed));
        }
        if !outcomes.is_empty() {
            all.push(outcomes);
        }
    }
    for trace in traces::recorded(&here.join("traces")) {
        if only.is_none_or(|only| *only == trace.name) {
            all.push((first..first + seeds).flat_map(|seed| replay(&trace, seed)).collect());
        }
    }
    let speed = report::speed();
    report::print(&all, &speed);
    if !tune && only.is_none() && seeds > 1 {
        report::write(&all, &speed, &here.join("../results/replay.json"));
        plot::write(&all, &here.join("../results/replay"));
    }
}
