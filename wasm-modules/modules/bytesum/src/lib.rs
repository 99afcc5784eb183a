//! Measures what a call costs: reads every input byte, returns eight. The 64-bit sum is little-endian.
//!
//! It is no checksum; two inputs with the same bytes in another order look the same.

#![no_std]

use remotemedia_guest::{Config, Error, Input, Node, Output, export_node, no_std_runtime};

no_std_runtime!();
export_node!(ByteSum);

/// The node; has no state.
pub struct ByteSum;

impl Node for ByteSum {
    fn initialize(_session: &str, _config: &Config) -> Result<Self, Error> {
        Ok(Self)
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        out.result(&sum(input.bytes()).to_le_bytes());
        Ok(())
    }
}

/// Sum of the bytes.
pub fn sum(bytes: &[u8]) -> u64 {
    // Blocks short enough for a 32-bit sum let the compiler use four lanes instead of two.
    bytes.chunks(1 << 16).map(|block| u64::from(block.iter().map(|&b| u32::from(b)).sum::<u32>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotemedia_guest::testing::Session;

    #[test]
    fn sums_past_32_bits_of_blocks() {
        let mut session = Session::<ByteSum>::start("{}").unwrap();
        let got = session.process(&[255; 200_000], "{}").unwrap();
        assert_eq!(got[0].data, (255u64 * 200_000).to_le_bytes());
    }
}
