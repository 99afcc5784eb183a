//! What the known names make of their arguments, and what BUILD makes of a state.
//!
//! Problem: sets, bytes of old protocols and everything of numpy are written as calls. Answer: their results are worked out here, for
//! exactly the arguments that Python and numpy write and the simple forms that other programs do. No call has any other effect.

use std::borrow::Cow;

use super::heap::{Array, Heap, Id, Node};
use super::input;
use super::names::Name;
use crate::error::{Error, Result};
use crate::remote::codec::array;
use crate::remote::codec::dtype::{Dtype, Element, Order};
use crate::remote::codec::limits::Budget;
use crate::remote::codec::refused;
use crate::remote::codec::value::BigInt;

/// The text of a `str`.
pub fn text<'a>(heap: &'a Heap, id: Id, pickle: &'a [u8]) -> Option<Cow<'a, str>> {
    match heap.node(id) {
        Node::Str(span) => input::text(span.of(pickle)).ok(),
        Node::OwnStr(text) => Some(heap.text(text).into()),
        Node::OldStr(span) => std::str::from_utf8(span.of(pickle)).ok().map(Cow::Borrowed),
        _ => None,
    }
}

/// The bytes of a `bytes`.
fn bytes<'a>(heap: &'a Heap, id: Id, pickle: &'a [u8]) -> Option<&'a [u8]> {
    match heap.node(id) {
        Node::Bytes(span) | Node::OldStr(span) => Some(span.of(pickle)),
        Node::OwnBytes(bytes) => Some(heap.own_bytes(bytes)),
        // Python 2's `str` in protocol 0, as far as it happens to be text.
        Node::OwnStr(text) => Some(heap.text(text).as_bytes()),
        _ => None,
    }
}

fn tuple(heap: &Heap, id: Id) -> Option<&[Id]> {
    match heap.node(id) {
        Node::Tuple(items) => Some(heap.items(items)),
        _ => None,
    }
}

/// REDUCE: the object that `function` makes of `arguments`.
pub fn reduce(heap: &mut Heap, function: Id, arguments: Id, pickle: &[u8], budget: &mut Budget) -> Result<Node> {
    let Node::Name(name) = heap.node(function) else { return Err(refused("the pickle calls something that is no name; nothing was run")) };
    let given = tuple(heap, arguments).ok_or_else(|| refused("the pickle calls a name with no tuple of arguments"))?;
    // Every name takes five arguments at most.
    let mut copy = [0; 5];
    let given = copy.get_mut(..given.len()).map(|copy| {
        copy.copy_from_slice(given);
        &*copy
    });
    let wrong = || refused(format!("the pickle calls {name:?} with arguments that it never has"));
    match (name, given.ok_or_else(wrong)?) {
        (Name::Set | Name::FrozenSet, []) => Ok(Node::Set(heap.keep_items(Vec::new(), budget)?)),
        (Name::Set | Name::FrozenSet, [items]) => {
            let (Node::List(items) | Node::Tuple(items) | Node::Set(items)) = heap.node(*items) else { return Err(wrong()) };
            // Copied, since the list may be in use elsewhere.
            let items = heap.items(items).to_vec();
            Ok(Node::Set(heap.keep_items(items, budget)?))
        }
        (Name::OrderedDict, []) => Ok(Node::Dict(heap.keep_items(Vec::new(), budget)?)),
        // Python 2's form: a list of pairs.
        (Name::OrderedDict, [pairs]) => {
            let (Node::List(pairs) | Node::Tuple(pairs)) = heap.node(*pairs) else { return Err(wrong()) };
            let mut items = Vec::new();
            for pair in heap.items(pairs) {
                let (Node::List(pair) | Node::Tuple(pair)) = heap.node(*pair) else { return Err(wrong()) };
                let [key, value] = heap.items(pair) else { return Err(wrong()) };
                items.extend([*key, *value]);
            }
            Ok(Node::Dict(heap.keep_items(items, budget)?))
        }
        (Name::Bytes | Name::ByteArray, []) => heap.keep_bytes(Vec::new(), budget),
        (Name::ByteArray, [content]) => match heap.node(*content) {
            node @ (Node::Bytes(_) | Node::OwnBytes(_)) => Ok(node),
            _ => Err(wrong()),
        },
        (Name::Encode | Name::ByteArray, [content, encoding]) => {
            if !text(heap, *encoding, pickle).is_some_and(|name| matches!(&*name, "latin1" | "latin-1")) {
                return Err(wrong());
            }
            let content = text(heap, *content, pickle).ok_or_else(wrong)?;
            let content = content.chars().map(|letter| u8::try_from(u32::from(letter)).map_err(|_| wrong())).collect::<Result<Vec<u8>>>()?;
            heap.keep_bytes(content, budget)
        }
        (Name::Complex, [real, imaginary]) => match (float(heap.node(*real)), float(heap.node(*imaginary))) {
            (Some(real), Some(imaginary)) => heap.keep_complex(real, imaginary, budget),
            _ => Err(wrong()),
        },
        // Alignment and copying, which may follow, change nothing about a plain type.
        (Name::Dtype, [spelled] | [spelled, _] | [spelled, _, _]) => Ok(Node::Dtype(dtype(heap, *spelled, pickle)?)),
        (Name::Reconstruct, [class, _, _]) if matches!(heap.node(*class), Node::Name(Name::NdArray)) => {
            heap.keep_array(Array { dtype: Dtype::U8, shape: vec![0], fortran: false, data: None }, budget)
        }
        (Name::NdArray, [size, rest @ ..]) if rest.len() <= 2 => {
            let dtype = rest.first().map_or(Ok(Dtype::F64), |spelled| dtype(heap, *spelled, pickle))?;
            let data = rest.get(1).copied().filter(|data| !matches!(heap.node(*data), Node::None));
            let array = Array { dtype, shape: shape(heap, *size).ok_or_else(wrong)?, fortran: false, data };
            if let Some(data) = array.data {
                // Numpy takes longer buffers, too; nobody writes those.
                let len = bytes(heap, data, pickle).ok_or_else(wrong)?.len();
                if array::byte_len(array.dtype, &array.shape)? != len {
                    return Err(refused(format!("the pickle has {len} bytes for a {} array of shape {:?}", array.dtype.name(), array.shape)));
                }
            }
            heap.keep_array(array, budget)
        }
        (Name::FromBuffer, [data, rest @ ..]) if rest.len() <= 1 => {
            let dtype = rest.first().map_or(Ok(Dtype::F64), |spelled| dtype(heap, *spelled, pickle))?;
            let len = bytes(heap, *data, pickle).ok_or_else(wrong)?.len() as u64;
            let count = len.checked_div(dtype.size().into()).filter(|count| count * u64::from(dtype.size()) == len).ok_or_else(wrong)?;
            heap.keep_array(Array { dtype, shape: vec![count], fortran: false, data: Some(*data) }, budget)
        }
        (Name::FromPickleBuffer, [data, spelled, size, order, axes @ ..]) => {
            let array =
                Array { dtype: dtype(heap, *spelled, pickle)?, shape: shape(heap, *size).ok_or_else(wrong)?, fortran: false, data: Some(*data) };
            let content = bytes(heap, *data, pickle).ok_or_else(wrong)?;
            match (&*text(heap, *order, pickle).ok_or_else(wrong)?, axes) {
                ("C", [] | [_]) => heap.keep_array(array, budget),
                ("F", [] | [_]) => heap.keep_array(Array { fortran: true, ..array }, budget),
                // Numpy 2.3 and later, for arrays whose dimensions were exchanged.
                ("K", [axes]) => {
                    let axes = shape(heap, *axes).ok_or_else(wrong)?;
                    budget.take(content.len())?;
                    let (shape, content) = array::exchanged(array.dtype, &array.shape, &axes, content)?;
                    let data = heap.keep_bytes(content, budget)?;
                    let data = heap.add(data, budget)?;
                    heap.keep_array(Array { shape, data: Some(data), ..array }, budget)
                }
                _ => Err(wrong()),
            }
        }
        (Name::Scalar, [spelled, data]) => {
            let dtype = dtype(heap, *spelled, pickle)?;
            let content = bytes(heap, *data, pickle).filter(|data| data.len() == dtype.size() as usize).ok_or_else(wrong)?.to_vec();
            scalar(heap, dtype, content, budget)
        }
        _ => Err(wrong()),
    }
}

/// BUILD: gives an array or a type its state.
pub fn build(heap: &mut Heap, object: Id, state: Id, pickle: &[u8], budget: &mut Budget) -> Result<()> {
    let wrong = || refused("the pickle gives a state that its object never has; nothing was run");
    let items = tuple(heap, state).ok_or_else(wrong)?;
    match (heap.node(object), items) {
        (Node::Dtype(dtype), [version, order, subtype, names, fields, ..]) if matches!(heap.node(*version), Node::Int(_)) => {
            if [subtype, names, fields].into_iter().any(|part| !matches!(heap.node(*part), Node::None)) {
                return Err(no_such_dtype("a record"));
            }
            let order = match &*text(heap, *order, pickle).ok_or_else(wrong)? {
                ">" => Order::Big,
                "<" | "=" | "|" => Order::Little,
                _ => return Err(wrong()),
            };
            heap.replace(object, Node::Dtype(dtype.with_order(order)));
            Ok(())
        }
        (Node::Array(at), [_version, size, kind, fortran, data]) => {
            let Node::Dtype(dtype) = heap.node(*kind) else { return Err(wrong()) };
            let fortran = match heap.node(*fortran) {
                Node::Bool(flag) => flag,
                Node::Int(flag) => flag != 0,
                _ => return Err(wrong()),
            };
            if matches!(heap.node(*data), Node::List(_)) {
                return Err(no_such_dtype("object"));
            }
            bytes(heap, *data, pickle).ok_or_else(wrong)?;
            let array = Array { dtype, shape: shape(heap, *size).ok_or_else(wrong)?, fortran, data: Some(*data) };
            budget.take(array.shape.len() * 8)?;
            *heap.array_mut(at) = array;
            Ok(())
        }
        _ => Err(wrong()),
    }
}

fn no_such_dtype(what: &str) -> Error {
    refused(format!("numpy's dtype {} has no meaning outside of Python; send plain numbers, text or bytes", what.escape_debug()))
}

/// A type, as an object or as its text.
fn dtype(heap: &Heap, id: Id, pickle: &[u8]) -> Result<Dtype> {
    if let Node::Dtype(dtype) = heap.node(id) {
        return Ok(dtype);
    }
    let spelled = text(heap, id, pickle).ok_or_else(|| refused("the pickle has a dtype that is neither a dtype nor a str"))?;
    Dtype::parse(&spelled).ok_or_else(|| no_such_dtype(&spelled.chars().take(60).collect::<String>()))
}

/// Sizes or axes: a tuple of numbers, or one number.
fn shape(heap: &Heap, id: Id) -> Option<Vec<u64>> {
    let size = |id: &Id| match heap.node(*id) {
        Node::Int(size) => u64::try_from(size).ok(),
        _ => None,
    };
    match tuple(heap, id) {
        // Longer ones are refused later; this bounds the copy.
        Some(sizes) => sizes.iter().take(100).map(size).collect(),
        None => Some(vec![size(&id)?]),
    }
}

fn float(node: Node) -> Option<f64> {
    match node {
        Node::Float(number) => Some(number),
        Node::Int(number) => Some(number as f64),
        _ => None,
    }
}

/// One element by itself becomes a number, text or bytes of Python's own.
fn scalar(heap: &mut Heap, dtype: Dtype, mut content: Vec<u8>, budget: &mut Budget) -> Result<Node> {
    if dtype.order() == Order::Big {
        content = array::swapped(&content, dtype);
    }
    // Numbers as 8 bytes, negative ones filled up with their sign.
    let whole = |signed: bool| {
        let filler = if signed && content.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut bytes = [filler; 8];
        bytes[..content.len()].copy_from_slice(&content);
        bytes
    };
    match dtype.element() {
        Element::Bool => Ok(Node::Bool(content.iter().any(|byte| *byte != 0))),
        Element::Int => Ok(Node::Int(i64::from_le_bytes(whole(true)))),
        Element::Uint => {
            let number = u64::from_le_bytes(whole(false));
            match i64::try_from(number) {
                Ok(number) => Ok(Node::Int(number)),
                Err(_) => heap.keep_big(BigInt::from(number), budget),
            }
        }
        Element::Float => array::float(&content).map(Node::Float).ok_or_else(|| no_such_dtype(&dtype.name())),
        Element::Complex => {
            let (real, imaginary) = content.split_at(content.len() / 2);
            match (array::float(real), array::float(imaginary)) {
                (Some(real), Some(imaginary)) => heap.keep_complex(real, imaginary, budget),
                _ => Err(no_such_dtype(&dtype.name())),
            }
        }
        // Padded with zeros, which numpy takes off.
        Element::Bytes => {
            content.truncate(content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            heap.keep_bytes(content, budget)
        }
        Element::Text => {
            let (letters, _) = content.as_chunks::<4>();
            let text: String =
                letters.iter().map(|letter| char::from_u32(u32::from_le_bytes(*letter)).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            heap.keep_text(text.trim_end_matches('\0').to_owned(), budget)
        }
    }
}
