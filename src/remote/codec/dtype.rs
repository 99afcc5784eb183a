//! Numpy's element types and their names.
//!
//! Problem: numpy writes `<f4`, packets say `float32`, protocol v1 has numbers of its own. Answer: [`Dtype`] is numpy's form, small and
//! checked, with both names. It holds plain numbers, and text and bytes of fixed size; objects, records and dates have no place here, and
//! who reads them is told so.

use std::fmt;

/// Order of the bytes in an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `<`
    Little,
    /// `>`
    Big,
    /// `|`: there is nothing to order.
    None,
}

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// `b`: one byte, 0 or 1.
    Bool,
    /// `i`
    Int,
    /// `u`
    Uint,
    /// `f`
    Float,
    /// `c`: two floats.
    Complex,
    /// `S`: bytes, padded with zeros.
    Bytes,
    /// `U`: text in UTF-32, padded with zeros.
    Text,
}

/// Type of the elements of an array.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dtype {
    element: Element,
    order: Order,
    size: u32,
}

/// Names in packets and in Python, beside numpy's kind and size.
const NAMES: [(&str, Element, u32); 16] = [
    ("bool", Element::Bool, 1),
    ("int8", Element::Int, 1),
    ("int16", Element::Int, 2),
    ("int32", Element::Int, 4),
    ("int64", Element::Int, 8),
    ("uint8", Element::Uint, 1),
    ("uint16", Element::Uint, 2),
    ("uint32", Element::Uint, 4),
    ("uint64", Element::Uint, 8),
    ("float16", Element::Float, 2),
    ("float32", Element::Float, 4),
    ("float64", Element::Float, 8),
    ("float128", Element::Float, 16),
    ("complex64", Element::Complex, 8),
    ("complex128", Element::Complex, 16),
    ("complex256", Element::Complex, 32),
];

impl Dtype {
    /// Interleaved or planar samples, as all audio is written.
    pub const F32: Dtype = Dtype { element: Element::Float, order: Order::Little, size: 4 };
    /// Single bytes.
    pub const U8: Dtype = Dtype { element: Element::Uint, order: Order::None, size: 1 };
    /// What numpy takes where nothing is said.
    pub const F64: Dtype = Dtype { element: Element::Float, order: Order::Little, size: 8 };

    /// A type, if there is one with elements of `size` bytes.
    pub fn new(element: Element, size: u32, order: Order) -> Option<Self> {
        let exists = match element {
            Element::Bytes => true,
            Element::Text => size.is_multiple_of(4),
            _ => NAMES.iter().any(|(_, kind, bytes)| (*kind, *bytes) == (element, size)),
        };
        let order = match (element, order) {
            (Element::Bytes, _) => Order::None,
            _ if size == 1 => Order::None,
            (_, Order::None) => Order::Little,
            (_, order) => order,
        };
        exists.then_some(Self { element, order, size })
    }

    /// Reads numpy's form (`<f4`, `f4`, `|S5`) or a name (`float32`).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, element, size)) = NAMES.iter().find(|(name, ..)| *name == text) {
            return Self::new(*element, *size, Order::Little);
        }
        let (order, rest) = match text.as_bytes().first()? {
            b'>' => (Order::Big, &text[1..]),
            // `=` is the writer's own order; who has another one writes `>`.
            b'<' | b'=' | b'|' => (Order::Little, &text[1..]),
            _ => (Order::Little, text),
        };
        let kind = rest.chars().next()?;
        if kind == '?' {
            return Self::new(Element::Bool, 1, order).filter(|_| rest.len() == 1);
        }
        let digits = rest.get(1..).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        let number: u32 = digits.parse().ok()?;
        let (element, size) = match kind {
            'b' => (Element::Bool, number),
            'i' => (Element::Int, number),
            'u' => (Element::Uint, number),
            'f' => (Element::Float, number),
            'c' => (Element::Complex, number),
            'S' | 'a' => (Element::Bytes, number),
            'U' => (Element::Text, number.checked_mul(4)?),
            _ => return None,
        };
        Self::new(element, size, order)
    }

    /// The name of the type, whatever its byte order: `float32`, `S5`.
    pub fn name(self) -> String {
        match self.element {
            Element::Bytes => format!("S{}", self.size),
            Element::Text => format!("U{}", self.size / 4),
            _ => NAMES.iter().find(|(_, element, size)| (*element, *size) == (self.element, self.size)).map_or("", |(name, ..)| name).to_owned(),
        }
    }

    /// What an element is.
    pub fn element(self) -> Element {
        self.element
    }

    /// Bytes of one element.
    pub fn size(self) -> u32 {
        self.size
    }

    /// Order of the bytes.
    pub fn order(self) -> Order {
        self.order
    }

    /// The same type with bytes in this order.
    #[must_use]
    pub fn with_order(self, order: Order) -> Self {
        Self { order: if self.order == Order::None { Order::None } else { order }, ..self }
    }

    /// Bytes of each part of an element that is turned round by itself when the byte order changes.
    pub(super) fn part_size(self) -> usize {
        match self.element {
            Element::Complex => self.size as usize / 2,
            Element::Text => 4,
            Element::Bytes => 1,
            _ => self.size as usize,
        }
    }
}

/// Numpy's form, such as `<f4`.
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::Little => '<',
            Order::Big => '>',
            Order::None => '|',
        };
        let (kind, number) = match self.element {
            Element::Bool => ('b', self.size),
            Element::Int => ('i', self.size),
            Element::Uint => ('u', self.size),
            Element::Float => ('f', self.size),
            Element::Complex => ('c', self.size),
            Element::Bytes => ('S', self.size),
            Element::Text => ('U', self.size / 4),
        };
        write!(f, "{order}{kind}{number}")
    }
}

impl fmt::Debug for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_every_type_are_read() {
        for (name, ..) in NAMES {
            let dtype = Dtype::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(dtype.name(), name);
            assert_eq!(Dtype::parse(&dtype.to_string()), Some(dtype));
            let big = dtype.with_order(Order::Big);
            assert_eq!(Dtype::parse(&big.to_string()), Some(big));
            assert_eq!(big.name(), name);
        }
        assert_eq!(Dtype::parse("float32"), Some(Dtype::F32));
        assert_eq!(Dtype::F32.to_string(), "<f4");
        assert_eq!(Dtype::parse("|S5").map(Dtype::name).as_deref(), Some("S5"));
        assert_eq!(Dtype::parse(">U3").map(|text| (text.size(), text.to_string())), Some((12, ">U3".into())));
        assert_eq!(Dtype::parse(">u1"), Some(Dtype::U8));
    }

    #[test]
    fn what_is_no_type_of_numbers_is_refused() {
        for text in ["", "<", "f3", "O", "O8", "V4", "M8[ns]", "<f4,<f4", "f", "f04x", "é4", "U9999999999", "U4294967295", "float31", "?1"] {
            assert_eq!(Dtype::parse(text), None, "{text}");
        }
    }
}
