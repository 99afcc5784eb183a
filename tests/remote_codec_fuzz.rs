//! Broken and hostile bytes: no reader panics, and none holds more than it paid for.
//!
//! The allocator of this test binary counts, so that what the readers say they hold is compared with what they do hold. Real pickles come
//! from `remote_codec/oracle.py` and are mutated: 200,000 in a run, the same ones each time; `CODEC_MORE=50` makes more of them.

#[path = "python/mod.rs"]
mod python;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remotemedia_wasmedge::data::Bytes;
use remotemedia_wasmedge::error::Code;
use remotemedia_wasmedge::remote::codec::{Budget, Wire, decode, decode_value_within, from_value, parse_config};
use serde_json::json;

/// Counts what is held. One test at a time runs in this binary, so it needs no more than two numbers.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator's; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` held at its highest, beyond what was held before, and what it returns.
fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (PEAK.load(Ordering::Relaxed).saturating_sub(before), result)
}

/// Beyond what is paid for: error messages, tables that start with room for a few, a table of names.
const SMALL: usize = 16 << 10;

/// Reads a payload every way and holds the readers to their word.
fn read(bytes: &Bytes, wire: Wire) -> bool {
    let mut budget = Budget::for_message(bytes.len());
    let (peak, value) = peak_of(|| decode_value_within(bytes, wire, &mut budget));
    // A table that grows is copied: for a moment the old one and the new one, twice as large, are there.
    let allowed = 2 * budget.used() + SMALL;
    assert!(peak <= allowed, "held {peak} bytes and paid for {}: {wire:?} {}", budget.used(), STANDARD.encode(bytes));
    let good = value.is_ok();
    match value {
        Ok(value) => drop(from_value(value)),
        Err(error) => assert_eq!(error.code(), Code::Serialization, "{error}"),
    }
    let (peak, packet) = peak_of(|| decode(bytes, wire));
    let most = 2 * budget.total() + SMALL;
    assert!(peak <= most, "held {peak} bytes of {most}: {wire:?} {}", STANDARD.encode(bytes));
    if let Err(error) = packet {
        assert_eq!(error.code(), Code::Serialization, "{error}");
    }
    good
}

/// Marsaglia's xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Opcodes more often than other bytes.
    fn byte(&mut self) -> u8 {
        const OPCODES: &[u8] = b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu}])GBC\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98";
        if self.below(3) > 0 { OPCODES[self.below(OPCODES.len())] } else { self.next() as u8 }
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(4) == 0 { len - start } else { (len - start).min(16) };
        start..start + self.below(most + 1)
    }

    fn mutate(&mut self, seeds: &[Bytes]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            let range = self.range(bytes.len());
            match self.below(8) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 | 2 if !bytes.is_empty() => bytes[at] = self.byte(),
                3 => drop(bytes.splice(range, [])),
                4 => {
                    let copy = bytes[range].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
                5 => {
                    let other = &seeds[self.below(seeds.len())];
                    let part = other[self.range(other.len())].to_vec();
                    drop(bytes.splice(range, part));
                }
                6 => {
                    let new: Vec<u8> = (0..self.below(8)).map(|_| self.byte()).collect();
                    drop(bytes.splice(at..at, new));
                }
                _ => {
                    // Lengths and numbers at their limits.
                    let number = [u64::MAX, u64::from(u32::MAX), i64::MAX as u64, 1 << 31, 0xffff, 0x80][self.below(6)].to_le_bytes();
                    let width = [1, 2, 4, 8][self.below(4)];
                    for (to, from) in bytes.iter_mut().skip(at).zip(&number[..width]) {
                        *to = *from;
                    }
                }
            }
            bytes.truncate(16_384);
        }
        bytes
    }
}

fn count(base: usize) -> usize {
    std::env::var("CODEC_MORE").map_or(base, |more| base * more.parse::<usize>().expect("a number"))
}

fn real_pickles() -> Vec<Bytes> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/remote_codec/oracle.py");
    let mut oracle = python::Script::start(&python::with_packages(&["numpy>=2"]), &script);
    let mut seeds = Vec::new();
    for protocol in 0..=5 {
        for what in ["values", "refusals"] {
            let answer = oracle.ask(&json!({ "what": what, "protocol": protocol }));
            let pickles = answer.as_array().expect("cases").iter().map(|case| STANDARD.decode(case[1].as_str().expect("text")).expect("base64"));
            // Long ones are long in few ways.
            seeds.extend(pickles.filter(|pickle| pickle.len() <= 2048).map(Bytes::from));
        }
    }
    assert!(seeds.len() > 300, "{} pickles", seeds.len());
    seeds
}

/// The bombs that are within what a message may take when read; what becomes of them as packets is bounded, too.
const READABLE: [&str; 5] = ["bytes in json", "copies", "array of nothing", "memo", "memo with gaps"];

/// Bytes that stand for far more than they are.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let laughs = {
        // A list of ten of the list before, thirty times.
        let mut pickle = b"\x80\x04]\x94K\x01a".to_vec();
        for level in 0..30_u8 {
            pickle.extend([b"]\x94(".as_slice(), &[b'h', level].repeat(10), b"e"].concat());
        }
        [pickle, b".".to_vec()].concat()
    };
    let text = {
        // One text of 60 KB, a hundred thousand times in a list.
        let mut pickle = [b"\x80\x04X".as_slice(), &60_000_u32.to_le_bytes(), &vec![b'a'; 60_000], b"q\x000]("].concat();
        pickle.extend(b"h\x00".repeat(100_000));
        [pickle, b"e.".to_vec()].concat()
    };
    let repeated = |byte: &[u8], times: usize| [b"\x80\x04".as_slice(), &byte.repeat(times), b"."].concat();
    let sets = {
        // A list of ten thousand numbers, made a set of ten thousand times.
        let mut pickle = [b"\x80\x04](".as_slice(), &b"K\x01".repeat(10_000), b"eq\x000c__builtin__\nset\nq\x010("].concat();
        pickle.extend(b"h\x01h\x00\x85R".repeat(10_000));
        [pickle, b"t.".to_vec()].concat()
    };
    let bytes_in_json = {
        // Bytes are shared when read; as json each is text of its own.
        let mut pickle = [b"\x80\x04B".as_slice(), &1_000_000_u32.to_le_bytes(), &vec![7; 1_000_000], b"q\x000]("].concat();
        pickle.extend(b"h\x00".repeat(10_000));
        [pickle, b"e.".to_vec()].concat()
    };
    let gaps =
        [b"\x80\x04N".to_vec(), (0..400_000_u32).flat_map(|key| [[b'r'].as_slice(), &(key * 3 + 7).to_le_bytes()].concat()).collect(), b".".to_vec()]
            .concat();
    vec![
        ("laughs", laughs),
        ("text", text),
        ("sets", sets),
        ("bytes in json", bytes_in_json),
        ("lists", repeated(b"]", 2_000_000)),
        ("marks", repeated(b"(", 5_000_000)),
        ("tuples of nothing", repeated(b")", 2_000_000)),
        ("memo", [b"\x80\x04N".as_slice(), &b"\x94".repeat(5_000_000), b"."].concat()),
        ("memo with gaps", gaps),
        ("nested", [b"]".repeat(1_000_000).as_slice(), &b"a".repeat(999_999), b"."].concat()),
        ("copies", repeated(b"N2222222", 1_000_000)),
        ("long text", [b"\x80\x04\x8d".as_slice(), &u64::MAX.to_le_bytes(), b"abc."].concat()),
        ("wide array", b"\x80\x04cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftX\x03\0\0\0<f8\x86R.".to_vec()),
        ("array of nothing", b"\x80\x04cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftX\x03\0\0\0|S0C\0\x87R.".to_vec()),
    ]
}

#[test]
fn no_bytes_make_a_reader_panic_or_hold_more_than_it_paid_for() {
    for (name, pickle) in bombs() {
        assert!(!read(&pickle.into(), Wire::Pickle) || READABLE.contains(&name), "{name}");
    }
    for json in
        ["[".repeat(1_000_000), "[[],".repeat(1_000_000), "{\"a\":".repeat(300_000), "9".repeat(1_000_000), format!("[{}1]", "1,".repeat(8_000_000))]
    {
        read(&json.clone().into(), Wire::Json);
        parse_config(&[("key".to_owned(), json)].into());
    }

    let seeds = real_pickles();
    let mut random = Random(0x5eed_0000_0000_0001);
    let (mut good, all) = (0, count(200_000));
    for _ in 0..all {
        good += usize::from(read(&random.mutate(&seeds).into(), Wire::Pickle));
    }
    // Neither all broken at their first byte, nor all harmless.
    assert!(good > all / 50 && good < all * 9 / 10, "{good} of {all} could still be read");

    let texts: Vec<Bytes> = [
        r#"{"a": [1, -2.5e3, true, null, "x\u00e9\ud83d\ude00\n"], "b": {"__numpy__": true, "array": {"meta": {"dtype": "<f4", "shape": [2]}, "data": "AAAAAAAAAAA="}}}"#,
        "[NaN, Infinity, -Infinity, 123456789012345678901234567890, {}]",
        "{'a': (1, 2.5, True), b'x': {1, 2}, r'\\d': \"\"\"long\n\"\"\", 0x1f: -1_000}",
        "('text' 'and more', [None, False,], set(), (), {1: {2: [3]}})",
    ]
    .map(|text| Bytes::from_static(text.as_bytes()))
    .into();
    let mut understood = 0;
    for _ in 0..count(50_000) {
        let text = random.mutate(&texts);
        read(&text.clone().into(), Wire::Json);
        let text = String::from_utf8_lossy(&text).into_owned();
        let parsed = parse_config(&[("key".to_owned(), text.clone())].into());
        understood += usize::from(parsed["key"] != text);
    }
    assert!(understood > 100, "{understood} texts were understood");
}
