//! Pipelines of modules and of nodes written in Rust: order, ends, failures, back pressure, many at once; and the router in front of two sides.

#[path = "pipeline/ends.rs"]
mod ends;
#[path = "pipeline/flow.rs"]
mod flow;
#[path = "pipeline/many.rs"]
mod many;
#[path = "pipeline/nodes.rs"]
mod nodes;
mod support;
