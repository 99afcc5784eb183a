//! The routing policy and its parts, with made-up times only: nothing here waits, and nothing reads a clock.

#[path = "routing/batcher.rs"]
mod batcher;
#[path = "routing/breaker.rs"]
mod breaker;
#[path = "routing/budget.rs"]
mod budget;
#[path = "routing/model.rs"]
mod model;
#[path = "routing/options.rs"]
mod options;
#[path = "routing/policy.rs"]
mod policy;
#[path = "routing/quantile.rs"]
mod quantile;
#[path = "routing/random.rs"]
mod random;
#[path = "routing/rules.rs"]
mod rules;
#[path = "routing/state.rs"]
mod state;
#[path = "routing/world.rs"]
mod world;
