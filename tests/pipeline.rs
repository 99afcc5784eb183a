//! Pipelines of modules and of nodes written in Rust: order, ends, failures, back pressure, many at once; and the router in front of two sides.

#[path = "pipeline/ends.rs"]
mod ends;
#[path = "pipeline/flow.rs"]
mod flow;
#[path = "pipeline/hybrid.rs"]
mod hybrid;
#[path = "pipeline/many.rs"]
mod many;
#[path = "pipeline/nodes.rs"]
mod nodes;
#[path = "pipeline/router.rs"]
mod router;
#[path = "pipeline/sides.rs"]
mod sides;
mod support;
#[path = "pipeline/together.rs"]
mod together;
