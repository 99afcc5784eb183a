//! A remote for tests: what a service does is in its name. Waiting is real, on conditions; nothing depends on the time of day.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use remotemedia_wasmedge::data::{Format, Kind, Packet, SessionId};
use remotemedia_wasmedge::engine::{Answers, Patience, RemoteCall, RemoteFailure, RemoteServices};
use remotemedia_wasmedge::error::{Code, Error};

/// How often somebody who waits looks up.
const LOOK: Duration = Duration::from_millis(2);

/// One thing that a guest asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub service: String,
    pub packet: Packet,
    pub session: String,
}

#[derive(Default)]
struct Stream {
    arrived: VecDeque<Result<Packet, Error>>,
    /// Answered when the stream has ended.
    later: VecDeque<Packet>,
    open: bool,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    released: Vec<String>,
    streams: HashMap<String, Stream>,
    gate_open: bool,
    /// Calls that wait at the gate or for ever.
    waiting: usize,
}

type Answer = Box<dyn Fn(&Packet) -> Result<Packet, RemoteFailure> + Send + Sync>;

/// The services. What a name that is not one of those below does is the test's own business.
#[derive(Default)]
pub struct Script {
    state: Mutex<State>,
    changed: Condvar,
    other: Option<Answer>,
}

impl Script {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Services that answer as `answer` says.
    pub fn answering(answer: impl Fn(&Packet) -> Result<Packet, RemoteFailure> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { other: Some(Box::new(answer)), ..Self::default() })
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().asked.clone()
    }

    pub fn released(&self) -> Vec<String> {
        self.state.lock().released.clone()
    }

    pub fn open_gate(&self) {
        self.state.lock().gate_open = true;
        self.changed.notify_all();
    }

    /// Waits until so many calls wait.
    pub fn until_waiting(&self, wanted: usize) {
        self.until(|state| state.waiting == wanted);
    }

    /// Waits until so many sessions were released.
    pub fn until_released(&self, wanted: usize) {
        self.until(|state| state.released.len() == wanted);
    }

    fn until(&self, done: impl Fn(&State) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        let mut state = self.state.lock();
        while !done(&state) {
            assert!(!self.changed.wait_until(&mut state, end).timed_out(), "waiting {}, released {:?}", state.waiting, state.released);
        }
    }

    /// Waits as a service does that takes its time.
    fn wait(&self, patience: &Patience<'_>, done: impl Fn(&State) -> bool) -> Result<(), RemoteFailure> {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        let result = loop {
            if done(&state) {
                break Ok(());
            }
            if patience.must_stop() {
                break Err(RemoteFailure::Stopped);
            }
            let next = Instant::now() + LOOK;
            self.changed.wait_until(&mut state, patience.deadline().map_or(next, |deadline| deadline.min(next)));
        };
        state.waiting -= 1;
        self.changed.notify_all();
        result
    }
}

pub fn text(text: impl Into<String>) -> Packet {
    Packet::new(Format::Plain(Kind::Text), text.into().into_bytes())
}

impl RemoteServices for Script {
    fn call(&self, call: &RemoteCall<'_>) -> Result<Packet, RemoteFailure> {
        let asked = Asked { service: call.service.to_owned(), packet: call.packet.clone(), session: call.session.to_string() };
        self.state.lock().asked.push(asked);
        let error = |code| Error::new(code, format!("{} said no", call.service));
        match call.service {
            "echo" => Ok(call.packet.clone()),
            "large" => Ok(Packet::binary(vec![7; 100_000])),
            "gate" => self.wait(&call.patience, |state| state.gate_open).map(|()| call.packet.clone()),
            "silent" => self.wait(&call.patience, |_| false).map(|()| call.packet.clone()),
            "forbidden" => Err(RemoteFailure::NotAllowed("forbidden is not on the list".into())),
            "nobody" => Err(RemoteFailure::UnknownName("nobody is not known".into())),
            "down" => Err(RemoteFailure::Unavailable(error(Code::Unavailable))),
            "open" => Err(RemoteFailure::Unavailable(error(Code::BreakerOpen))),
            "late" => Err(RemoteFailure::Deadline(error(Code::Deadline))),
            "denied" => Err(RemoteFailure::Status { grpc_code: 7, error: error(Code::Remote) }),
            "odd" => Err(RemoteFailure::Status { grpc_code: 99, error: error(Code::Remote) }),
            "broken" => Err(RemoteFailure::Failed(error(Code::Remote))),
            "bug" => panic!("a bug in the remote"),
            _ => self.other.as_ref().map_or_else(|| Err(RemoteFailure::UnknownName(call.service.into())), |other| other(&call.packet)),
        }
    }

    fn send(&self, call: &RemoteCall<'_>) -> Result<(), RemoteFailure> {
        let body = String::from_utf8_lossy(&call.packet.bytes).into_owned();
        let mut state = self.state.lock();
        let asked = Asked { service: call.service.to_owned(), packet: call.packet.clone(), session: call.session.to_string() };
        state.asked.push(asked);
        let stream = state.streams.entry(call.session.to_string()).or_default();
        stream.open = true;
        match call.service {
            "soon" => stream.arrived.push_back(Ok(text(format!("soon:{body}")))),
            "later" | "endless" => stream.later.push_back(text(format!("later:{body}"))),
            "flood" => stream.arrived.extend((0..10).map(|_| Ok(Packet::binary(vec![7; 100_000])))),
            "lost" => stream.arrived.push_back(Err(Error::new(Code::Unavailable, format!("{body} was not delivered")))),
            "full" => {
                drop(state);
                return self.wait(&call.patience, |state| state.gate_open);
            }
            name => return Err(RemoteFailure::UnknownName(format!("{name} is not known"))),
        }
        Ok(())
    }

    fn receive(&self, session: &SessionId, answers: Answers, patience: &Patience<'_>) -> Result<Option<Packet>, RemoteFailure> {
        let mut state = self.state.lock();
        let Some(stream) = state.streams.get_mut(session.as_str()) else { return Ok(None) };
        if answers == Answers::Rest && std::mem::take(&mut stream.open) {
            let endless = stream.later.iter().any(|packet| packet.bytes.ends_with(b"endless"));
            if endless {
                drop(state);
                return self.wait(patience, |_| false).map(|()| None);
            }
            let later: Vec<_> = stream.later.drain(..).map(Ok).collect();
            stream.arrived.extend(later);
        }
        stream.arrived.pop_front().transpose().map_err(RemoteFailure::Failed)
    }

    fn session(&self, session: &SessionId, _patience: &Patience<'_>) -> Result<String, RemoteFailure> {
        Ok(format!("remote-of-{session}"))
    }

    fn release(&self, session: &SessionId) {
        let mut state = self.state.lock();
        state.streams.remove(session.as_str());
        state.released.push(session.to_string());
        self.changed.notify_all();
    }
}
