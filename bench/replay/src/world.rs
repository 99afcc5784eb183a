//! The world that a trace takes place in: how long each side takes for an item at a moment, on average and really.

/// A side: 0 is the edge, 1 the cloud.
pub type SideIndex = usize;
pub const EDGE: SideIndex = 0;
pub const CLOUD: SideIndex = 1;

/// Splitmix64: enough randomness for a simulation, and the same on every machine.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-12), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().max(1e-12).ln()
    }
}

/// How a dead cloud behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dead {
    /// Connections are refused.
    Fast,
    /// Nothing comes, until the item's time is over.
    Timeout(f64),
}

/// Parameters at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub rtt_ms: f64,
    /// Bytes per millisecond.
    pub bandwidth: f64,
    pub cloud_service_ms: f64,
    pub cloud_per_kib_ms: f64,
    pub cloud_fails: f64,
    pub dead: Option<Dead>,
    pub edge_base_ms: f64,
    pub edge_per_kib_ms: f64,
    /// How many times longer the edge takes.
    pub edge_slow: f64,
    /// Share of the processors in use, as the machine says.
    pub cpu: f64,
    pub workers: usize,
    /// Cost of a call to the cloud and of a byte sent there, in milliseconds of latency.
    pub cloud_call: f64,
    pub cloud_byte: f64,
}

impl Default for Moment {
    fn default() -> Self {
        Self {
            rtt_ms: 20.0,
            bandwidth: 6_000.0,
            cloud_service_ms: 6.0,
            cloud_per_kib_ms: 0.02,
            cloud_fails: 0.001,
            dead: None,
            edge_base_ms: 1.0,
            edge_per_kib_ms: 0.6,
            edge_slow: 1.0,
            cpu: 0.3,
            workers: 4,
            cloud_call: 2.0,
            cloud_byte: 0.0,
        }
    }
}

/// An item of a trace, with the noise that it will meet on either side: the same whoever decides.
#[derive(Clone, Copy, Debug)]
pub struct TraceItem {
    pub at_ms: f64,
    pub bytes: u64,
    noise: [f64; 2],
    fails: f64,
}

/// Spread of the noise, as that of its logarithm.
const NOISE: [f64; 2] = [0.2, 0.3];

impl TraceItem {
    pub fn new(at_ms: f64, bytes: u64, random: &mut Random) -> Self {
        let mut noise = [1.0; 2];
        for (noise, sigma) in noise.iter_mut().zip(NOISE) {
            *noise = (sigma * random.normal() - sigma * sigma / 2.0).exp();
        }
        Self { at_ms, bytes, noise, fails: random.uniform() }
    }
}

impl Moment {
    /// Time of work at the edge, on average.
    pub fn edge_service(&self, bytes: u64) -> f64 {
        (self.edge_base_ms + self.edge_per_kib_ms * bytes as f64 / 1024.0) * self.edge_slow
    }

    fn cloud_work(&self, bytes: u64) -> f64 {
        self.cloud_service_ms + self.cloud_per_kib_ms * bytes as f64 / 1024.0
    }

    /// Time until the cloud answers, on average, if it does.
    pub fn cloud_latency(&self, bytes: u64) -> f64 {
        self.rtt_ms + bytes as f64 / self.bandwidth + self.cloud_work(bytes)
    }

    /// What the cloud costs beside its latency.
    pub fn cloud_price(&self, bytes: u64) -> f64 {
        self.cloud_call + self.cloud_byte * bytes as f64
    }

    /// How long the edge really works.
    pub fn real_edge(&self, item: &TraceItem) -> f64 {
        self.edge_service(item.bytes) * item.noise[EDGE]
    }

    /// How long the cloud really takes, and whether it answers.
    pub fn real_cloud(&self, item: &TraceItem) -> (f64, bool) {
        match self.dead {
            Some(Dead::Fast) => (self.rtt_ms * 0.5, false),
            Some(Dead::Timeout(ms)) => (ms, false),
            None => {
                let network = self.rtt_ms + item.bytes as f64 / self.bandwidth;
                (network * (0.8 + 0.2 * item.noise[CLOUD]) + self.cloud_work(item.bytes) * item.noise[CLOUD], item.fails >= self.cloud_fails)
            }
        }
    }

    /// Expected cost of a choice, when the edge would begin after `wait_ms`. A failure is served by the other side.
    pub fn expected(&self, side: SideIndex, bytes: u64, wait_ms: f64) -> f64 {
        let edge = wait_ms + self.edge_service(bytes);
        if side == EDGE {
            return edge;
        }
        match self.dead {
            Some(Dead::Fast) => self.rtt_ms * 0.5 + edge,
            Some(Dead::Timeout(ms)) => ms + edge,
            None => self.cloud_latency(bytes) + self.cloud_price(bytes) + self.cloud_fails * edge,
        }
    }
}
