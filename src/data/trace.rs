//! Which trace an item belongs to, as it travels with the item.
//!
//! Problem: an item passes floors that know nothing of each other, and what each of them does with it must end up in one trace. Answer: a
//! packet carries whoever began its part of the trace ([`Traced`]), and everybody asks it for the [`TraceContext`] that what they do is a
//! child of. The last to let go of it ends it. What is written down about it, and where it goes, is `observe`'s business.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;

/// A place in a trace, as W3C's Trace Context has it (`traceparent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span that others are children of; never zero.
    pub span_id: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

/// Has a place in a trace.
pub trait Traced: fmt::Debug + Send + Sync + 'static {
    /// What children of it are told.
    fn context(&self) -> TraceContext;

    /// Is told that an answer of it is handed out. It is over with the last of them, whoever holds it longer.
    fn delivered(&self) {}

    /// Is told what it failed with.
    fn failed(&self, error: &Error) {
        let _ = error;
    }
}

/// Somebody's place in a trace, shared by all that belongs to it.
pub type Trace = Arc<dyn Traced>;

impl Traced for TraceContext {
    fn context(&self) -> TraceContext {
        *self
    }
}

impl fmt::Display for TraceContext {
    /// As `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = Error;

    /// Reads `traceparent`, of a later version too as far as that is like the first. `ERR_CONFIG`, path `traceparent`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::config("traceparent", "must be a W3C traceparent such as 00-<32 hex>-<16 hex>-01");
        // Lower case only, as W3C has it.
        let hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.split('-');
        let [Some(version), Some(trace), Some(span), Some(flags)] = [parts.next(), parts.next(), parts.next(), parts.next()] else {
            return Err(wrong());
        };
        let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
        if version == "ff" || (version == "00" && parts.next().is_some()) || lengths.iter().any(|(part, length)| part.len() != *length || !hex(part))
        {
            return Err(wrong());
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| wrong())?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| wrong())?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| wrong())?;
        if trace_id == 0 || span_id == 0 {
            return Err(wrong());
        }
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context: TraceContext = TEXT.parse().expect("a traceparent");
        assert!(context.sampled);
        assert_eq!(context.to_string(), TEXT);
        let unsampled: TraceContext = TEXT.replace("-01", "-00").parse().expect("a traceparent");
        assert!(!unsampled.sampled);
        // A later version may say more.
        let later: TraceContext = format!("{}-more", TEXT.replacen("00", "01", 1)).parse().expect("a later traceparent");
        assert_eq!(later, context);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let upper = TEXT.to_uppercase();
        let more = format!("{TEXT}-more");
        let forbidden = TEXT.replacen("00", "ff", 1);
        for wrong in [
            "",
            "00",
            "00-1-2-01",
            &TEXT[..54],
            &zero_trace,
            &zero_span,
            &upper,
            &more,
            &forbidden,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-01",
        ] {
            let error = wrong.parse::<TraceContext>().expect_err(wrong);
            assert_eq!(error.path(), Some("traceparent"), "{wrong}");
        }
    }
}
