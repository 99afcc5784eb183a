//! Where the engine, the remote side and (later) routing meet.

mod hybrid;

pub use hybrid::{Service, Services};
