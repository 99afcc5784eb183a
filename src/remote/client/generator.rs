//! A generator of a remote object as one stream of values: started, read in batches, closed whatever happens.

use std::sync::Arc;

use super::Client;
use super::catalog::incomplete;
use super::objects::{MethodCall, ObjectSource};
use super::stream::RemoteStream;
use crate::error::{Error, Result};
use crate::remote::channel::{Channels, Lane, Rpc, Scope};
use crate::remote::client::answer;
use crate::remote::codec::Wire;
use crate::remote::pb::v0;
use crate::remote::runtime;
use crate::remote::status;

const INIT: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/InitGenerator", name: "InitGenerator", safe: false };
// A batch that was lost on its way is gone: not safe.
const NEXT: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/GetNextBatch", name: "GetNextBatch", safe: false };
const CLOSE: Rpc = Rpc { path: "/remotemedia.execution.RemoteExecutionService/CloseGenerator", name: "CloseGenerator", safe: true };

/// RemoteMedia's own client reads this many at a time.
pub const DEFAULT_BATCH: u32 = 10;
/// More than any consumer takes at once; the stream holds 64.
const MAX_BATCH: u32 = 10_000;

impl Client {
    /// The values of a generator method of the object with this session, read `batch` at a time. Nothing is started before somebody asks.
    pub fn generator(&self, session: &str, call: &MethodCall, batch: Option<u32>, scope: Scope) -> RemoteStream {
        let (client, session, call, own) = (self.clone(), session.to_owned(), call.clone(), scope.clone());
        RemoteStream::produced(&self.channels, &scope, "generator", move |producer| async move {
            let batch = batch.unwrap_or(DEFAULT_BATCH);
            if !(1..=MAX_BATCH).contains(&batch) {
                return Err(Error::config("batchSize", format!("must be 1 to {MAX_BATCH}, got {batch}")));
            }
            client.needs_v0(&own, "generator").await?;
            let wire = call.wire();
            let (args, kwargs) = (call.args(wire, own.session.as_ref())?, call.kwargs(wire)?);
            let lane = client.object_lane(&ObjectSource::Session(session.clone())).await?;
            let make = || v0::InitGeneratorRequest {
                session_id: session.clone(),
                method_name: call.method.clone(),
                method_args_data: args.clone(),
                serialization_format: wire.name().to_owned(),
                method_kwargs_data: kwargs.clone(),
            };
            let reply: v0::InitGeneratorResponse = client.channels.call_over(Some(&lane), &INIT, &own, make).await?;
            status::check_v0(reply.status, &reply.error_message, "")?;
            if reply.generator_id.is_empty() {
                return Err(incomplete(&INIT, "a generator's id"));
            }
            let open = Open { channels: Arc::clone(&client.channels), lane, id: reply.generator_id };
            let mut next = 0;
            loop {
                let (items, more) = open.batch(batch, wire, &own).await?;
                let mut packets = Vec::with_capacity(items.len());
                for item in items {
                    answer::received(&client.channels, item.len());
                    let mut packet = answer::packet(&item, wire, client.keeps_errors())?;
                    packet.sequence = next;
                    next += 1;
                    packets.push(packet);
                }
                producer.put(packets).await;
                if !more {
                    return Ok(());
                }
            }
        })
    }
}

/// A generator on the remote; closed when this goes.
struct Open {
    channels: Arc<Channels>,
    lane: Arc<Lane>,
    id: String,
}

impl Open {
    async fn batch(&self, batch: u32, wire: Wire, scope: &Scope) -> Result<(Vec<bytes::Bytes>, bool)> {
        let make = || v0::GetNextBatchRequest {
            generator_id: self.id.clone(),
            batch_size: i32::try_from(batch).unwrap_or(i32::MAX),
            serialization_format: wire.name().to_owned(),
        };
        let reply: v0::GetNextBatchResponse = self.channels.call_over(Some(&self.lane), &NEXT, scope, make).await?;
        status::check_v0(reply.status, &reply.error_message, "")?;
        Ok((reply.items, reply.has_more))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let (channels, lane, id) = (Arc::clone(&self.channels), Arc::clone(&self.lane), std::mem::take(&mut self.id));
        // It ends by itself when the server forgets it, after ten minutes; so nobody waits for this, and nobody is told.
        let _ = runtime::spawn(async move {
            let make = || v0::CloseGeneratorRequest { generator_id: id.clone() };
            let closed: Result<v0::CloseGeneratorResponse> = channels.call_over(Some(&lane), &CLOSE, &Scope::default(), make).await;
            if let Err(error) = closed {
                tracing::debug!(target: "remote", %error, "a generator was not closed");
            }
        });
    }
}
