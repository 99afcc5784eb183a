//! Which endpoint a call goes to.
//!
//! Problem: endpoints change (a registry's file, a name's addresses), some are down or ejected, and choosing must cost a call nothing.
//! Answer: the lanes are an immutable list that is replaced when the addresses change; a fixed list of addresses is never looked at again.
//! Names that stand for several addresses are resolved by the first call and again in the background, never on a timer. When every lane is
//! out, all are in again: trying is better than refusing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio::time::Instant;

use super::gate::Gates;
use super::lane::Lane;
use super::{connect, health};
use crate::error::Result;
use crate::remote::config::{Address, Balance, HealthWatch, RemoteConfig, Source, Transport};
use crate::remote::runtime;

/// How long the addresses of a name are good; about what DNS servers inside clusters use.
const RESOLVED_TTL: Duration = Duration::from_secs(10);

/// Looks up all addresses of a name.
type Resolver = Box<dyn Fn(Address) -> BoxFuture<'static, Result<Vec<SocketAddr>>> + Send + Sync>;

/// The endpoints of one client.
pub struct Balancer {
    source: Source,
    how: Balance,
    transport: Arc<Transport>,
    health: Option<HealthWatch>,
    gates: Option<Gates>,
    next: AtomicUsize,
    current: RwLock<Current>,
    resolver: Resolver,
    /// One resolution at a time.
    resolving: tokio::sync::Mutex<()>,
}

struct Current {
    lanes: Arc<[Arc<Lane>]>,
    /// Of the registry that the lanes were made from; nothing before the first look.
    generation: Option<u64>,
    /// When names were resolved; nothing where there are none.
    resolved: Option<Instant>,
}

impl Balancer {
    /// Of this configuration. Connects to nothing.
    pub fn new(config: &RemoteConfig) -> Self {
        Self::with(config, Box::new(|address| Box::pin(async move { connect::resolve(&address).await })))
    }

    fn with(config: &RemoteConfig, resolver: Resolver) -> Self {
        let current = Current { lanes: Arc::new([]), generation: None, resolved: None };
        let balancer = Self {
            source: config.source.clone(),
            how: config.balance,
            transport: Arc::clone(&config.transport),
            health: config.health_watch.clone(),
            gates: config.gates.clone(),
            next: AtomicUsize::new(0),
            current: RwLock::new(current),
            resolver,
            resolving: tokio::sync::Mutex::default(),
        };
        if let Source::Fixed(addresses) = &balancer.source
            && !addresses.iter().any(|address| address.every)
        {
            balancer.replace(0, addresses, None);
        }
        balancer
    }

    /// The lanes as they are.
    pub fn known(&self) -> Arc<[Arc<Lane>]> {
        Arc::clone(&self.current.read().lanes)
    }

    /// Lets go of all endpoints.
    pub fn clear(&self) {
        self.current.write().lanes = Arc::new([]);
    }

    /// The lanes, after a look at where they come from.
    pub async fn lanes(self: &Arc<Self>) -> Result<Arc<[Arc<Lane>]>> {
        let generation = match &self.source {
            Source::Fixed(_) => 0,
            Source::Service(named) => named.registry.generation(),
        };
        let stale = {
            let current = self.current.read();
            if current.generation == Some(generation) {
                match current.resolved {
                    None => return Ok(Arc::clone(&current.lanes)),
                    Some(at) if at.elapsed() < RESOLVED_TTL => return Ok(Arc::clone(&current.lanes)),
                    old => old,
                }
            } else {
                None
            }
        };
        if stale.is_some() {
            // Old addresses serve while new ones are looked up.
            let balancer = Arc::clone(self);
            runtime::spawn(async move {
                if let Err(error) = balancer.resolve(generation, stale).await {
                    tracing::warn!(target: "remote", %error, "the old addresses stay");
                }
            })?;
        } else {
            self.resolve(generation, None).await?;
        }
        Ok(self.known())
    }

    /// Makes the names be looked up again: an address did not answer.
    pub fn doubt(&self) {
        if self.current.read().resolved.is_none() {
            return;
        }
        let mut current = self.current.write();
        if let Some(at) = current.resolved
            && let Some(before) = Instant::now().checked_sub(RESOLVED_TTL)
        {
            current.resolved = Some(at.min(before));
        }
    }

    /// Looks the names up: for the first time in this generation, or again after the lookup at `stale`.
    async fn resolve(&self, generation: u64, stale: Option<Instant>) -> Result<()> {
        let _one = self.resolving.lock().await;
        let done = {
            let current = self.current.read();
            current.generation == Some(generation) && stale.is_none_or(|at| current.resolved != Some(at))
        };
        if done {
            // Somebody else did it meanwhile.
            return Ok(());
        }
        let asked = match &self.source {
            Source::Fixed(addresses) => addresses.clone(),
            Source::Service(named) => named.addresses()?,
        };
        let mut addresses = Vec::new();
        let mut resolved = None;
        for address in &asked {
            if !address.every {
                addresses.push(address.clone());
                continue;
            }
            resolved = Some(Instant::now());
            for found in (self.resolver)(address.clone()).await? {
                let one = address.at(found);
                if !addresses.contains(&one) {
                    addresses.push(one);
                }
            }
        }
        self.replace(generation, &addresses, resolved);
        Ok(())
    }

    /// Lanes to addresses that stay, stay.
    fn replace(&self, generation: u64, addresses: &[Address], resolved: Option<Instant>) {
        let mut current = self.current.write();
        let old = Arc::clone(&current.lanes);
        let same = old.len() == addresses.len() && old.iter().zip(addresses).all(|(lane, address)| lane.endpoint().address == *address);
        if !same {
            current.lanes = addresses
                .iter()
                .map(|address| {
                    let kept = old.iter().find(|lane| lane.endpoint().address == *address).map(Arc::clone);
                    kept.unwrap_or_else(|| {
                        let lane = Lane::new(address, &self.transport, self.gates.as_ref());
                        if let Some(watch) = &self.health {
                            health::follow(&lane, watch.clone());
                        }
                        lane
                    })
                })
                .collect();
        }
        current.generation = Some(generation);
        current.resolved = resolved;
    }

    /// One of `lanes`: not tried before if that can be helped, and not out.
    pub fn pick(&self, lanes: &[Arc<Lane>], tried: &[Arc<Lane>]) -> Option<Arc<Lane>> {
        if let [only] = lanes {
            return Some(Arc::clone(only));
        }
        let fresh = |lane: &Arc<Lane>| !tried.iter().any(|one| Arc::ptr_eq(one, lane));
        self.choose(lanes, &|lane| fresh(lane) && !lane.is_out())
            .or_else(|| self.choose(lanes, &fresh))
            .or_else(|| self.choose(lanes, &|lane| !lane.is_out()))
            .or_else(|| self.choose(lanes, &|_| true))
    }

    fn choose(&self, lanes: &[Arc<Lane>], wanted: &dyn Fn(&Arc<Lane>) -> bool) -> Option<Arc<Lane>> {
        let candidates: Vec<_> = lanes.iter().filter(|lane| wanted(lane)).collect();
        if candidates.is_empty() {
            return None;
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed) % candidates.len();
        let turned = candidates[start..].iter().chain(&candidates[..start]);
        match self.how {
            Balance::RoundRobin => turned.map(|lane| Arc::clone(lane)).next(),
            // Equally busy ones in turn: the first of the least is taken.
            Balance::LeastRequests => turned.min_by_key(|lane| lane.flights()).map(|lane| Arc::clone(lane)),
        }
    }

    /// Whether no other lane than this is in.
    pub fn is_alone(&self, lane: &Arc<Lane>) -> bool {
        !self.known().iter().any(|other| !Arc::ptr_eq(other, lane) && !other.is_ejected())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::remote::config::RemoteOptions;

    fn names(lanes: &[Arc<Lane>]) -> Vec<String> {
        lanes.iter().map(|lane| lane.name().to_owned()).collect()
    }

    fn config(endpoints: &[&str], balance: Balance) -> RemoteConfig {
        let endpoints = endpoints.iter().map(|text| (*text).to_owned()).collect();
        RemoteConfig::new(RemoteOptions { endpoints, balance, ..RemoteOptions::default() }).expect("options")
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_and_old_addresses_serve_meanwhile() {
        let answers = Arc::new(Mutex::new(vec!["10.0.0.2:7", "10.0.0.3:7"]));
        let asked = Arc::new(tokio::sync::Notify::new());
        let (told, rang) = (Arc::clone(&answers), Arc::clone(&asked));
        let resolver: Resolver = Box::new(move |_| {
            let list = told.lock().iter().map(|text| text.parse().expect("an address")).collect();
            rang.notify_one();
            Box::pin(async move { Ok(list) })
        });
        let balancer = Arc::new(Balancer::with(&config(&["dns:cluster:7", "10.0.0.1:7"], Balance::RoundRobin), resolver));
        let first = balancer.lanes().await.expect("lanes");
        assert_eq!(names(&first), ["10.0.0.2:7", "10.0.0.3:7", "10.0.0.1:7"]);
        asked.notified().await;

        *answers.lock() = vec!["10.0.0.3:7", "10.0.0.4:7"];
        assert_eq!(names(&balancer.lanes().await.expect("lanes")), names(&first));
        tokio::time::advance(RESOLVED_TTL).await;
        assert_eq!(names(&balancer.lanes().await.expect("lanes")), names(&first));
        // The lookup runs on the network's threads.
        asked.notified().await;
        let third = loop {
            let lanes = balancer.known();
            if names(&lanes) != names(&first) {
                break lanes;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(names(&third), ["10.0.0.3:7", "10.0.0.4:7", "10.0.0.1:7"]);
        // What stays keeps its connection and its record.
        assert!(Arc::ptr_eq(&first[1], &third[0]) && Arc::ptr_eq(&first[2], &third[2]));
    }

    #[tokio::test]
    async fn endpoints_take_turns() {
        let balancer = Balancer::new(&config(&["a:1", "b:1", "c:1"], Balance::RoundRobin));
        let lanes = balancer.known();
        let picked: Vec<_> = (0..6).map(|_| balancer.pick(&lanes, &[]).expect("a lane").name().to_owned()).collect();
        assert_eq!(picked, ["a:1", "b:1", "c:1", "a:1", "b:1", "c:1"]);
    }

    #[tokio::test]
    async fn the_least_busy_endpoint_is_taken() {
        let balancer = Balancer::new(&config(&["a:1", "b:1", "c:1"], Balance::LeastRequests));
        let lanes = balancer.known();
        let _flights = [lanes[0].enter(), lanes[0].enter(), lanes[2].enter()];
        assert!((0..5).all(|_| balancer.pick(&lanes, &[]).expect("a lane").name() == "b:1"));
    }

    #[tokio::test]
    async fn what_was_tried_or_ejected_comes_last() {
        let balancer = Balancer::new(&config(&["a:1", "b:1"], Balance::RoundRobin));
        let lanes = balancer.known();
        assert!((0..4).all(|_| balancer.pick(&lanes, &lanes[..1]).expect("a lane").name() == "b:1"));
        let rule = crate::remote::config::Outlier { failures: 1, eject: Duration::from_secs(30), max_eject: Duration::from_secs(30) };
        assert!(lanes[1].failed(&rule, balancer.is_alone(&lanes[1])));
        assert!((0..4).all(|_| balancer.pick(&lanes, &[]).expect("a lane").name() == "a:1"));
        // The last one is not ejected, and the ejected one is better than the one that just failed.
        assert!(!lanes[0].failed(&rule, balancer.is_alone(&lanes[0])));
        assert!((0..4).all(|_| balancer.pick(&lanes, &lanes[..1]).expect("a lane").name() == "b:1"));
        // All are out: any is better than none.
        lanes[0].set_healthy(false);
        assert!(balancer.pick(&lanes, &[]).is_some());
    }
}
