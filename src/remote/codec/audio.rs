//! Samples between packets and numpy arrays.
//!
//! Problem: packets hold interleaved f32; nodes want an array (channels, samples) and answer with one of any type and shape. Answer: a
//! packet's bytes become such an array in Fortran's order, which is interleaved, without a copy; the writer turns it. On the way back
//! f32 is copied once where channels have to be interleaved, and not at all otherwise; other types are converted.

use bytes::Bytes;

use super::array::{float, transpose};
use super::dtype::{Dtype, Element};
use super::refused;
use super::value::NdArray;
use crate::data::{Format, Packet};
use crate::error::Result;

/// Fastest rate that counts as one: what JavaScript may give, too.
const MAX_RATE: f64 = 1e7;
/// Most channels: what JavaScript may give, too.
const MAX_CHANNELS: u64 = 1024;

/// The samples of a packet as an array (channels, samples).
pub fn to_array(bytes: &Bytes, channels: u32) -> Result<NdArray> {
    let frame = channels as usize * 4;
    if frame == 0 || !bytes.len().is_multiple_of(frame) {
        return Err(refused(format!("{} bytes of audio do not divide into {channels} channels of 32-bit samples", bytes.len())));
    }
    Ok(NdArray { dtype: Dtype::F32, shape: vec![channels.into(), (bytes.len() / frame) as u64], fortran: channels > 1, data: bytes.clone() })
}

/// How many channels an array has, if it may be audio at this rate: one dimension, or channels before samples, of real numbers.
pub fn channels(array: &NdArray, rate: f64) -> Option<u32> {
    let channels = match array.shape[..] {
        [_] => 1,
        [channels @ 1..=MAX_CHANNELS, _] => channels as u32,
        _ => return None,
    };
    let real = match array.dtype.element() {
        Element::Bool | Element::Int | Element::Uint => true,
        Element::Float => array.dtype.size() <= 8,
        Element::Complex | Element::Bytes | Element::Text => false,
    };
    (real && (1.0..=MAX_RATE).contains(&rate)).then_some(channels)
}

/// The packet of an array that [`channels`] accepted.
pub fn to_packet(array: NdArray, rate: f64, channels: u32) -> Result<Packet> {
    let format = Format::Audio { sample_rate: rate, channels };
    let count = channels as usize;
    let array = NdArray::new(array.dtype, array.shape, array.fortran, array.data)?;
    // Fortran's order of (channels, samples) is interleaved already.
    let planar = count > 1 && !array.fortran;
    if array.dtype == Dtype::F32 {
        if !planar {
            return Ok(Packet::new(format, array.data));
        }
        let mut out = Vec::with_capacity(array.data.len());
        transpose(&array.data, count, array.data.len() / 4 / count, 4, &mut out);
        return Ok(Packet::new(format, out));
    }
    let flat = NdArray { shape: vec![array.data.len() as u64 / u64::from(array.dtype.size())], fortran: false, ..array };
    let flat = flat.into_standard()?;
    let samples = as_f32(flat.dtype, &flat.data);
    if !planar {
        return Ok(Packet::new(format, samples));
    }
    let mut out = Vec::with_capacity(samples.len());
    transpose(&samples, count, samples.len() / 4 / count, 4, &mut out);
    Ok(Packet::new(format, out))
}

/// Little-endian numbers as f32. Whole numbers of 8, 16 and 32 bits are samples whose full range means -1 to 1; unsigned bytes have their
/// middle at 128. Longer and other whole numbers are no usual samples, and keep their value.
fn as_f32(dtype: Dtype, data: &[u8]) -> Vec<u8> {
    let each = |convert: &dyn Fn(&[u8]) -> f64| {
        let mut out = Vec::with_capacity(data.len() / dtype.size() as usize * 4);
        for element in data.chunks_exact(dtype.size() as usize) {
            out.extend_from_slice(&(convert(element) as f32).to_le_bytes());
        }
        out
    };
    match (dtype.element(), dtype.size()) {
        (Element::Float, _) => each(&|bytes| float(bytes).unwrap_or_default()),
        (Element::Int, 2) => {
            // The one that is common: telephony and files.
            let (samples, _) = data.as_chunks::<2>();
            samples.iter().flat_map(|sample| (f32::from(i16::from_le_bytes(*sample)) / 32_768.0).to_le_bytes()).collect()
        }
        (Element::Int, 1) => each(&|bytes| f64::from(bytes[0].cast_signed()) / 128.0),
        (Element::Int, 4) => each(&|bytes| signed(bytes) as f64 / 2_147_483_648.0),
        (Element::Uint, 1) => each(&|bytes| (f64::from(bytes[0]) - 128.0) / 128.0),
        (Element::Int, _) => each(&|bytes| signed(bytes) as f64),
        _ => each(&|bytes| unsigned(bytes) as f64),
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    (unsigned(bytes) << unused).cast_signed() >> unused
}

/// Samples of another form than f32 as f32: the audio of protocol v1 in 16 or 32 bits.
pub fn whole_to_f32(size: u32, data: &[u8]) -> Option<Vec<u8>> {
    Dtype::new(Element::Int, size, super::dtype::Order::Little).map(|dtype| as_f32(dtype, data))
}
