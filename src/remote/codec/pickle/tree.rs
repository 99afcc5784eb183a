//! The objects of a pickle as a tree.
//!
//! What the pickle shares is copied here, except for the bytes of arrays and of `bytes`, which stay in the pickle. So this is where a small
//! pickle could become large, and where an object that contains itself would never end: each value is paid for, and nesting is limited.

use bytes::Bytes;

use super::heap::{Heap, Id, Node};
use super::input;
use crate::error::Result;
use crate::remote::codec::limits::{Budget, check_depth};
use crate::remote::codec::refused;
use crate::remote::codec::value::{NdArray, PyValue};

/// The tree from `root` on.
pub fn grow(heap: &Heap, root: Id, pickle: &Bytes, budget: &mut Budget) -> Result<PyValue> {
    Tree { heap, pickle, budget }.value(root, 0)
}

struct Tree<'a> {
    heap: &'a Heap,
    pickle: &'a Bytes,
    budget: &'a mut Budget,
}

impl Tree<'_> {
    fn value(&mut self, id: Id, depth: usize) -> Result<PyValue> {
        check_depth(depth)?;
        Ok(match self.heap.node(id) {
            Node::None => PyValue::None,
            Node::Bool(flag) => PyValue::Bool(flag),
            Node::Int(number) => PyValue::Int(number),
            Node::Float(number) => PyValue::Float(number),
            Node::Big(at) => {
                let number = self.heap.big(at);
                self.budget.take(number.bits() as usize / 8 + 64)?;
                PyValue::BigInt(Box::new(number.clone()))
            }
            Node::Complex(at) => {
                let (real, imaginary) = self.heap.complex(at);
                PyValue::Complex(real, imaginary)
            }
            Node::Str(span) => {
                self.budget.take(span.len as usize)?;
                PyValue::Str(input::text(span.of(self.pickle))?.into_owned())
            }
            Node::OwnStr(at) => {
                let text = self.heap.text(at);
                self.budget.take(text.len())?;
                PyValue::Str(text.to_owned())
            }
            Node::OldStr(span) => match std::str::from_utf8(span.of(self.pickle)) {
                Ok(text) => {
                    self.budget.take(text.len())?;
                    PyValue::Str(text.to_owned())
                }
                Err(_) => PyValue::Bytes(span.share(self.pickle)),
            },
            Node::Bytes(_) | Node::OwnBytes(_) => PyValue::Bytes(self.bytes(id)?),
            Node::List(items) => PyValue::List(self.values(items, depth)?),
            Node::Tuple(items) => PyValue::Tuple(self.values(items, depth)?),
            Node::Set(items) => PyValue::Set(self.values(items, depth)?),
            Node::Dict(items) => {
                let (pairs, _) = self.heap.items(items).as_chunks::<2>();
                self.budget.take(size_of_val(pairs) / size_of::<Id>() * size_of::<PyValue>())?;
                let mut entries = Vec::with_capacity(pairs.len());
                for [key, value] in pairs {
                    entries.push((self.value(*key, depth + 1)?, self.value(*value, depth + 1)?));
                }
                PyValue::Dict(entries)
            }
            Node::Array(at) => {
                let array = self.heap.array(at);
                self.budget.take(array.shape.len() * size_of::<u64>())?;
                let data = array.data.map_or_else(|| Ok(Bytes::new()), |data| self.bytes(data))?;
                PyValue::Array(NdArray::new(array.dtype, array.shape.clone(), array.fortran, data)?)
            }
            Node::Dtype(dtype) => PyValue::Str(dtype.to_string()),
            Node::Name(_) => return Err(refused("the pickle holds a function or class; only plain values are read")),
        })
    }

    fn values(&mut self, items: u32, depth: usize) -> Result<Vec<PyValue>> {
        let items = self.heap.items(items);
        self.budget.take(items.len() * size_of::<PyValue>())?;
        let mut values = Vec::with_capacity(items.len());
        for id in items {
            values.push(self.value(*id, depth + 1)?);
        }
        Ok(values)
    }

    fn bytes(&mut self, id: Id) -> Result<Bytes> {
        match self.heap.node(id) {
            Node::Bytes(span) | Node::OldStr(span) => Ok(span.share(self.pickle)),
            Node::OwnBytes(at) => Ok(self.heap.own_bytes(at).clone()),
            Node::OwnStr(at) => {
                let text = self.heap.text(at);
                self.budget.take(text.len())?;
                Ok(Bytes::copy_from_slice(text.as_bytes()))
            }
            _ => Err(refused("the pickle has an array whose bytes are no bytes")),
        }
    }
}
