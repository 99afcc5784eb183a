//! Answers to items, handed to JavaScript by the hundred.
//!
//! Problem: a guest answers in a microsecond, and making one promise, one array and one packet through the addon interface takes several.
//! Answer: JavaScript keeps a slot for each item and gives native code its number, the ticket. Finished items are written into one array
//! of numbers and one arena of bytes, and a single call lets JavaScript make the packets itself, in code that its compiler knows. Only what
//! is rare or large (errors, metadata, audio, big buffers) is made here, value by value. The layout is twinned in `js/packets.js`.

use std::sync::Arc;

use napi::sys;

use super::door::{Door, Work};
use super::hooks::{self, Hook};
use super::value::{Js, Value};
use super::{door, error};
use crate::data::{Format, Kind, Packet};
use crate::error::{Code, Error, Result};

/// Numbers of the shared array: `js/packets.js` makes it this long.
pub const HEADS: usize = 8_192;
/// Numbers that one record takes at most beside its packets, and that one packet takes.
const RECORD_NUMBERS: usize = 3;
const PACKET_NUMBERS: usize = 6;
/// Bytes of one arena. A small result that is kept keeps its arena, as with Node's own pool of 8 KiB.
const ARENA_BYTES: usize = 16 << 10;
/// Payloads above this get memory of their own.
const SMALL_BYTES: usize = 4 << 10;

/// An item's way back: answers its slot exactly once, with an error if the work is dropped undone.
pub struct Ticket {
    number: u32,
    door: Arc<Door>,
    answered: bool,
}

impl Ticket {
    /// The slot `number` of this environment; keeps the process alive until it is answered.
    pub fn new(env: sys::napi_env, number: u32) -> Js<Self> {
        let door = door::here(env)?;
        door.expect(env);
        Ok(Self { number, door, answered: false })
    }

    /// The slot's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Answers, from any thread.
    pub fn answer(mut self, result: Result<Vec<Packet>>) {
        self.answered = true;
        self.door.push(Work::Answer(self.number, result));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            let lost = Error::new(Code::Internal, "the work was dropped before it was done");
            self.door.push(Work::Answer(self.number, Err(lost)));
        }
    }
}

/// What is collected for the next call into JavaScript.
pub struct Batch {
    env: sys::napi_env,
    heads: &'static mut [f64],
    used: usize,
    records: usize,
    arena: Vec<u8>,
    extras: Option<Value>,
    extra_count: u32,
    scope: sys::napi_handle_scope,
}

impl Batch {
    /// An empty batch over the environment's shared array.
    pub fn new(env: sys::napi_env) -> Js<Self> {
        let heads = hooks::heads(env)?;
        let mut batch = Self { env, heads, used: 0, records: 0, arena: Vec::new(), extras: None, extra_count: 0, scope: std::ptr::null_mut() };
        batch.open();
        Ok(batch)
    }

    fn open(&mut self) {
        // SAFETY: closed by `close`, in this frame's callback.
        unsafe { sys::napi_open_handle_scope(self.env, &raw mut self.scope) };
    }

    fn close(&mut self) {
        // SAFETY: opened by `open` and not closed since.
        unsafe { sys::napi_close_handle_scope(self.env, self.scope) };
    }

    fn number(&mut self, number: f64) {
        if let Some(head) = self.heads.get_mut(self.used) {
            *head = number;
            self.used += 1;
        }
    }

    /// Puts a value beside the numbers; its index.
    fn extra(&mut self, value: Value) -> Js<f64> {
        let extras = match self.extras {
            Some(extras) => extras,
            None => *self.extras.insert(Value::array(self.env, 0)?),
        };
        extras.set_at(self.extra_count, value)?;
        self.extra_count += 1;
        Ok(f64::from(self.extra_count - 1))
    }

    /// Adds one answer; hands over what is there before it would not fit.
    pub fn add(&mut self, ticket: u32, result: Result<Vec<Packet>>) {
        let packets = match &result {
            Ok(packets) => packets.as_slice(),
            Err(_) => &[],
        };
        let small: usize = packets.iter().map(|packet| packet.bytes.len()).filter(|bytes| *bytes <= SMALL_BYTES).sum();
        let numbers = RECORD_NUMBERS + packets.len() * PACKET_NUMBERS;
        if self.used + numbers > HEADS || (self.records > 0 && self.arena.len() + small > ARENA_BYTES) {
            self.hand_over();
        }
        if numbers > HEADS {
            // A thousand outputs for one item: rare enough to go by pieces of their own values.
            return self.add_large(ticket, packets);
        }
        let start = (self.used, self.arena.len());
        self.number(f64::from(ticket));
        let written = match result {
            Ok(packets) => {
                #[expect(clippy::cast_precision_loss, reason = "below HEADS")]
                self.number(packets.len() as f64);
                packets.iter().try_for_each(|packet| self.packet(packet))
            }
            Err(error) => self.failure(&error),
        };
        if written.is_err() {
            // JavaScript refused to make a value, as it does when it is out of memory: the slot gets that exception.
            (self.used, _) = start;
            self.arena.truncate(start.1);
            let thrown = Value::take_exception(self.env).unwrap_or_else(|| Value::undefined(self.env));
            self.number(f64::from(ticket));
            self.number(-1.0);
            let index = self.extra(thrown).unwrap_or(0.0);
            self.number(index);
        }
        self.records += 1;
    }

    fn failure(&mut self, error: &Error) -> Js<()> {
        let error = error::to_js(self.env, error)?;
        let index = self.extra(error)?;
        self.number(-1.0);
        self.number(index);
        Ok(())
    }

    /// A count beyond the shared array: the packets' numbers and bytes travel in an array of their own.
    fn add_large(&mut self, ticket: u32, packets: &[Packet]) {
        for (index, part) in packets.chunks((HEADS - RECORD_NUMBERS) / PACKET_NUMBERS).enumerate() {
            if index > 0 {
                self.hand_over();
            }
            let last = (index + 1) * ((HEADS - RECORD_NUMBERS) / PACKET_NUMBERS) >= packets.len();
            self.number(f64::from(ticket));
            #[expect(clippy::cast_precision_loss, reason = "below HEADS")]
            let count = part.len() as f64;
            // A negative count below -1 says that more of the same item follow.
            self.number(if last { count } else { -2.0 - count });
            if part.iter().try_for_each(|packet| self.packet(packet)).is_err() {
                let _ = Value::take_exception(self.env);
            }
            self.records += 1;
            self.hand_over();
        }
    }

    /// `kind, sequence, where, length, timestamp, extra`: `where` is an offset in the arena, or -1 when `extra` holds the payload.
    fn packet(&mut self, packet: &Packet) -> Js<()> {
        #[expect(clippy::cast_precision_loss, reason = "sizes and counts far below 2^53")]
        let (sequence, length, offset) = (packet.sequence as f64, packet.bytes.len() as f64, self.arena.len() as f64);
        let plain = matches!(packet.format, Format::Plain(_));
        let in_arena = plain && packet.bytes.len() <= SMALL_BYTES;
        let extra = if in_arena && packet.metadata.is_none() && packet.route.is_none() { -1.0 } else { self.describe(packet, in_arena)? };
        if in_arena {
            self.arena.extend_from_slice(&packet.bytes);
        }
        self.number(f64::from(packet.kind() as i32));
        self.number(sequence);
        self.number(if in_arena { offset } else { -1.0 });
        self.number(length);
        self.number(packet.timestamp_ms.unwrap_or(f64::NAN));
        self.number(extra);
        Ok(())
    }

    /// What numbers cannot say, as six values in a row: payload, metadata as JSON text, three that describe the format, and the route as
    /// JSON text.
    fn describe(&mut self, packet: &Packet, in_arena: bool) -> Js<f64> {
        let env = self.env;
        let undefined = Value::undefined(env);
        let (mut a, mut b, mut c) = (undefined, undefined, undefined);
        let payload = match &packet.format {
            _ if in_arena => undefined,
            Format::Plain(Kind::Text | Kind::Json) => Value::string(env, &String::from_utf8_lossy(&packet.bytes))?,
            Format::Plain(_) => Value::buffer(env, &packet.bytes)?,
            Format::Audio { sample_rate, channels } => {
                a = Value::number(env, *sample_rate)?;
                b = Value::number(env, f64::from(*channels))?;
                Value::array_buffer(env, &packet.bytes)?
            }
            Format::Tensor { dtype, shape } => {
                a = Value::string(env, dtype)?;
                b = Value::from_json(env, &serde_json::to_string(shape).unwrap_or_default())?;
                Value::buffer(env, &packet.bytes)?
            }
            Format::Video { width, height, format } => {
                a = Value::number(env, f64::from(*width))?;
                b = Value::number(env, f64::from(*height))?;
                c = Value::string(env, format)?;
                Value::buffer(env, &packet.bytes)?
            }
        };
        let metadata = match &packet.metadata {
            Some(metadata) => Value::string(env, &serde_json::to_string(&**metadata).unwrap_or_default())?,
            None => undefined,
        };
        let route = match &packet.route {
            Some(route) => Value::string(env, &route.to_string())?,
            None => undefined,
        };
        let index = self.extra(payload)?;
        for value in [metadata, a, b, c, route] {
            self.extra(value)?;
        }
        Ok(index)
    }

    /// Lets JavaScript make the packets and answer the slots.
    pub fn hand_over(&mut self) {
        if self.records > 0 {
            #[expect(clippy::cast_precision_loss, reason = "below HEADS")]
            let records = self.records as f64;
            let undefined = Value::undefined(self.env);
            let arena = if self.arena.is_empty() { Ok(undefined) } else { Value::array_buffer(self.env, &self.arena) };
            let args = [Value::number(self.env, records), arena, Ok(self.extras.unwrap_or(undefined))];
            if let [Ok(records), Ok(arena), Ok(extras)] = args {
                let _ = hooks::call(self.env, Hook::Settle, &[records, arena, extras]);
            }
            // An exception here would be a fault of our own script; nobody else must see it.
            let _ = Value::take_exception(self.env);
        }
        self.used = 0;
        self.records = 0;
        self.arena.clear();
        self.extras = None;
        self.extra_count = 0;
        self.close();
        self.open();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.hand_over();
        self.close();
    }
}
