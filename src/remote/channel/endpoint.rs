//! One server: its connection, shared by every client with the same options, and the pauses between attempts to connect.
//!
//! Problem: clients come and go, servers too; each call must find a live connection without a storm of new ones. Answer: an endpoint holds at
//! most one shared connection, opened by the first call that needs it and by no timer; while it opens, other calls wait for the same attempt,
//! and after a failure they fail at once until a pause is over, which grows with each failure. It does not choose between servers.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::{self, Conn};
use crate::error::{Code, Error, Result};
use crate::remote::config::{Address, Api, Transport};
use crate::remote::runtime;

/// Pause after the first failure; each further one takes `GROWTH` times as long, up to `LONGEST`. A tenth of gRPC's own first pause: the
/// callers here are live streams.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const GROWTH: f64 = 1.6;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Share of a pause that chance decides, so that clients do not come back together.
const JITTER: f64 = 0.2;

/// Connections that an exclusive stream left behind, kept for the next one.
const SPARES: usize = 4;
/// How long they are kept.
const SPARE_TTL: Duration = Duration::from_secs(30);

type Opened = Option<Result<Conn>>;

enum State {
    /// No connection; after a failure, none before `not_before`.
    Idle,
    Connecting(watch::Receiver<Opened>),
    Ready(Conn),
    Pausing {
        until: Instant,
        error: Error,
    },
}

/// One server.
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    transport: Arc<Transport>,
    state: Mutex<State>,
    /// Failures in a row.
    failures: Mutex<u32>,
    spares: Mutex<Vec<(Conn, Instant)>>,
    /// Which protocol it speaks, once that was found out.
    api: OnceLock<Api>,
}

/// A task that tells before it goes is gone untold: only with its runtime.
fn gone() -> Error {
    Error::new(Code::Internal, "the network's threads have ended")
}

type Key = (Address, Transport);
static SHARED: LazyLock<Mutex<HashMap<Key, Weak<Endpoint>>>> = LazyLock::new(Mutex::default);

impl Endpoint {
    /// The process's endpoint for this server and these options. It lives as long as somebody uses it.
    pub fn shared(address: &Address, transport: &Arc<Transport>) -> Arc<Self> {
        let key = (address.clone(), (**transport).clone());
        let mut shared = SHARED.lock();
        if let Some(endpoint) = shared.get(&key).and_then(Weak::upgrade) {
            return endpoint;
        }
        shared.retain(|_, endpoint| endpoint.strong_count() > 0);
        let endpoint = Self::own(address, transport);
        shared.insert(key, Arc::downgrade(&endpoint));
        endpoint
    }

    /// An endpoint that nobody else shares.
    pub fn own(address: &Address, transport: &Arc<Transport>) -> Arc<Self> {
        Arc::new(Self {
            address: address.clone(),
            transport: Arc::clone(transport),
            state: Mutex::new(State::Idle),
            failures: Mutex::new(0),
            spares: Mutex::default(),
            api: OnceLock::new(),
        })
    }

    /// A connection; opens it. Fails at once while it pauses after a failure.
    pub async fn conn(self: &Arc<Self>) -> Result<Conn> {
        let mut opened = {
            let mut state = self.state.lock();
            match &*state {
                State::Ready(conn) if !conn.is_closed() => return Ok(conn.clone()),
                State::Pausing { until, error } if Instant::now() < *until => return Err(error.clone()),
                State::Connecting(opened) => opened.clone(),
                State::Idle | State::Ready(_) | State::Pausing { .. } => {
                    let opened = self.start();
                    *state = State::Connecting(opened.clone());
                    opened
                }
            }
        };
        let result = opened.wait_for(Option::is_some).await.map(|result| result.clone());
        result.ok().flatten().unwrap_or_else(|| Err(gone()))
    }

    /// Connects in a task of its own: a caller that gives up must not end it for the others.
    fn start(self: &Arc<Self>) -> watch::Receiver<Opened> {
        let (tell, opened) = watch::channel(None);
        let endpoint = Arc::clone(self);
        let spawned = runtime::spawn(async move {
            let result = connect::connect(&endpoint.address, &endpoint.transport).await;
            endpoint.note(&result);
            *endpoint.state.lock() = match &result {
                Ok(conn) => State::Ready(conn.clone()),
                Err(error) => State::Pausing { until: Instant::now() + endpoint.pause(), error: error.clone() },
            };
            // Without a receiver nobody waits any more.
            let _ = tell.send(Some(result));
        });
        if let Err(error) = spawned {
            return watch::channel(Some(Err(error))).1;
        }
        opened
    }

    fn note(&self, result: &Result<Conn>) {
        let mut failures = self.failures.lock();
        *failures = if result.is_ok() { 0 } else { failures.saturating_add(1) };
        if let Err(error) = result {
            tracing::debug!(target: "remote", endpoint = %self.address, failures = *failures, %error, "cannot connect");
        }
    }

    fn pause(&self) -> Duration {
        let failures = *self.failures.lock();
        let grown = FIRST_PAUSE.as_secs_f64() * GROWTH.powi(failures.saturating_sub(1).min(64) as i32);
        super::budget::jittered(Duration::from_secs_f64(grown.min(LONGEST_PAUSE.as_secs_f64())), JITTER)
    }

    /// How long it pauses still.
    pub fn pausing(&self) -> Option<Duration> {
        match &*self.state.lock() {
            State::Pausing { until, .. } => Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero()),
            _ => None,
        }
    }

    /// Leaves a connection that seems dead: the next call opens another one, and calls under way may still end on this one.
    pub fn leave(&self, conn: &Conn) {
        let mut state = self.state.lock();
        if matches!(&*state, State::Ready(current) if current.is(conn)) {
            *state = State::Idle;
        }
    }

    /// A connection that nobody else uses until it is given back.
    pub async fn exclusive(self: &Arc<Self>) -> Result<Conn> {
        if let Some(conn) = self.spare() {
            return Ok(conn);
        }
        if let State::Pausing { until, error } = &*self.state.lock()
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        // On the network's threads, whoever asks: the connection outlives the asking.
        let endpoint = Arc::clone(self);
        let connecting = runtime::spawn(async move {
            let result = connect::connect(&endpoint.address, &endpoint.transport).await;
            endpoint.note(&result);
            if let Err(error) = &result {
                let mut state = endpoint.state.lock();
                if matches!(&*state, State::Idle | State::Pausing { .. }) {
                    *state = State::Pausing { until: Instant::now() + endpoint.pause(), error: error.clone() };
                }
            }
            result
        })?;
        connecting.await.unwrap_or_else(|_| Err(gone()))
    }

    fn spare(&self) -> Option<Conn> {
        let mut spares = self.spares.lock();
        spares.retain(|(conn, since)| !conn.is_closed() && since.elapsed() < SPARE_TTL);
        spares.pop().map(|(conn, _)| conn)
    }

    /// Gives back a connection whose stream ended cleanly.
    pub fn give_back(self: &Arc<Self>, conn: Conn) {
        let mut spares = self.spares.lock();
        if conn.is_closed() || spares.len() >= SPARES {
            return;
        }
        spares.push((conn, Instant::now()));
        let endpoint = Arc::downgrade(self);
        // Without the network's threads there would be no connection to keep.
        let _ = runtime::spawn(async move {
            tokio::time::sleep(SPARE_TTL).await;
            if let Some(endpoint) = endpoint.upgrade() {
                endpoint.spares.lock().retain(|(conn, since)| !conn.is_closed() && since.elapsed() < SPARE_TTL);
            }
        });
    }

    /// Which protocol it speaks, if that is known.
    pub fn api(&self) -> Option<Api> {
        self.api.get().copied()
    }

    /// Notes which protocol it speaks. A server that comes back as another one is for a new client to find out.
    pub fn set_api(&self, api: Api) {
        let _ = self.api.set(api);
    }

    /// The state's name in metrics.
    pub fn state_name(&self) -> &'static str {
        match &*self.state.lock() {
            State::Idle => "idle",
            State::Connecting(_) => "connecting",
            State::Ready(conn) if conn.is_closed() => "idle",
            State::Ready(_) => "ready",
            State::Pausing { .. } => "failing",
        }
    }
}
