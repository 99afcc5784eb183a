//! Remote services for guests: the engine's `RemoteServices` over the remote side's clients.
//!
//! Problem: a guest waits on a thread of its own, in blocking calls and within its own deadline, for services that answer asynchronously;
//! its streams answer whenever they like; and what a guest's session left at the far end must go with it. Answer: calls run on the
//! network's threads while the guest's thread waits on a condition and looks up now and then; what streams answer is queued per session,
//! bounded, so that HTTP/2's flow control holds a service back whose answers nobody takes. The map of services is the whitelist. What
//! bytes mean is decided in the engine, how they travel in `remote/codec`.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::data::{Packet, SessionId, Trace};
use crate::engine::{Answers, Patience, RemoteCall, RemoteFailure, RemoteServices};
use crate::error::{Code, Error, Result};
use crate::remote::{self, CancellationToken, Client, NodeTarget, RemoteStream, Scope};

/// How often a waiting guest looks whether it must stop: within the 10 ms that a deadline may be late.
const LOOK: Duration = Duration::from_millis(3);
/// Answers of streams that wait for the guest, per session; more stay in the network's own buffers.
const ARRIVED_MAX: usize = 64;

/// One service that guests may use.
pub struct Service {
    /// Who reaches it.
    pub client: Client,
    /// The node type there, its parameters and how payloads travel.
    pub target: NodeTarget,
    /// Longest that one call may take, beside the guest's own deadline.
    pub timeout: Option<Duration>,
}

/// The services of one node.
pub struct Services {
    services: HashMap<String, Service>,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
}

/// What a guest's session has at the far end.
struct Session {
    /// Its name there: unlike the application's own names no two in the world are alike.
    remote: SessionId,
    cancel: CancellationToken,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    streams: Vec<Open>,
    arrived: VecDeque<Result<Packet>>,
}

struct Open {
    service: String,
    stream: Arc<RemoteStream>,
    /// Nothing more is sent into it.
    finished: bool,
    /// It is waiting for the far end's next answer.
    asking: bool,
    /// It has told its end.
    ended: bool,
}

impl Services {
    /// Nothing but these can be reached.
    pub fn new(services: HashMap<String, Service>) -> Self {
        Self { services, sessions: Mutex::default() }
    }

    fn service(&self, name: &str) -> Result<&Service, RemoteFailure> {
        self.services.get(name).ok_or_else(|| {
            let mut names: Vec<_> = self.services.keys().map(String::as_str).collect();
            names.sort_unstable();
            RemoteFailure::UnknownName(format!("the node's services do not name '{name}'; there are: {}", names.join(", ")))
        })
    }

    fn of(&self, session: &SessionId) -> Result<Arc<Session>, RemoteFailure> {
        let mut sessions = self.sessions.lock();
        if let Some(found) = sessions.get(session) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(Session {
            remote: remote_id().map_err(RemoteFailure::Failed)?,
            cancel: CancellationToken::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        sessions.insert(session.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn scope(service: &Service, session: &Session, trace: Option<&Trace>, patience: &Patience<'_>) -> Scope {
        Scope {
            timeout: service.timeout,
            deadline: patience.deadline(),
            trace: trace.cloned(),
            session: Some(session.remote.clone()),
            cancel: session.cancel.child_token(),
            ..Scope::default()
        }
    }
}

/// 128 random bits: enough that no two sessions of any number of machines meet.
fn remote_id() -> Result<SessionId> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| Error::new(Code::Internal, "the system gives no random bytes").because(error))?;
    let mut text = String::from("rm-");
    for byte in bits {
        let _ = write!(text, "{byte:02x}");
    }
    SessionId::new(&text)
}

/// What a failure is to the guest.
fn failure(error: Error, patience: &Patience<'_>) -> RemoteFailure {
    if patience.must_stop() {
        return RemoteFailure::Stopped;
    }
    let grpc_code = error.remote().and_then(|remote| remote.grpc_code);
    match (error.code(), grpc_code) {
        (Code::Unavailable | Code::BreakerOpen, _) => RemoteFailure::Unavailable(error),
        (Code::Deadline, _) => RemoteFailure::Deadline(error),
        (_, Some(grpc_code)) => RemoteFailure::Status { grpc_code, error },
        _ => RemoteFailure::Failed(error),
    }
}

/// One answer from another thread.
struct Awaited<T> {
    value: Mutex<Option<T>>,
    arrived: Condvar,
}

impl<T> Awaited<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(None), arrived: Condvar::new() })
    }

    fn give(&self, value: T) {
        *self.value.lock() = Some(value);
        self.arrived.notify_one();
    }

    /// The answer, or nothing when the guest must stop.
    fn wait(&self, patience: &Patience<'_>) -> Option<T> {
        let mut slot = self.value.lock();
        loop {
            if let Some(value) = slot.take() {
                return Some(value);
            }
            if patience.must_stop() {
                return None;
            }
            self.arrived.wait_until(&mut slot, next_look(patience));
        }
    }
}

fn next_look(patience: &Patience<'_>) -> Instant {
    let next = Instant::now() + LOOK;
    patience.deadline().map_or(next, |deadline| deadline.min(next))
}

impl Session {
    /// The open stream to a service, made if need be.
    fn stream(self: &Arc<Self>, name: &str, service: &Service, trace: Option<&Trace>) -> Arc<RemoteStream> {
        let mut state = self.state.lock();
        if let Some(open) = state.streams.iter().find(|open| open.service == name && !open.finished && !open.ended) {
            return Arc::clone(&open.stream);
        }
        // A stream outlives the item that opens it: its own time limit is the service's, not the guest's.
        let scope = Scope {
            timeout: service.timeout,
            session: Some(self.remote.clone()),
            trace: trace.cloned(),
            cancel: self.cancel.child_token(),
            ..Scope::default()
        };
        let stream = Arc::new(service.client.stream_node(&service.target, scope));
        state.streams.push(Open { service: name.to_owned(), stream: Arc::clone(&stream), finished: false, asking: false, ended: false });
        drop(state);
        self.ask();
        stream
    }

    /// Has every stream that may tell its next answers, while there is room for them.
    fn ask(self: &Arc<Self>) {
        let mut asked = Vec::new();
        {
            let mut state = self.state.lock();
            if state.arrived.len() >= ARRIVED_MAX {
                return;
            }
            for open in state.streams.iter_mut().filter(|open| !open.asking && !open.ended) {
                open.asking = true;
                asked.push(Arc::clone(&open.stream));
            }
        }
        for stream in asked {
            let (session, which) = (Arc::downgrade(self), Arc::downgrade(&stream));
            stream.receive(ARRIVED_MAX, Box::new(move |answer| arrived(&session, &which, answer)));
        }
    }

    fn note(&self, which: &Weak<RemoteStream>, answer: Result<Option<Vec<Packet>>>) {
        let mut state = self.state.lock();
        let Some(open) = state.streams.iter_mut().find(|open| Weak::ptr_eq(&Arc::downgrade(&open.stream), which)) else { return };
        open.asking = false;
        match answer {
            Ok(Some(packets)) => state.arrived.extend(packets.into_iter().map(Ok)),
            Ok(None) => open.ended = true,
            Err(error) => {
                open.ended = true;
                state.arrived.push_back(Err(error));
            }
        }
        state.streams.retain(|open| !open.ended);
        self.changed.notify_all();
    }
}

fn arrived(session: &Weak<Session>, which: &Weak<RemoteStream>, answer: Result<Option<Vec<Packet>>>) {
    if let Some(session) = session.upgrade() {
        session.note(which, answer);
        session.ask();
    }
}

impl RemoteServices for Services {
    fn call(&self, call: &RemoteCall<'_>) -> Result<Packet, RemoteFailure> {
        let service = self.service(call.service)?;
        let session = self.of(call.session)?;
        let scope = Self::scope(service, &session, call.packet.trace.as_ref(), &call.patience);
        let stop = scope.cancel.clone();
        let answer = Awaited::new();
        let (theirs, client, target, packet) = (Arc::clone(&answer), service.client.clone(), service.target.clone(), call.packet.clone());
        remote::spawn(async move { theirs.give(client.execute_node(&target, packet, &scope).await) }).map_err(RemoteFailure::Failed)?;
        match answer.wait(&call.patience) {
            Some(answer) => answer.map_err(|error| failure(error, &call.patience)),
            None => {
                stop.cancel();
                Err(RemoteFailure::Stopped)
            }
        }
    }

    fn send(&self, call: &RemoteCall<'_>) -> Result<(), RemoteFailure> {
        let service = self.service(call.service)?;
        let session = self.of(call.session)?;
        let stream = session.stream(call.service, service, call.packet.trace.as_ref());
        let accepted = stream.try_send(call.packet.clone()).map_err(|error| failure(error, &call.patience))?;
        if accepted {
            return Ok(());
        }
        let room = Awaited::new();
        let theirs = Arc::clone(&room);
        stream.room(Box::new(move |room| theirs.give(room)));
        // The packet is on its way; a stream that fails meanwhile tells so where its answers are fetched.
        room.wait(&call.patience).map_or(Err(RemoteFailure::Stopped), |_| Ok(()))
    }

    fn receive(&self, session: &SessionId, answers: Answers, patience: &Patience<'_>) -> Result<Option<Packet>, RemoteFailure> {
        let Some(session) = self.sessions.lock().get(session).map(Arc::clone) else { return Ok(None) };
        if answers == Answers::Rest {
            let mut finishing = Vec::new();
            for open in session.state.lock().streams.iter_mut().filter(|open| !open.finished) {
                open.finished = true;
                finishing.push(Arc::clone(&open.stream));
            }
            for stream in finishing {
                stream.finish();
            }
        }
        let mut state = session.state.lock();
        loop {
            if let Some(answer) = state.arrived.pop_front() {
                drop(state);
                session.ask();
                return answer.map(Some).map_err(|error| failure(error, patience));
            }
            if answers == Answers::Arrived || state.streams.is_empty() {
                return Ok(None);
            }
            if patience.must_stop() {
                return Err(RemoteFailure::Stopped);
            }
            session.changed.wait_until(&mut state, next_look(patience));
        }
    }

    fn session(&self, session: &SessionId, _patience: &Patience<'_>) -> Result<String, RemoteFailure> {
        Ok(self.of(session)?.remote.as_str().to_owned())
    }

    fn release(&self, session: &SessionId) {
        if let Some(session) = self.sessions.lock().remove(session) {
            session.cancel.cancel();
        }
    }
}
