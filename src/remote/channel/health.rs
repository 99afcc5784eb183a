//! Follows what an endpoint says about its own health (grpc.health.v1), for those who ask for it.
//!
//! `Watch` where the server has it, else `Check` at intervals; a server with neither counts as healthy, as does one that cannot be reached:
//! the state of its connection says that better.

use std::sync::{Arc, Weak};

use tonic::Code as Grpc;
use tonic::metadata::MetadataMap;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::call::{Settings, open, single};
use super::lane::Lane;
use super::{Rpc, budget};
use crate::remote::config::HealthWatch;
use crate::remote::status::Failed;

/// One question.
pub const CHECK: Rpc = Rpc { path: "/grpc.health.v1.Health/Check", name: "Health.Check", safe: true };
const WATCH: Rpc = Rpc { path: "/grpc.health.v1.Health/Watch", name: "Health.Watch", safe: true };

/// Starts to follow; ends when the lane is gone.
pub fn follow(lane: &Arc<Lane>, watch: HealthWatch) {
    let (gone, lane) = (lane.gone(), Arc::downgrade(lane));
    // Without the network's threads nothing can be called either, and that says so.
    let _ = crate::remote::runtime::spawn(async move {
        let following = async {
            let mut watchable = true;
            loop {
                let failed = if watchable { by_watch(&lane, &watch).await } else { by_check(&lane, &watch).await };
                match failed {
                    Some(Grpc::Unimplemented) if watchable => watchable = false,
                    Some(Grpc::Unimplemented) => return,
                    _ => tokio::time::sleep(budget::jittered(watch.interval, 0.2)).await,
                }
            }
        };
        // An open watch would keep the connection, and with it itself.
        let _ = gone.run_until_cancelled_owned(following).await;
    });
}

fn serving(answer: HealthCheckResponse) -> bool {
    answer.status == ServingStatus::Serving as i32
}

/// Until the stream ends; returns why.
async fn by_watch(lane: &Weak<Lane>, watch: &HealthWatch) -> Option<Grpc> {
    let request = HealthCheckRequest { service: watch.service.clone() };
    let mut answers = {
        let lane = lane.upgrade()?;
        let conn = lane.endpoint().conn().await.ok()?;
        let once = futures_util::stream::once(std::future::ready(request));
        match open::<_, HealthCheckResponse>(&lane, &conn, &WATCH, &Settings::default(), once, MetadataMap::default(), None).await {
            Ok(answers) => answers,
            Err(Failed { status, .. }) => return Some(status),
        }
    };
    loop {
        match answers.message().await {
            Ok(Some(answer)) => lane.upgrade()?.set_healthy(serving(answer)),
            Ok(None) => return None,
            Err(status) => {
                // The connection's end says nothing about health.
                lane.upgrade()?.set_healthy(true);
                return Some(status.code());
            }
        }
    }
}

/// One check; returns what it failed with.
async fn by_check(lane: &Weak<Lane>, watch: &HealthWatch) -> Option<Grpc> {
    let lane = lane.upgrade()?;
    let request = HealthCheckRequest { service: watch.service.clone() };
    let deadline = tokio::time::Instant::now() + watch.interval.max(std::time::Duration::from_secs(1));
    let settings = Settings::default();
    let call = single::<_, HealthCheckResponse>(&lane, &CHECK, &settings, request, MetadataMap::default(), deadline);
    let failed = match tokio::time::timeout_at(deadline, call).await {
        Ok(Ok(answer)) => {
            lane.set_healthy(serving(answer));
            None
        }
        Ok(Err(failed)) => Some(failed.status),
        Err(_) => Some(Grpc::DeadlineExceeded),
    };
    match failed {
        // The server answers and does not know the service that it was asked for.
        Some(Grpc::NotFound) => lane.set_healthy(false),
        Some(_) => lane.set_healthy(true),
        None => {}
    }
    failed
}
