//! The sessions that clients name.
//!
//! Problem: the protocol has no word for the end of a session, and a client can name as many as it likes. Answer: a bounded table. A session
//! that no call uses goes when it was idle for too long, when it is the one unused for longest and there are too many, and when the service
//! ends; its handler is told. What a session holds is the handler's.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;
use parking_lot::Mutex;

use super::handler::Handler;
use crate::data::SessionId;

type Key = (String, SessionId);

struct Session {
    handler: Arc<dyn Handler>,
    created: SystemTime,
    active: SystemTime,
    last_use: Instant,
    users: usize,
    items: u64,
}

/// What clients are told about a session.
pub struct SessionReport {
    /// The client's name for it.
    pub id: SessionId,
    /// Its node.
    pub node_type: String,
    /// When it was first named.
    pub created: SystemTime,
    /// When it was last used.
    pub active: SystemTime,
    /// Items given to its node.
    pub items: u64,
}

/// The table.
pub struct Sessions {
    table: Mutex<LruCache<Key, Session>>,
    max: usize,
    ttl: Duration,
}

/// Sessions that ended, with who has to be told.
pub type Ended = Vec<(Arc<dyn Handler>, SessionId)>;

impl Sessions {
    /// An empty table.
    pub fn new(max: usize, ttl: Duration) -> Self {
        Self { table: Mutex::new(LruCache::unbounded()), max, ttl }
    }

    /// Says that a call uses the session, until the answer is dropped. True for a new one. Others may have ended to make room.
    pub fn enter(self: &Arc<Self>, node_type: &str, id: &SessionId, handler: &Arc<dyn Handler>) -> (SessionUse, bool, Ended) {
        let key = (node_type.to_owned(), id.clone());
        let mut table = self.table.lock();
        let now = (Instant::now(), SystemTime::now());
        let is_new = !table.contains(&key);
        let session = table.get_or_insert_mut(key.clone(), || Session {
            handler: Arc::clone(handler),
            created: now.1,
            active: now.1,
            last_use: now.0,
            users: 0,
            items: 0,
        });
        session.users += 1;
        (session.last_use, session.active) = now;
        let mut ended = Vec::new();
        // All in use: there are no more of them than calls, which are bounded.
        while table.len() > self.max {
            let Some(unused) = table.iter().rev().find(|(_, session)| session.users == 0).map(|(key, _)| key.clone()) else { break };
            ended.extend(table.pop(&unused).map(|session| (session.handler, unused.1)));
        }
        (SessionUse { sessions: Arc::clone(self), key }, is_new, ended)
    }

    /// Takes out what was unused for too long.
    pub fn expired(&self) -> Ended {
        let mut table = self.table.lock();
        let Some(limit) = Instant::now().checked_sub(self.ttl) else { return Vec::new() };
        // The order of use: those in use may stand among the old ones.
        let old = table.iter().rev().take_while(|(_, session)| session.last_use <= limit);
        let keys: Vec<_> = old.filter(|(_, session)| session.users == 0).map(|(key, _)| key.clone()).collect();
        keys.into_iter().filter_map(|key| table.pop(&key).map(|session| (session.handler, key.1))).collect()
    }

    /// Takes out all.
    pub fn drain(&self) -> Ended {
        let mut table = self.table.lock();
        let mut ended = Vec::with_capacity(table.len());
        while let Some((key, session)) = table.pop_lru() {
            ended.push((session.handler, key.1));
        }
        ended
    }

    /// How often to look for expired ones.
    pub fn sweep_interval(&self) -> Duration {
        (self.ttl / 4).clamp(Duration::from_millis(10), Duration::from_secs(30))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// The `max` that were used last.
    pub fn report(&self, max: usize) -> Vec<SessionReport> {
        let table = self.table.lock();
        let of = |((node_type, id), session): (&Key, &Session)| SessionReport {
            id: id.clone(),
            node_type: node_type.clone(),
            created: session.created,
            active: session.active,
            items: session.items,
        };
        table.iter().take(max).map(of).collect()
    }
}

/// A call's use of a session.
pub struct SessionUse {
    sessions: Arc<Sessions>,
    key: Key,
}

impl SessionUse {
    /// Counts an item.
    pub fn item(&self) {
        if let Some(session) = self.sessions.table.lock().peek_mut(&self.key) {
            session.items += 1;
        }
    }
}

impl Drop for SessionUse {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.table.lock().get_mut(&self.key) {
            session.users = session.users.saturating_sub(1);
            (session.last_use, session.active) = (Instant::now(), SystemTime::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::super::handler::CallInfo;
    use super::*;
    use crate::data::Packet;
    use crate::error::Result;

    struct Nothing;

    impl Handler for Nothing {
        fn execute(&self, _: CallInfo, _: Packet) -> BoxFuture<'static, Result<Vec<Packet>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    fn id(text: &str) -> SessionId {
        SessionId::new(text).expect("an id")
    }

    fn names(ended: Ended) -> Vec<String> {
        ended.into_iter().map(|(_, id)| id.as_str().to_owned()).collect()
    }

    #[test]
    fn one_session_too_many_ends_the_one_unused_for_longest() {
        let sessions = Arc::new(Sessions::new(2, Duration::from_secs(600)));
        let handler: Arc<dyn Handler> = Arc::new(Nothing);
        let enter = |name: &str| sessions.enter("n", &id(name), &handler);
        let (in_use, is_new, _) = enter("a");
        assert!(is_new);
        drop(enter("b"));
        drop(enter("b"));
        let (_, is_new, ended) = enter("c");
        assert!(is_new);
        assert_eq!(names(ended), ["b"], "a is older, but in use");
        drop(in_use);
        assert_eq!(names(enter("d").2), ["c"], "leaving counts as a use");
        assert_eq!(sessions.len(), 2);
        let mut rest = names(sessions.drain());
        rest.sort();
        assert_eq!(rest, ["a", "d"]);
    }

    #[test]
    fn only_sessions_that_no_call_uses_expire() {
        let sessions = Arc::new(Sessions::new(10, Duration::ZERO));
        let handler: Arc<dyn Handler> = Arc::new(Nothing);
        let (in_use, ..) = sessions.enter("n", &id("busy"), &handler);
        in_use.item();
        drop(sessions.enter("n", &id("idle"), &handler));
        assert_eq!(names(sessions.expired()), ["idle"]);
        assert_eq!(sessions.report(9).into_iter().map(|one| (one.node_type, one.items)).collect::<Vec<_>>(), [("n".to_owned(), 1)]);
        drop(in_use);
        assert_eq!(names(sessions.expired()), ["busy"]);
    }
}
