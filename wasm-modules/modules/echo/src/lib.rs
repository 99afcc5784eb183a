//! The smallest useful module, and the template for new ones: hands every input back through the result buffer.
//!
//! It does not say what kind the bytes are; the node's `outputKind` option can.

#![no_std]

use remotemedia_guest::{Config, Error, Input, Node, Output, export_node, no_std_runtime};

no_std_runtime!();
export_node!(Echo);

/// The node; has no state.
pub struct Echo;

impl Node for Echo {
    fn initialize(_session: &str, _config: &Config) -> Result<Self, Error> {
        Ok(Self)
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        out.result(input.bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotemedia_guest::testing::Session;

    #[test]
    fn returns_what_it_got() {
        let mut session = Session::<Echo>::start("{}").unwrap();
        let data = [7; 1000];
        assert_eq!(session.process(&data, "{}").unwrap()[0].data, data);
        assert!(session.process(&[], "{}").unwrap().is_empty());
    }
}
