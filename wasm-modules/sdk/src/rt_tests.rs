use super::*;
use crate::{Kind, testing::Session};

/// Repeats its input `config.times` times; flush hands over the number of bytes seen, as text.
struct Repeat {
    times: usize,
    seen: usize,
}

#[derive(serde::Deserialize)]
struct Options {
    times: usize,
}

impl Node for Repeat {
    fn initialize(_: &str, config: &Config) -> Result<Self, Error> {
        let Options { times } = config.parse()?;
        Ok(Self { times, seen: 0 })
    }
    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        if input.bytes() == b"bad" {
            return Err("bad input".into());
        }
        self.seen += input.bytes().len();
        out.result(&input.bytes().repeat(self.times));
        Ok(())
    }
    fn flush(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        out.result(alloc::format!("{:>40}", self.seen).as_bytes());
        Ok(())
    }
}

#[test]
fn small_and_large_results_arrive_whole() {
    let mut session = Session::<Repeat>::start(r#"{"times":3}"#).unwrap();
    for n in [0, 1, 5, 6, 400] {
        let data = std::vec![7u8; n];
        let got = session.process(&data, "{}").unwrap();
        let bytes: Vec<u8> = got.into_iter().flat_map(|item| item.data).collect();
        assert_eq!(bytes, data.repeat(3));
    }
    let flushed = session.flush().unwrap();
    assert_eq!(flushed[0].text().trim(), "412");
    assert_eq!(flushed[0].kind, Kind::Binary as i32);
}

#[test]
fn an_error_keeps_the_session_usable_and_its_message() {
    let mut session = Session::<Repeat>::start(r#"{"times":1}"#).unwrap();
    assert_eq!(session.process(b"bad", "{}").unwrap_err().message(), "bad input");
    assert_eq!(session.process(b"ok", "{}").unwrap()[0].data, b"ok");
}

#[test]
fn a_refused_config_names_the_field() {
    let error = Session::<Repeat>::start(r#"{"times":-1}"#).err().unwrap();
    assert!(error.message().starts_with("config.times"), "{error}");
}

#[test]
fn a_kept_result_survives_a_second_small_buffer_and_dies_with_the_next_input() {
    crate::testing::reset();
    crate::testing::set_config(r#"{"times":10}"#);
    let mut rt = Runtime::<Repeat>::new();
    let mut out = [0u8; 20];
    let mut call = |data: &[u8], len: i32, room: u32| {
        let mut written = room;
        // SAFETY: `room` is never more than the buffer.
        let status = unsafe { rt.process(data.as_ptr(), len, out.as_mut_ptr(), &mut written) };
        (status, written)
    };
    assert_eq!(call(b"ab", 2, 8), (TOO_SMALL, 20));
    assert_eq!(call(b"", KEPT, 19), (TOO_SMALL, 20));
    assert_eq!(call(b"", KEPT, 20), (DONE, 20));
    assert_eq!(call(b"", KEPT, 20), (FAILED, 0), "handed over only once");
    assert_eq!(call(b"ab", 2, 8), (TOO_SMALL, 20));
    assert_eq!(call(b"a", 1, 20), (DONE, 10));
    assert_eq!(call(b"", KEPT, 20), (FAILED, 0), "given up");
    assert_eq!(call(b"", -2, 20), (FAILED, 0));
}

#[test]
fn host_buffers_are_aligned_and_bad_lengths_give_null() {
    for len in [0, 1, 7, 4096] {
        let ptr = host_alloc(len);
        assert!(!ptr.is_null() && (ptr as usize).is_multiple_of(8));
        // SAFETY: just allocated with this length.
        unsafe { host_free(ptr, len) };
    }
    assert!(host_alloc(-1).is_null());
}
