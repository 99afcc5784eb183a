//! The objects of a pickle while they are put together.
//!
//! Problem: a list is put on the stack and remembered before it is filled, and may be meant in many places. Answer: every object has a
//! number, and containers hold numbers. An object is 16 bytes here; what needs more lies in tables of its own. Everything is paid for when it
//! is added.

use bytes::Bytes;

use super::names::Name;
use crate::error::Result;
use crate::remote::codec::dtype::Dtype;
use crate::remote::codec::limits::Budget;
use crate::remote::codec::value::BigInt;

/// Number of an object.
pub type Id = u32;

/// A stretch of the pickle's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// The bytes that it means.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }

    /// The same stretch of shared bytes.
    pub fn share(self, bytes: &Bytes) -> Bytes {
        bytes.slice(self.start as usize..self.start as usize + self.len as usize)
    }
}

/// One object. Numbers inside are places in the heap's tables.
#[derive(Clone, Copy, Debug)]
pub enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Big(u32),
    Complex(u32),
    /// UTF-8, perhaps with lone surrogates.
    Str(Span),
    OwnStr(u32),
    Bytes(Span),
    OwnBytes(u32),
    /// Python 2's `str`: text if it is UTF-8, else bytes.
    OldStr(Span),
    List(u32),
    Tuple(u32),
    /// Key, value, key, value.
    Dict(u32),
    Set(u32),
    Array(u32),
    Dtype(Dtype),
    Name(Name),
}

const _: () = assert!(size_of::<Node>() == 16, "see the header");

/// An array as it is described so far.
#[derive(Clone, Debug)]
pub struct Array {
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    pub fortran: bool,
    /// The object that holds its bytes; nothing until BUILD says.
    pub data: Option<Id>,
}

/// All objects.
#[derive(Default)]
pub struct Heap {
    nodes: Vec<Node>,
    items: Vec<Vec<Id>>,
    texts: Vec<String>,
    bytes: Vec<Bytes>,
    bigs: Vec<BigInt>,
    complexes: Vec<(f64, f64)>,
    arrays: Vec<Array>,
}

/// What an entry of a table takes: a table that grows has twice its size for a moment.
const fn room<T>() -> usize {
    2 * size_of::<T>()
}

impl Heap {
    pub fn add(&mut self, node: Node, budget: &mut Budget) -> Result<Id> {
        budget.take(room::<Node>())?;
        self.nodes.push(node);
        // A node costs 32 bytes of a budget of 1 GiB at most, so there are never 2^32.
        Ok((self.nodes.len() - 1) as Id)
    }

    pub fn node(&self, id: Id) -> Node {
        self.nodes[id as usize]
    }

    pub fn replace(&mut self, id: Id, node: Node) {
        self.nodes[id as usize] = node;
    }

    /// Keeps the items of a container.
    pub fn keep_items(&mut self, items: Vec<Id>, budget: &mut Budget) -> Result<u32> {
        budget.take(room::<Vec<Id>>() + items.len() * size_of::<Id>())?;
        self.items.push(items);
        Ok((self.items.len() - 1) as u32)
    }

    pub fn items(&self, at: u32) -> &[Id] {
        &self.items[at as usize]
    }

    pub fn extend_items(&mut self, at: u32, more: impl ExactSizeIterator<Item = Id>, budget: &mut Budget) -> Result<()> {
        budget.take(more.len() * room::<Id>())?;
        self.items[at as usize].extend(more);
        Ok(())
    }

    pub fn keep_text(&mut self, text: String, budget: &mut Budget) -> Result<Node> {
        budget.take(room::<String>() + text.len())?;
        self.texts.push(text);
        Ok(Node::OwnStr((self.texts.len() - 1) as u32))
    }

    pub fn text(&self, at: u32) -> &str {
        &self.texts[at as usize]
    }

    pub fn keep_bytes(&mut self, bytes: Vec<u8>, budget: &mut Budget) -> Result<Node> {
        budget.take(room::<Bytes>() + bytes.len())?;
        self.bytes.push(bytes.into());
        Ok(Node::OwnBytes((self.bytes.len() - 1) as u32))
    }

    pub fn own_bytes(&self, at: u32) -> &Bytes {
        &self.bytes[at as usize]
    }

    pub fn keep_big(&mut self, number: BigInt, budget: &mut Budget) -> Result<Node> {
        budget.take(room::<BigInt>() + number.bits() as usize / 8)?;
        self.bigs.push(number);
        Ok(Node::Big((self.bigs.len() - 1) as u32))
    }

    pub fn big(&self, at: u32) -> &BigInt {
        &self.bigs[at as usize]
    }

    pub fn keep_complex(&mut self, real: f64, imaginary: f64, budget: &mut Budget) -> Result<Node> {
        budget.take(room::<(f64, f64)>())?;
        self.complexes.push((real, imaginary));
        Ok(Node::Complex((self.complexes.len() - 1) as u32))
    }

    pub fn complex(&self, at: u32) -> (f64, f64) {
        self.complexes[at as usize]
    }

    pub fn keep_array(&mut self, array: Array, budget: &mut Budget) -> Result<Node> {
        budget.take(room::<Array>() + array.shape.len() * 8)?;
        self.arrays.push(array);
        Ok(Node::Array((self.arrays.len() - 1) as u32))
    }

    pub fn array(&self, at: u32) -> &Array {
        &self.arrays[at as usize]
    }

    pub fn array_mut(&mut self, at: u32) -> &mut Array {
        &mut self.arrays[at as usize]
    }
}
