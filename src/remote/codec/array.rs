//! How an array's bytes lie, and how to lay them anew.
//!
//! Problem: packets hold elements row by row and little-endian; numpy sends columns first, big-endian or with any strides, and audio comes
//! channel by channel where packets interleave. Answer: what already lies right keeps its bytes; everything else is copied once. Sizes from
//! outside are checked against the bytes that are there before anything is reserved.

use bytes::Bytes;

use super::dtype::{Dtype, Order};
use super::refused;
use super::value::NdArray;
use crate::error::Result;

/// Most dimensions: numpy's own limit.
const MAX_DIMENSIONS: usize = 64;

impl NdArray {
    /// An array, if `data` has as many bytes as that shape needs.
    pub fn new(dtype: Dtype, shape: Vec<u64>, fortran: bool, data: Bytes) -> Result<Self> {
        if byte_len(dtype, &shape)? != data.len() {
            return Err(refused(format!("{} bytes are no {} array of shape {shape:?}", data.len(), dtype.name())));
        }
        Ok(Self { dtype, shape, fortran, data })
    }

    /// The same elements row by row and little-endian. Copies nothing where they are.
    pub fn into_standard(self) -> Result<Self> {
        // The fields are public; what follows relies on their fitting each other.
        let this = Self::new(self.dtype, self.shape, self.fortran, self.data)?;
        let mut data = this.data;
        if this.fortran && this.shape.len() > 1 {
            let size = this.dtype.size() as usize;
            data = if let [rows, columns] = this.shape[..] {
                // In Fortran's order the columns are the rows of what lies there.
                let mut turned = Vec::with_capacity(data.len());
                transpose(&data, columns as usize, rows as usize, size, &mut turned);
                turned.into()
            } else {
                gather(&data, &this.shape, &fortran_strides(&this.shape, size), size)?.into()
            };
        }
        if this.dtype.order() == Order::Big {
            data = swapped(&data, this.dtype).into();
        }
        Ok(Self { dtype: this.dtype.with_order(Order::Little), shape: this.shape, fortran: false, data })
    }

    /// An array whose elements lie `strides` bytes apart in `data`, the first one at its start.
    pub fn from_strides(dtype: Dtype, shape: Vec<u64>, strides: &[i64], data: &Bytes) -> Result<Self> {
        byte_len(dtype, &shape)?;
        let size = dtype.size() as usize;
        if strides == row_strides(&shape, size) && byte_len(dtype, &shape)? == data.len() {
            return Self::new(dtype, shape, false, data.clone());
        }
        let data = gather(data, &shape, strides, size)?;
        Self::new(dtype, shape, false, data.into())
    }
}

/// The elements of an array that lie row by row, with its dimensions in the order of `axes`.
pub(super) fn exchanged(dtype: Dtype, shape: &[u64], axes: &[u64], data: &[u8]) -> Result<(Vec<u64>, Vec<u8>)> {
    let mut seen = vec![false; shape.len()];
    for axis in axes {
        match usize::try_from(*axis).ok().and_then(|axis| seen.get_mut(axis)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(refused(format!("{axes:?} is no order of {} dimensions", shape.len()))),
        }
    }
    if axes.len() != shape.len() || byte_len(dtype, shape)? != data.len() {
        return Err(refused(format!("{} bytes are no {} array of shape {shape:?}", data.len(), dtype.name())));
    }
    let strides = row_strides(shape, dtype.size() as usize);
    let new_shape: Vec<u64> = axes.iter().map(|axis| shape[*axis as usize]).collect();
    let new_strides: Vec<i64> = axes.iter().map(|axis| strides[*axis as usize]).collect();
    let data = gather(data, &new_shape, &new_strides, dtype.size() as usize)?;
    Ok((new_shape, data))
}

/// A float of 2, 4 or 8 bytes.
pub(super) fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        2 => Some(half::f16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        4 => Some(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        8 => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// Bytes that an array takes, as far as there can be so many.
pub(super) fn byte_len(dtype: Dtype, shape: &[u64]) -> Result<usize> {
    if shape.len() > MAX_DIMENSIONS {
        return Err(refused(format!("an array of {} dimensions: {MAX_DIMENSIONS} at most", shape.len())));
    }
    // A size of 0 anywhere makes the whole 0, however large the others are.
    let none = shape.contains(&0);
    let product = shape.iter().try_fold(u64::from(dtype.size()), |product, size| product.checked_mul(*size));
    let product = if none { Some(0) } else { product };
    product
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| isize::try_from(*bytes).is_ok())
        .ok_or_else(|| refused(format!("an array of shape {shape:?} is too large")))
}

/// Bytes from one element to the next along each dimension, the last index running fastest.
pub(super) fn row_strides(shape: &[u64], size: usize) -> Vec<i64> {
    let mut strides = vec![0; shape.len()];
    let mut step = size as i64;
    for (stride, length) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.saturating_mul((*length).max(1) as i64);
    }
    strides
}

fn fortran_strides(shape: &[u64], size: usize) -> Vec<i64> {
    let reversed: Vec<u64> = shape.iter().rev().copied().collect();
    let mut strides = row_strides(&reversed, size);
    strides.reverse();
    strides
}

/// Copies elements that lie `strides` bytes apart, row by row. What lies outside `data` is refused, so no more is copied than the shape
/// says, and that is bounded by [`byte_len`] and by the caller's budget where strides may repeat elements.
fn gather(data: &[u8], shape: &[u64], strides: &[i64], size: usize) -> Result<Vec<u8>> {
    let outside = || refused(format!("an array of shape {shape:?} with strides {strides:?} lies outside its {} bytes", data.len()));
    if strides.len() != shape.len() {
        return Err(refused(format!("an array of {} dimensions has {} strides", shape.len(), strides.len())));
    }
    if shape.contains(&0) || size == 0 {
        return Ok(Vec::new());
    }
    // Elements that overlap would let a few bytes stand for any number.
    let count = shape.iter().try_fold(1_u64, |product, length| product.checked_mul(*length)).ok_or_else(outside)?;
    if count.checked_mul(size as u64).is_none_or(|bytes| bytes > data.len() as u64) {
        return Err(outside());
    }
    let mut last = 0_i64;
    for (length, stride) in shape.iter().zip(strides) {
        let reach = i64::try_from(length - 1).ok().and_then(|steps| steps.checked_mul(*stride)).filter(|reach| *reach >= 0);
        last = reach.and_then(|reach| last.checked_add(reach)).ok_or_else(outside)?;
    }
    if usize::try_from(last).ok().and_then(|last| last.checked_add(size)).is_none_or(|end| end > data.len()) {
        return Err(outside());
    }
    let mut out = Vec::with_capacity(count as usize * size);
    let mut index = vec![0_u64; shape.len()];
    let mut at = 0_usize;
    loop {
        out.extend_from_slice(&data[at..at + size]);
        // The next element: the last dimension that has one more, those behind it from their start.
        let Some(dimension) = (0..shape.len()).rev().find(|dimension| index[*dimension] + 1 < shape[*dimension]) else { return Ok(out) };
        for behind in dimension + 1..shape.len() {
            at -= index[behind] as usize * strides[behind] as usize;
            index[behind] = 0;
        }
        index[dimension] += 1;
        at += strides[dimension] as usize;
    }
}

/// Appends the columns of `rows` times `columns` elements as rows: channels become interleaved samples, and the reverse.
pub(super) fn transpose(data: &[u8], rows: usize, columns: usize, size: usize, out: &mut Vec<u8>) {
    match size {
        _ if data.is_empty() => {}
        1 => transpose_by::<1>(data, rows, columns, out),
        2 => transpose_by::<2>(data, rows, columns, out),
        4 => transpose_by::<4>(data, rows, columns, out),
        8 => transpose_by::<8>(data, rows, columns, out),
        _ => {
            for column in 0..columns {
                for row in 0..rows {
                    let at = (row * columns + column) * size;
                    out.extend_from_slice(&data[at..at + size]);
                }
            }
        }
    }
}

fn transpose_by<const N: usize>(data: &[u8], rows: usize, columns: usize, out: &mut Vec<u8>) {
    if rows <= 1 || columns <= 1 {
        out.extend_from_slice(data);
        return;
    }
    let start = out.len();
    out.resize(start + data.len(), 0);
    let (data, _) = data.as_chunks::<N>();
    let (target, _) = out[start..].as_chunks_mut::<N>();
    // Along the longer side in one go, so that two channels are two passes and not one short loop for each sample.
    if rows <= columns {
        for (row, elements) in data.chunks_exact(columns).enumerate() {
            for (to, from) in target[row..].iter_mut().step_by(rows).zip(elements) {
                *to = *from;
            }
        }
    } else {
        for (column, elements) in target.chunks_exact_mut(rows).enumerate() {
            for (to, from) in elements.iter_mut().zip(data[column..].iter().step_by(columns)) {
                *to = *from;
            }
        }
    }
}

/// The bytes of each number turned round.
pub(super) fn swapped(data: &[u8], dtype: Dtype) -> Vec<u8> {
    let mut out = data.to_vec();
    for part in out.chunks_exact_mut(dtype.part_size().max(1)) {
        part.reverse();
    }
    out
}
