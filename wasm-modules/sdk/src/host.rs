//! Calls into the host: log, clock, application functions. Remote services are in [`crate::remote`].

use crate::{CallError, Level, sys};
use alloc::{string::String, vec, vec::Vec};
use core::fmt;

/// Room for the answer of a first call; anything larger costs one more call, never the work again.
const FIRST_TRY: usize = 512;

/// Runs the two-call buffer protocol of every import that fills a buffer.
pub(crate) fn fetch(mut call: impl FnMut(*mut u8, *mut u32) -> i32) -> Result<Vec<u8>, i32> {
    let mut buffer = vec![0u8; FIRST_TRY];
    loop {
        let mut len = buffer.len() as u32;
        match call(buffer.as_mut_ptr(), &mut len) {
            0 => {
                buffer.truncate(len as usize);
                return Ok(buffer);
            }
            // A host that asks again without asking for more would keep us here for ever.
            1 if len as usize > buffer.len() => buffer.resize(len as usize, 0),
            1 => return Err(CallError::FAILED),
            code => return Err(code),
        }
    }
}

pub(crate) fn call_error(code: i32) -> CallError {
    CallError { code, text: last_error() }
}

/// Text of the last import that returned a negative value; empty if there is none.
pub fn last_error() -> String {
    // SAFETY: `fetch` passes a buffer of the stated length.
    let text = fetch(|out, len| unsafe { sys::last_error(out, len) }).unwrap_or_default();
    String::from_utf8(text).unwrap_or_default()
}

/// Calls the host function `name` that the application registered, and returns its answer.
pub fn call_host(name: &str, data: &[u8]) -> Result<Vec<u8>, CallError> {
    // SAFETY: both inputs are slices that outlive the call, the output is `fetch`'s buffer.
    fetch(|out, len| unsafe { sys::call_host(name.as_ptr(), name.len(), data.as_ptr(), data.len(), out, len) })
        .map_err(call_error)
}

/// Monotonic milliseconds; the origin is the host's business, only differences mean something.
pub fn now_ms() -> i64 {
    // SAFETY: takes no pointers.
    unsafe { sys::now_ms() }
}

/// Writes one line to the host's log. The macros [`crate::info!`] and so on are shorter.
pub fn log(level: Level, args: fmt::Arguments<'_>) {
    let mut owned = String::new();
    let text = match args.as_str() {
        Some(text) => text,
        None => {
            // Writing to a String cannot fail unless a Display implementation does; then the line is cut short.
            let _ = fmt::write(&mut owned, args);
            &owned
        }
    };
    // SAFETY: `text` outlives the call.
    unsafe { sys::log(level as i32, text.as_ptr(), text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_large_answer_takes_two_calls_and_does_the_work_once() {
        testing::reset();
        let calls = std::rc::Rc::new(core::cell::Cell::new(0));
        let seen = calls.clone();
        testing::on_call("grow", move |data| {
            seen.set(seen.get() + 1);
            Ok(data.repeat(1000))
        });
        assert_eq!(call_host("grow", b"ab").unwrap(), b"ab".repeat(1000));
        assert_eq!(calls.get(), 1);
    }

    #[test]
    fn an_unknown_name_carries_the_text_of_last_error() {
        testing::reset();
        let error = call_host("nobody", b"").unwrap_err();
        assert_eq!(error.code, CallError::UNKNOWN);
        assert!(error.text.contains("nobody"), "{error}");
    }

    #[test]
    fn a_host_that_never_grows_its_demand_is_not_asked_for_ever() {
        assert_eq!(fetch(|_, _| 1), Err(CallError::FAILED));
    }
}
