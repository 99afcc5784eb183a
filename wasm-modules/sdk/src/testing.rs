//! A host for tests: serves the imports from thread-local state, so that a node runs under plain `cargo test`.
//!
//! It answers as the ABI says, the two-call buffer protocol included. It does not check pointers or limits. Its remote has
//! the services that [`on_remote`] names, and no network.

use crate::{Error, Kind, Node, rt::Runtime};
use std::{boxed::Box, cell::RefCell, collections::BTreeMap, string::String, vec, vec::Vec};

/// One `rm.emit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// As given.
    pub kind: i32,
    /// As given.
    pub data: Vec<u8>,
    /// As given; empty for none.
    pub meta: String,
}

impl Emitted {
    /// The data as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.data).expect("emitted text is UTF-8")
    }

    /// The data as f32.
    pub fn f32s(&self) -> Vec<f32> {
        let (chunks, _) = self.data.as_chunks::<4>();
        chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// What a node asked of a remote service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// As given.
    pub data: Vec<u8>,
    /// The kind that `rm.remote_format` stated for it, if any.
    pub kind: Option<i32>,
    /// The metadata stated with the kind; empty for none.
    pub meta: String,
}

type RemoteFn = Box<dyn FnMut(&Asked) -> Result<Vec<u8>, (i32, String)>>;
type HostFn = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, (i32, String)>>;

#[derive(Default)]
struct State {
    config: String,
    meta: String,
    emitted: Vec<Emitted>,
    logs: Vec<(i32, String)>,
    failed: String,
    last_error: String,
    kept: Option<Vec<u8>>,
    functions: BTreeMap<String, HostFn>,
    services: BTreeMap<String, RemoteFn>,
    described: Option<(i32, String)>,
    kept_remote: Option<Vec<u8>>,
    remote_calls: usize,
    streamed: Vec<(String, Asked)>,
}

std::thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(f)
}

/// Forgets everything.
pub fn reset() {
    with(|s| *s = State::default());
}

/// What `rm.config` will answer.
pub fn set_config(json: &str) {
    with(|s| s.config = json.into());
}

/// What `rm.input_meta` will answer.
pub fn set_meta(json: &str) {
    with(|s| s.meta = json.into());
}

/// Registers a host function for `rm.call_host`; an error is a status code and its text.
pub fn on_call(name: &str, f: impl FnMut(&[u8]) -> Result<Vec<u8>, (i32, String)> + 'static) {
    with(|s| s.functions.insert(name.into(), Box::new(f)));
}

/// Registers a remote service; an error is a status code and its text. What is streamed to it needs no answer.
pub fn on_remote(name: &str, f: impl FnMut(&Asked) -> Result<Vec<u8>, (i32, String)> + 'static) {
    with(|s| s.services.insert(name.into(), Box::new(f)));
}

/// How often remote services were called since the last time this was asked.
pub fn take_remote_calls() -> usize {
    with(|s| std::mem::take(&mut s.remote_calls))
}

/// What was streamed to remote services since the last call, with their names.
pub fn take_streamed() -> Vec<(String, Asked)> {
    with(|s| std::mem::take(&mut s.streamed))
}

/// What was emitted since the last call.
pub fn take_emitted() -> Vec<Emitted> {
    with(|s| std::mem::take(&mut s.emitted))
}

/// What was logged since the last call, with levels.
pub fn take_logs() -> Vec<(i32, String)> {
    with(|s| std::mem::take(&mut s.logs))
}

/// A session of `N` on a host of its own, driven through the same runtime that the exports use.
pub struct Session<N>(Runtime<N>);

impl<N: Node> Session<N> {
    /// Starts a session with this config (JSON).
    pub fn start(config: &str) -> Result<Self, Error> {
        reset();
        set_config(config);
        let mut runtime = Runtime::new();
        // SAFETY: a C string literal is NUL-terminated.
        match unsafe { runtime.initialize(c"test".as_ptr().cast()) } {
            0 => Ok(Self(runtime)),
            _ => Err(failure()),
        }
    }

    /// One input; returns what was emitted, and the result buffer as a last binary item if it holds anything.
    pub fn process(&mut self, data: &[u8], meta: &str) -> Result<Vec<Emitted>, Error> {
        set_meta(meta);
        // Aligned like a host buffer.
        let mut store = vec![0u64; data.len().div_ceil(8)];
        // SAFETY: the store is at least as long as `data`, and lives until the end of the function.
        unsafe {
            let view = store.as_mut_ptr().cast::<u8>();
            view.copy_from_nonoverlapping(data.as_ptr(), data.len());
            self.drive(|rt, again, out, len| {
                let n = if again { -1 } else { data.len() as i32 };
                rt.process(view, n, out, len)
            })
        }
    }

    /// One input of audio.
    pub fn audio(&mut self, samples: &[f32], rate: u32, channels: usize) -> Result<Vec<Emitted>, Error> {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let meta = std::format!(r#"{{"kind":"audio","sampleRate":{rate},"channels":{channels},"sessionId":"test"}}"#);
        self.process(&bytes, &meta)
    }

    /// End of a stream.
    pub fn flush(&mut self) -> Result<Vec<Emitted>, Error> {
        // SAFETY: `drive` passes a buffer of the stated length.
        self.drive(|rt, _, out, len| unsafe { rt.flush(out, len) })
    }

    /// End of the session.
    pub fn cleanup(&mut self) -> i32 {
        self.0.cleanup()
    }

    fn drive(
        &mut self,
        mut call: impl FnMut(&mut Runtime<N>, bool, *mut u8, *mut u32) -> i32,
    ) -> Result<Vec<Emitted>, Error> {
        // Small on purpose: most results take the long way round.
        let mut buffer = vec![0u8; 16];
        let mut again = false;
        loop {
            let mut len = buffer.len() as u32;
            match call(&mut self.0, again, buffer.as_mut_ptr(), &mut len) {
                0 => {
                    let mut items = take_emitted();
                    if len > 0 {
                        items.push(Emitted {
                            kind: Kind::Binary as i32,
                            data: buffer[..len as usize].to_vec(),
                            meta: String::new(),
                        });
                    }
                    return Ok(items);
                }
                1 => {
                    again = true;
                    buffer.resize(len as usize, 0);
                }
                _ => return Err(failure()),
            }
        }
    }
}

fn failure() -> Error {
    Error::new(with(|s| std::mem::take(&mut s.failed)))
}

/// The imports, in the signatures of `sys`.
pub(crate) mod imports {
    use super::{Asked, Emitted, State, with};
    use std::{slice::from_raw_parts, string::String, string::ToString};

    unsafe fn text(ptr: *const u8, len: usize) -> String {
        // SAFETY: the caller passes the parts of a slice.
        String::from_utf8_lossy(unsafe { from_raw_parts(ptr, len) }).into_owned()
    }

    /// The buffer protocol: 0 and the bytes, or 1 and the length needed.
    unsafe fn fill(data: &[u8], out: *mut u8, len: *mut u32) -> i32 {
        // SAFETY: the caller passes a buffer of `*len` bytes.
        unsafe {
            let room = *len as usize;
            *len = data.len() as u32;
            if data.len() > room {
                return 1;
            }
            out.copy_from_nonoverlapping(data.as_ptr(), data.len());
        }
        0
    }

    fn refuse(state: &mut State, code: i32, text: String) -> i32 {
        state.last_error = text;
        code
    }

    pub unsafe fn emit(kind: i32, data: *const u8, len: usize, meta: *const u8, meta_len: usize) -> i32 {
        // SAFETY: the SDK passes the parts of slices.
        let item = unsafe { Emitted { kind, data: from_raw_parts(data, len).to_vec(), meta: text(meta, meta_len) } };
        with(|s| s.emitted.push(item));
        0
    }

    pub unsafe fn input_meta(out: *mut u8, len: *mut u32) -> i32 {
        // SAFETY: the SDK passes a buffer of `*len` bytes.
        with(|s| unsafe { fill(s.meta.as_bytes(), out, len) })
    }

    pub unsafe fn config(out: *mut u8, len: *mut u32) -> i32 {
        // SAFETY: the SDK passes a buffer of `*len` bytes.
        with(|s| unsafe { fill(s.config.as_bytes(), out, len) })
    }

    pub unsafe fn last_error(out: *mut u8, len: *mut u32) -> i32 {
        // SAFETY: the SDK passes a buffer of `*len` bytes.
        with(|s| unsafe { fill(s.last_error.as_bytes(), out, len) })
    }

    pub unsafe fn log(level: i32, ptr: *const u8, len: usize) {
        // SAFETY: the SDK passes the parts of a slice.
        let line = unsafe { text(ptr, len) };
        with(|s| s.logs.push((level, line)));
    }

    pub unsafe fn fail(ptr: *const u8, len: usize) {
        // SAFETY: the SDK passes the parts of a slice.
        let line = unsafe { text(ptr, len) };
        with(|s| s.failed = line);
    }

    pub unsafe fn now_ms() -> i64 {
        0
    }

    pub unsafe fn call_host(
        name: *const u8,
        name_len: usize,
        data: *const u8,
        len: usize,
        result: *mut u8,
        result_len: *mut u32,
    ) -> i32 {
        // SAFETY: the SDK passes the parts of slices.
        let (name, data) = unsafe { (text(name, name_len), from_raw_parts(data, len)) };
        with(|s| {
            let answer = match (s.kept.take(), s.functions.get_mut(&name)) {
                (Some(kept), _) => Ok(kept),
                (None, Some(function)) => function(data),
                (None, None) => Err((-3, "no host function ".to_string() + &name)),
            };
            match answer {
                // SAFETY: the SDK passes a buffer of `*result_len` bytes.
                Ok(answer) => match unsafe { fill(&answer, result, result_len) } {
                    0 => 0,
                    status => {
                        s.kept = Some(answer);
                        status
                    }
                },
                Err((code, text)) => refuse(s, code, text),
            }
        })
    }

    fn no_service(state: &mut State, name: &str) -> i32 {
        refuse(state, -3, "no remote service ".to_string() + name)
    }

    fn asked(state: &mut State, data: &[u8]) -> Asked {
        let (kind, meta) = state.described.take().map_or((None, String::new()), |(kind, meta)| (Some(kind), meta));
        Asked { data: data.to_vec(), kind, meta }
    }

    pub unsafe fn remote_format(kind: i32, meta: *const u8, meta_len: usize) -> i32 {
        // SAFETY: the SDK passes the parts of a slice.
        let meta = unsafe { text(meta, meta_len) };
        with(|s| s.described = Some((kind, meta)));
        0
    }

    pub unsafe fn call_remote_service(
        name: *const u8,
        name_len: usize,
        data: *const u8,
        len: usize,
        result: *mut u8,
        result_len: *mut u32,
    ) -> i32 {
        // SAFETY: the SDK passes the parts of slices.
        let (name, data) = unsafe { (text(name, name_len), from_raw_parts(data, len)) };
        with(|s| {
            let kept = s.kept_remote.take();
            let answer = match kept {
                Some(kept) => Ok(kept),
                None => {
                    let asked = asked(s, data);
                    let Some(service) = s.services.get_mut(&name) else { return no_service(s, &name) };
                    s.remote_calls += 1;
                    service(&asked)
                }
            };
            match answer {
                // SAFETY: the SDK passes a buffer of `*result_len` bytes.
                Ok(answer) => match unsafe { fill(&answer, result, result_len) } {
                    0 => 0,
                    status => {
                        s.kept_remote = Some(answer);
                        status
                    }
                },
                Err((code, text)) => refuse(s, code, text),
            }
        })
    }

    pub unsafe fn stream_to_remote(name: *const u8, name_len: usize, data: *const u8, len: usize) -> i32 {
        // SAFETY: the SDK passes the parts of slices.
        let (name, data) = unsafe { (text(name, name_len), from_raw_parts(data, len)) };
        with(|s| {
            if !s.services.contains_key(&name) {
                return no_service(s, &name);
            }
            let asked = asked(s, data);
            s.streamed.push((name, asked));
            0
        })
    }

    pub unsafe fn get_remote_session(_id: *const u8, _id_len: usize, out: *mut u8, len: *mut u32) -> i32 {
        // SAFETY: the SDK passes a buffer of `*len` bytes.
        unsafe { fill(b"remote-test", out, len) }
    }
}
