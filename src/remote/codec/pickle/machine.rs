//! Runs the opcodes of a pickle.
//!
//! Each opcode takes at least one byte of the pickle and does a bounded amount of work for it, so time is bounded by size. Opcodes that
//! make objects of classes, or that ask the reader for objects from elsewhere, are refused.

use std::collections::HashMap;

use bytes::Bytes;

use super::build;
use super::heap::{Heap, Id, Node};
use super::input::{self, Input};
use super::names;
use crate::error::{Error, Result};
use crate::remote::codec::limits::{Budget, MAX_INT_BYTES, MAX_INT_DIGITS};
use crate::remote::codec::refused;
use crate::remote::codec::value::BigInt;

/// Newest protocol, of Python 3.8 and later.
const NEWEST: u8 = 5;

/// Runs a pickle to its STOP; the object is the one with the number that comes along.
pub fn run(pickle: &Bytes, budget: &mut Budget) -> Result<(Heap, Id)> {
    let mut machine =
        Machine { input: Input::new(pickle)?, heap: Heap::default(), stack: Vec::new(), marks: Vec::new(), memo: Memo::default(), budget };
    loop {
        if let Some(root) = machine.step()? {
            return Ok((machine.heap, root));
        }
    }
}

struct Machine<'a> {
    input: Input<'a>,
    heap: Heap,
    stack: Vec<Id>,
    /// How high the stack was at each MARK that is open.
    marks: Vec<usize>,
    memo: Memo,
    budget: &'a mut Budget,
}

/// What was remembered. Python counts from 0 without gaps, so nearly all keys are places in a table.
#[derive(Default)]
struct Memo {
    dense: Vec<Id>,
    sparse: HashMap<u32, Id>,
}

impl Memo {
    fn len(&self) -> usize {
        self.dense.len() + self.sparse.len()
    }

    fn get(&self, key: u32) -> Option<Id> {
        self.dense.get(key as usize).or_else(|| self.sparse.get(&key)).copied()
    }

    fn insert(&mut self, key: u32, id: Id) {
        if let Some(known) = self.dense.get_mut(key as usize) {
            *known = id;
        } else if key as usize == self.dense.len() {
            self.sparse.remove(&key);
            self.dense.push(id);
        } else {
            self.sparse.insert(key, id);
        }
    }
}

fn refuse_opcode(what: &str) -> Error {
    refused(format!("the pickle {what}, which is not read; nothing was run"))
}

impl Machine<'_> {
    /// One opcode. The object, at the end.
    fn step(&mut self) -> Result<Option<Id>> {
        let at = self.input.position();
        match self.input.byte()? {
            b'.' => return self.pop().map(Some),
            // PROTO and FRAME, which say nothing that is needed.
            0x80 => match self.input.byte()? {
                protocol if protocol <= NEWEST => {}
                protocol => return Err(refused(format!("a pickle of protocol {protocol}; {NEWEST} is the newest that is read"))),
            },
            0x95 => drop(self.input.u64()?),
            b'(' => {
                self.budget.take(2 * size_of::<usize>())?;
                self.marks.push(self.stack.len());
            }
            b'0' if self.stack.len() > self.floor() => drop(self.pop()?),
            // POP of a MARK, and POP_MARK.
            b'0' | b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' | b'K' | b'M' | b'I' | b'L' | 0x8a | 0x8b | b'G' | b'F' => self.number(at)?,
            b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 | b'T' | b'U' | b'S' | b'V' => self.bytes_or_text(at)?,
            b']' | b'}' | 0x8f | b')' | b'l' | b'd' | b't' | 0x91 | 0x85..=0x87 => self.container(at)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(at)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(at)?,
            b'c' => {
                let name = names::find(self.input.utf8_line()?, self.input.utf8_line()?)?;
                self.push(Node::Name(name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| build::text(&self.heap, id, self.input.bytes()).ok_or_else(|| refused("the pickle has a name that is no str"));
                let name = names::find(&text(module)?, &text(name)?)?;
                self.push(Node::Name(name))?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let node = build::reduce(&mut self.heap, function, arguments, self.input.bytes(), self.budget)?;
                self.push(node)?;
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.top()?);
                build::build(&mut self.heap, object, state, self.input.bytes(), self.budget)?;
            }
            b'i' => {
                // Names the class first, which is what whoever sees the message wants to know.
                names::find(self.input.utf8_line()?, self.input.utf8_line()?)?;
                return Err(refuse_opcode("makes an object of a class (INST)"));
            }
            b'o' => return Err(refuse_opcode("makes an object of a class (OBJ)")),
            0x81 | 0x92 => return Err(refuse_opcode("makes an object of a class (NEWOBJ)")),
            b'P' | b'Q' => return Err(refuse_opcode("asks for an object from elsewhere (PERSID)")),
            0x82..=0x84 => return Err(refuse_opcode("uses a registered extension (EXT)")),
            0x97 | 0x98 => return Err(refuse_opcode("keeps its arrays in buffers outside of it (NEXT_BUFFER)")),
            other => return Err(refused(format!("no pickle: byte {at} is 0x{other:02x}, where an opcode should be"))),
        }
        Ok(None)
    }

    fn number(&mut self, at: usize) -> Result<()> {
        let node = match self.input.bytes()[at] {
            b'J' => Node::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'K' => Node::Int(self.input.byte()?.into()),
            b'M' => Node::Int(self.input.u16()?.into()),
            b'G' => Node::Float(f64::from_be_bytes(self.input.array()?)),
            b'F' => {
                let line = self.input.ascii_line()?.trim();
                Node::Float(line.parse().map_err(|_| refused(format!("the pickle has a float that is no number at byte {at}")))?)
            }
            b'I' => match self.input.ascii_line()?.trim() {
                // What Python before 2.3 wrote for `bool`, and protocol 0 still does.
                "00" => Node::Bool(false),
                "01" => Node::Bool(true),
                line => self.decimal(line)?,
            },
            b'L' => {
                let line = self.input.ascii_line()?.trim();
                self.decimal(line.strip_suffix('L').unwrap_or(line))?
            }
            size => {
                let count = if size == 0x8a { u64::from(self.input.byte()?) } else { u64::from(self.input.u32()?) };
                if count > MAX_INT_BYTES as u64 {
                    return Err(refused(format!("the pickle has an int of {count} bytes; {MAX_INT_BYTES} at most")));
                }
                match input::long(self.input.span(count)?.of(self.input.bytes())) {
                    Ok(whole) => Node::Int(whole),
                    Err(big) => self.heap.keep_big(*big, self.budget)?,
                }
            }
        };
        self.push(node)
    }

    fn decimal(&mut self, digits: &str) -> Result<Node> {
        if let Ok(whole) = digits.parse() {
            return Ok(Node::Int(whole));
        }
        if digits.len() > MAX_INT_DIGITS + 1 {
            return Err(refused(format!("the pickle has an int of more than {MAX_INT_DIGITS} digits")));
        }
        let big = digits.parse::<BigInt>().map_err(|_| refused("the pickle has an int that is no number"))?;
        self.heap.keep_big(big, self.budget)
    }

    fn bytes_or_text(&mut self, at: usize) -> Result<()> {
        let opcode = self.input.bytes()[at];
        let node = match opcode {
            b'V' => {
                let text = input::raw_unicode_escape(self.input.line()?.of(self.input.bytes()))?;
                self.heap.keep_text(text, self.budget)?
            }
            b'S' => {
                let bytes = input::quoted(self.input.line()?.of(self.input.bytes()))?;
                match String::from_utf8(bytes) {
                    Ok(text) => self.heap.keep_text(text, self.budget)?,
                    Err(error) => self.heap.keep_bytes(error.into_bytes(), self.budget)?,
                }
            }
            _ => {
                let count = match opcode {
                    0x8c | b'C' | b'U' => u64::from(self.input.byte()?),
                    b'X' | b'B' | b'T' => u64::from(self.input.u32()?),
                    _ => self.input.u64()?,
                };
                let span = self.input.span(count)?;
                match opcode {
                    b'X' | 0x8c | 0x8d => Node::Str(span),
                    b'T' | b'U' => Node::OldStr(span),
                    _ => Node::Bytes(span),
                }
            }
        };
        self.push(node)
    }

    fn container(&mut self, at: usize) -> Result<()> {
        let opcode = self.input.bytes()[at];
        let items = match opcode {
            b']' | b'}' | 0x8f | b')' => Vec::new(),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                if self.stack.len() < self.floor() + count {
                    return Err(underflow());
                }
                // Not `split_off`, which may keep and reserve room for the whole stack.
                self.stack.drain(self.stack.len() - count..).collect()
            }
            _ => self.since_mark()?,
        };
        if opcode == b'd' && !items.len().is_multiple_of(2) {
            return Err(refused("the pickle has a dict with a key that has no value"));
        }
        let kept = self.heap.keep_items(items, self.budget)?;
        self.push(match opcode {
            b']' | b'l' => Node::List(kept),
            b'}' | b'd' => Node::Dict(kept),
            0x8f | 0x91 => Node::Set(kept),
            _ => Node::Tuple(kept),
        })
    }

    /// Puts what is on the stack into the container below it.
    fn fill(&mut self, at: usize) -> Result<()> {
        let opcode = self.input.bytes()[at];
        let from = match opcode {
            b'a' | b's' => {
                let count = if opcode == b'a' { 1 } else { 2 };
                self.stack.len().checked_sub(count).filter(|from| *from >= self.floor()).ok_or_else(underflow)?
            }
            _ => self.marks.pop().ok_or_else(underflow)?,
        };
        let below = from.checked_sub(1).filter(|below| *below >= self.floor()).ok_or_else(underflow)?;
        let items = match (opcode, self.heap.node(self.stack[below])) {
            (b'a' | b'e', Node::List(items)) | (0x90, Node::Set(items)) => items,
            (b's' | b'u', Node::Dict(items)) if (self.stack.len() - from).is_multiple_of(2) => items,
            (b's' | b'u', Node::Dict(_)) => return Err(refused("the pickle has a dict with a key that has no value")),
            _ => return Err(refused("the pickle fills something that is no list, dict or set")),
        };
        self.heap.extend_items(items, self.stack.drain(from..), self.budget)
    }

    fn remember(&mut self, at: usize) -> Result<()> {
        let opcode = self.input.bytes()[at];
        let key = match opcode {
            b'p' | b'g' => self.input.ascii_line()?.trim().parse().map_err(|_| refused("the pickle remembers something under no number"))?,
            b'q' | b'h' => u32::from(self.input.byte()?),
            b'r' | b'j' => self.input.u32()?,
            _ => self.memo.len() as u32,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let id = self.memo.get(key).ok_or_else(|| refused(format!("the pickle asks for object {key}, which it never remembered")))?;
            return self.push_id(id);
        }
        // As for an entry of the sparse table, which is filled by half at least.
        self.budget.take(2 * size_of::<(u32, Id)>())?;
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<()> {
        let id = self.heap.add(node, self.budget)?;
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<()> {
        self.budget.take(2 * size_of::<Id>())?;
        self.stack.push(id);
        Ok(())
    }

    /// What the opcodes since the last MARK may not reach below.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.floor();
        if self.stack.len() <= floor {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn top(&self) -> Result<Id> {
        self.stack.get(self.floor()..).and_then(<[Id]>::last).copied().ok_or_else(underflow)
    }

    /// Everything since the last MARK.
    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.drain(mark..).collect())
    }
}

fn underflow() -> Error {
    refused("the pickle takes more from its stack than is there")
}
