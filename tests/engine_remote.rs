//! Guests and remote services: what the imports of `env` do, how long they may take, and what is told at a session's end.

#[path = "engine_remote/hybrid_vad.rs"]
mod hybrid_vad;
#[path = "engine_remote/service.rs"]
mod service;
#[path = "engine_remote/sessions.rs"]
mod sessions;
mod support;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use remotemedia_wasmedge::data::{Format, Kind, Packet, SessionId};
use remotemedia_wasmedge::engine::{Mode, NodeOptions, RemoteServices, Stream, StreamOptions, WasmNode};
use remotemedia_wasmedge::error::{Code, Error, Result, Trap};
use service::Script;
use support::{MODES, call, flush, guest_node, stream, text_node, wait};

fn options(remote: &Arc<Script>) -> NodeOptions {
    NodeOptions { remote: Some(Arc::clone(remote) as Arc<dyn RemoteServices>), mode: Mode::Interpreter, ..NodeOptions::default() }
}

fn node(options: NodeOptions) -> Arc<WasmNode> {
    guest_node("fixtures/remote", options).unwrap()
}

/// An input of the guest `remote`.
fn ask(op: char, name: &str, data: impl AsRef<[u8]>) -> Packet {
    let mut bytes = vec![op as u8, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.extend(data.as_ref());
    Packet::binary(bytes)
}

/// What the guest did with a status that it was told to bear: the status and the text of `rm.last_error`.
fn borne(out: &[Packet]) -> (i32, String) {
    let (status, text) = out[0].bytes.split_at(4);
    (i32::from_le_bytes(status.try_into().unwrap()), String::from_utf8(text.to_vec()).unwrap())
}

fn texts(out: &[Packet]) -> Vec<&str> {
    out.iter().map(|packet| std::str::from_utf8(&packet.bytes).unwrap()).collect()
}

fn submit(stream: &Stream, packet: Packet) -> mpsc::Receiver<Result<Vec<Packet>>> {
    let (sender, receiver) = mpsc::channel();
    stream.submit(packet, Box::new(move |out| drop(sender.send(out))));
    receiver
}

fn error_of(result: Result<Vec<Packet>>) -> Error {
    result.expect_err("a failure")
}

#[test]
fn a_call_is_made_once_however_small_the_guests_buffer_was() {
    for mode in MODES {
        let remote = Script::new();
        let node = node(NodeOptions { mode, ..options(&remote) });
        let stream = stream(&node, "a");
        assert_eq!(call(&stream, ask('c', "echo", "hello")).unwrap()[0].bytes.as_ref(), b"hello");
        let out = call(&stream, ask('c', "large", "hello")).unwrap();
        assert_eq!(out[0].bytes.as_ref(), vec![7; 100_000], "{mode:?}");
        let asked: Vec<_> = remote.asked().into_iter().map(|asked| (asked.service, asked.packet.bytes, asked.session)).collect();
        assert_eq!(asked, ["echo", "large"].map(|name| (name.to_owned(), "hello".into(), "a".to_owned())), "{mode:?}");
    }
}

#[test]
fn every_failure_has_its_status_and_reaches_the_application_as_it_was() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "a");
    for (service, status, code) in [
        ("forbidden", -2, Code::ServiceUnknown),
        ("nobody", -3, Code::ServiceUnknown),
        ("down", -5, Code::Unavailable),
        ("open", -5, Code::BreakerOpen),
        ("late", -4, Code::Deadline),
        ("denied", -107, Code::Remote),
        ("odd", -1, Code::Remote),
        ("broken", -1, Code::Remote),
    ] {
        let (seen, text) = borne(&call(&stream, ask('C', service, "x")).unwrap());
        assert_eq!(seen, status, "{service}");
        assert!(text.starts_with(service), "{text}");
        let error = error_of(call(&stream, ask('c', service, "x")));
        assert_eq!((error.code(), error.message(), error.is_state_lost()), (code, text.as_str(), false), "{service}");
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<Error>()).expect("the original error");
        assert_eq!((cause.code(), cause.message()), (code, text.as_str()));
    }
    let error = error_of(call(&stream, ask('s', "nobody", "x")));
    assert_eq!((error.code(), error.message()), (Code::ServiceUnknown, "nobody is not known"));
    let error = error_of(call(&stream, ask('c', "bug", "x")));
    assert_eq!(error.code(), Code::HostFunction, "{error:?}");
    assert!(error.message().contains("a bug in the remote") && error.is_state_lost(), "{error:?}");
}

#[test]
fn a_call_that_outlasts_the_item_ends_as_a_timeout() {
    for (mode, op, service) in MODES.into_iter().flat_map(|mode| [(mode, 'c', "silent"), (mode, 's', "full")]) {
        let remote = Script::new();
        let node = node(NodeOptions { mode, ..options(&remote) });
        let session = Some(SessionId::new("a").unwrap());
        let hurried = node.open(StreamOptions { session, timeout: Some(Duration::from_millis(150)), ..StreamOptions::default() }).unwrap();
        // In capitals: the guest would bear it, but it has no more say.
        let error = error_of(call(&hurried, ask(op.to_ascii_uppercase(), service, "x")));
        assert_eq!((error.code(), error.is_state_lost()), (Code::WasmTimeout, true), "{mode:?} {error:?}");
        remote.until_waiting(0);
        assert!(call(&stream(&node, "a"), ask('c', "echo", "x")).is_ok(), "{mode:?}: the session goes on with a new guest");
        assert_eq!(remote.released(), [""; 0], "{mode:?}: and with its remote session");
    }
}

#[test]
fn cancelling_and_cleaning_up_end_a_call_that_waits() {
    for mode in MODES {
        let remote = Script::new();
        let node = node(NodeOptions { mode, ..options(&remote) });
        let own = node.open(StreamOptions::default()).unwrap();
        let answer = submit(&own, ask('C', "silent", "x"));
        remote.until_waiting(1);
        own.cancel();
        assert_eq!(error_of(answer.recv().unwrap()).code(), Code::Aborted, "{mode:?}");
        let stream = stream(&node, "a");
        let answer = submit(&stream, ask('C', "silent", "x"));
        remote.until_waiting(1);
        wait::<()>(|done| node.cleanup(Box::new(move || done(()))));
        assert_eq!(error_of(answer.recv().unwrap()).code(), Code::Closed, "{mode:?}");
        assert_eq!(remote.released().len(), 2, "{mode:?}");
    }
}

#[test]
fn sessions_that_wait_leave_the_processors_to_others() {
    let remote = Script::new();
    let node = node(options(&remote));
    let many = 4 * std::thread::available_parallelism().unwrap().get();
    let streams: Vec<_> = (0..many).map(|index| stream(&node, &format!("waits-{index}"))).collect();
    let answers: Vec<_> = streams.iter().map(|stream| submit(stream, ask('c', "gate", "x"))).collect();
    remote.until_waiting(many);
    let busy = stream(&node, "busy");
    for _ in 0..20 {
        assert_eq!(call(&busy, ask('c', "echo", "quick")).unwrap()[0].bytes.as_ref(), b"quick");
    }
    remote.until_waiting(many);
    remote.open_gate();
    for answer in answers {
        assert_eq!(answer.recv().unwrap().unwrap()[0].bytes.as_ref(), b"x");
    }
}

#[test]
fn bad_pointers_trap_before_anything_is_asked() {
    for mode in MODES {
        let remote = Script::new();
        let node = node(NodeOptions { mode, ..options(&remote) });
        let stream = stream(&node, "a");
        for which in 0..=9 {
            let error = error_of(call(&stream, ask('X', "echo", which.to_string())));
            assert_eq!((error.code(), error.trap_kind()), (Code::WasmTrap, Some(Trap::BadPointer)), "{mode:?} {which}: {error:?}");
        }
        assert!(remote.asked().is_empty(), "{mode:?}: {:?}", remote.asked());
    }
}

#[test]
fn answers_are_bounded() {
    let remote = Script::new();
    let node = node(NodeOptions { max_output_bytes: Some(50_000.0), ..options(&remote) });
    let stream = stream(&node, "a");
    let (status, text) = borne(&call(&stream, ask('C', "large", "x")).unwrap());
    assert_eq!(status, -1);
    assert!(text.contains("'large' answered 100000 bytes"), "{text}");
    let error = error_of(call(&stream, ask('c', "large", "x")));
    assert_eq!((error.code(), error.is_state_lost()), (Code::OutputTooLarge, false), "{error:?}");
    let error = error_of(call(&stream, ask('s', "flood", "x")));
    assert_eq!((error.code(), error.is_state_lost()), (Code::OutputTooLarge, false), "{error:?}");
    assert!(error.message().contains("remote streams"), "{error:?}");
}

#[test]
fn a_packet_carries_what_the_guest_said_and_its_inputs_place_and_metadata() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "a");
    let metadata = Arc::new(serde_json::from_str(r#"{"who":"me","said":"before"}"#).unwrap());
    let input = |packet: Packet, format: Format| Packet { format, timestamp_ms: Some(12.5), metadata: Some(Arc::clone(&metadata)), ..packet };
    let audio = Format::Audio { sample_rate: 48_000.0, channels: 1 };
    call(&stream, input(ask('c', "echo", [0; 8]), audio.clone())).unwrap();
    call(&stream, input(ask('c', "echo", r#"{"a":1}"#), audio.clone())).unwrap();
    call(&stream, input(ask('a', "echo", [0; 8]), audio.clone())).unwrap();
    let told = |asked: &service::Asked| (asked.packet.format.clone(), asked.packet.sequence, asked.packet.timestamp_ms);
    let asked = remote.asked();
    assert_eq!(told(&asked[0]), (audio, 0, Some(12.5)));
    assert_eq!(told(&asked[1]), (Format::Plain(Kind::Json), 1, Some(12.5)));
    assert_eq!(told(&asked[2]), (Format::Audio { sample_rate: 16_000.0, channels: 1 }, 2, Some(12.5)));
    assert_eq!(asked[0].packet.metadata.as_deref(), Some(&*metadata));
    let merged = asked[2].packet.metadata.clone().unwrap();
    assert_eq!((&merged["who"], &merged["said"]), (&"me".into(), &true.into()), "the guest's own entries go over the carried ones");
    let (status, text) = borne(&call(&stream, ask('A', "echo", "abc")).unwrap());
    assert_eq!(status, -1);
    assert!(text.contains("whole 1-channel frames"), "{text}");
    assert_eq!(remote.asked().len(), 3, "what is not what it is said to be is not sent");
}

#[test]
fn a_guest_learns_its_own_remote_session_only() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "alice");
    for name in ["", "alice"] {
        assert_eq!(texts(&call(&stream, ask('i', name, "")).unwrap()), ["remote-of-alice"]);
    }
    let (status, text) = borne(&call(&stream, ask('I', "bob", "")).unwrap());
    assert_eq!(status, -2);
    assert!(text.contains("'bob'"), "{text}");
}

#[test]
fn a_node_without_a_remote_names_the_import_and_one_with_it_gives_no_more_than_there_is() {
    for (name, module) in [("call_remote_service", "env"), ("stream_to_remote", "env"), ("get_remote_session", "env"), ("remote_format", "rm")] {
        let params = if name == "call_remote_service" {
            6
        } else if name == "remote_format" {
            3
        } else {
            4
        };
        let wat = |name: &str| {
            let params = "i32 ".repeat(params);
            let import = format!(r#"(import "{module}" "{name}" (func (param {params}) (result i32)))"#);
            format!(r#"(module {import} (memory (export "memory") 1) (func (export "process") (param i32 i32 i32 i32) (result i32) (i32.const -1)))"#)
        };
        let error = text_node(&wat(name), NodeOptions::default()).err().unwrap();
        assert_eq!(error.code(), Code::ImportDenied);
        assert!(error.message().contains(&format!("{module}.{name}")) && error.message().contains("HybridWasmNode"), "{error:?}");
        assert!(text_node(&wat(name), options(&Script::new())).is_ok(), "{name}");
        let error = text_node(&wat("abort"), options(&Script::new())).err().unwrap();
        assert_eq!(error.code(), Code::ImportDenied);
        assert!(error.message().contains("which nothing provides"), "{error:?}");
    }
    let error = guest_node("fixtures/remote", NodeOptions { stateless: true, ..options(&Script::new()) }).err().unwrap();
    assert_eq!((error.code(), error.path()), (Code::Config, Some("stateless")), "{error:?}");
}

#[test]
fn a_remote_cannot_be_used_before_there_is_a_session() {
    let remote = Script::new();
    // The start function keeps the status, process returns it.
    let wat = r#"(module
        (import "env" "get_remote_session" (func $session (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func $start (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 0) (call $session (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 8))))
        (start $start)
        (func (export "process") (param i32 i32 i32 i32) (result i32)
            (i32.store (local.get 2) (i32.load (i32.const 0))) (i32.store (local.get 3) (i32.const 4)) (i32.const 0)))"#;
    let node = text_node(wat, NodeOptions { output_kind: Some(Kind::Binary), ..options(&remote) }).unwrap();
    let out = call(&stream(&node, "a"), Packet::binary(vec![0])).unwrap();
    assert_eq!(out[0].bytes.as_ref(), (-1_i32).to_le_bytes());
    wait::<()>(|done| node.close_session(&SessionId::new("a").unwrap(), "closed", Box::new(move || done(()))));
    assert_eq!(remote.released(), [""; 0], "a session that never used the remote is none of its business");
}

#[test]
fn streamed_answers_come_behind_the_items_own_outputs_and_the_rest_behind_the_flush() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "a");
    let item = |name: &str, data: &str| call(&stream, ask('s', name, data)).unwrap();
    assert_eq!(texts(&item("later", "one")), ["one"]);
    let out = item("soon", "two");
    assert_eq!(texts(&out), ["two", "soon:two"]);
    assert_eq!((out[1].kind(), out[1].sequence), (Kind::Text, 1));
    assert_eq!(texts(&item("later", "three")), ["three"]);
    let out = flush(&stream).unwrap();
    assert_eq!(texts(&out), ["flushed", "later:one", "later:three"]);
    assert!(out.iter().all(|packet| packet.sequence == 3), "{out:?}");
    assert_eq!(texts(&flush(&stream).unwrap()), ["flushed"], "told once");
    assert_eq!(texts(&item("later", "four")), ["four"], "a new stream of the same session");
    assert_eq!(texts(&flush(&stream).unwrap()), ["flushed", "later:four"]);
}

#[test]
fn an_item_that_was_not_delivered_fails_what_comes_next() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "a");
    let error = error_of(call(&stream, ask('s', "lost", "one")));
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "one was not delivered"));
    assert_eq!((error.node(), error.session(), error.is_state_lost()), (Some("test"), Some("a"), false));
    assert_eq!(texts(&call(&stream, ask('s', "soon", "two")).unwrap()), ["two", "soon:two"], "told once");
}

#[test]
fn a_flush_waits_for_its_streams_within_the_items_time() {
    let remote = Script::new();
    // Long enough for the items on a busy machine, which have the same time.
    let node = node(NodeOptions { timeout_ms: Some(1_000.0), ..options(&remote) });
    let stream = stream(&node, "a");
    call(&stream, ask('s', "endless", "endless")).unwrap();
    let error = error_of(flush(&stream));
    assert_eq!((error.code(), error.is_state_lost()), (Code::WasmTimeout, false), "{error:?}");
    assert!(error.message().contains("remote streams"), "{error:?}");
    assert_eq!(texts(&call(&stream, ask('s', "soon", "on")).unwrap()), ["on", "soon:on"]);
}

#[test]
fn cancelling_a_stream_ends_the_flush_that_waits() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "a");
    call(&stream, ask('s', "endless", "endless")).unwrap();
    let (sender, answer) = mpsc::channel();
    stream.flush(Box::new(move |out| drop(sender.send(out))));
    remote.until_waiting(1);
    stream.cancel();
    assert_eq!(error_of(answer.recv().unwrap()).code(), Code::Aborted);
}

#[test]
fn a_flush_after_a_lost_guest_still_brings_what_its_streams_answer() {
    let remote = Script::new();
    let node = node(options(&remote));
    let stream = stream(&node, "a");
    call(&stream, ask('s', "later", "one")).unwrap();
    assert!(error_of(call(&stream, ask('x', "echo", "0"))).is_state_lost());
    assert_eq!(texts(&flush(&stream).unwrap()), ["later:one"]);
    assert_eq!(texts(&flush(&stream).unwrap()), [""; 0]);
}
