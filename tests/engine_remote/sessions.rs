//! The end of a session is told to the remote exactly once, however it comes, and not before.

use remotemedia_wasmedge::engine::ModuleSource;

use super::*;

fn used(node: &Arc<WasmNode>, session: &str) -> Stream {
    let stream = stream(node, session);
    call(&stream, ask('c', "echo", "x")).unwrap();
    stream
}

fn close(node: &Arc<WasmNode>, session: &str) {
    wait::<()>(|done| node.close_session(&SessionId::new(session).unwrap(), "closed", Box::new(move || done(()))));
}

#[test]
fn closing_releases_before_the_caller_is_told() {
    let remote = Script::new();
    let node = node(options(&remote));
    let (alice, _bob) = (used(&node, "alice"), used(&node, "bob"));
    call(&alice, ask('i', "", "")).unwrap();
    close(&node, "alice");
    assert_eq!(remote.released(), ["alice"]);
    close(&node, "alice");
    assert_eq!(error_of(call(&alice, ask('c', "echo", "x"))).code(), Code::Session);
    wait::<()>(|done| node.cleanup(Box::new(move || done(()))));
    assert_eq!(remote.released(), ["alice", "bob"]);
    drop((alice, node));
    assert_eq!(remote.released(), ["alice", "bob"], "and not again when all is gone");
}

#[test]
fn a_session_that_is_opened_again_is_another_one() {
    let remote = Script::new();
    let node = node(options(&remote));
    for round in 1..=3 {
        drop(used(&node, "alice"));
        close(&node, "alice");
        assert_eq!(remote.released().len(), round);
    }
}

#[test]
fn the_end_of_a_stream_with_a_session_of_its_own_releases_it() {
    let remote = Script::new();
    let node = node(options(&remote));
    let own = node.open(StreamOptions::default()).unwrap();
    call(&own, ask('s', "later", "x")).unwrap();
    let id = own.session_id().to_string();
    assert_eq!(texts(&flush(&own).unwrap()), ["flushed", "later:x"]);
    assert!(remote.released().is_empty());
    own.end();
    remote.until_released(1);
    assert_eq!(remote.released(), [id]);
}

#[test]
fn expiry_and_eviction_release() {
    let remote = Script::new();
    let node = node(NodeOptions { sessions_max: Some(1.0), ..options(&remote) });
    used(&node, "first");
    used(&node, "second");
    remote.until_released(1);
    assert_eq!(remote.released(), ["first"]);

    let remote = Script::new();
    let node = self::node(NodeOptions { sessions_ttl_ms: Some(40.0), ..options(&remote) });
    used(&node, "old");
    remote.until_released(1);
    assert_eq!(remote.released(), ["old"]);
    assert_eq!(node.metrics()["sessionsClosed"]["expired"], 1);
}

#[test]
fn a_lost_guest_keeps_its_remote_session() {
    for mode in MODES {
        let remote = Script::new();
        let node = node(NodeOptions { mode, ..options(&remote) });
        let stream = used(&node, "alice");
        for _ in 0..3 {
            assert!(error_of(call(&stream, ask('x', "echo", "0"))).is_state_lost());
            assert_eq!(texts(&call(&stream, ask('i', "alice", "")).unwrap()), ["remote-of-alice"]);
        }
        assert!(remote.released().is_empty());
        close(&node, "alice");
        assert_eq!(remote.released(), ["alice"], "{mode:?}");
    }
}

#[test]
fn a_guest_that_moves_to_compiled_code_keeps_its_remote_session() {
    let remote = Script::new();
    // A section of its own, so that no earlier run has compiled it: the guest starts interpreted.
    let mut module = std::fs::read(support::guest("fixtures/remote")).unwrap();
    let nonce = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos().to_le_bytes();
    module.extend([0, 18, 1, b'n'].into_iter().chain(nonce));
    let node = support::node(ModuleSource::Bytes(module), NodeOptions { mode: Mode::Auto, ..options(&remote) }).unwrap();
    let stream = used(&node, "alice");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while node.metrics()["callsByMode"]["aot"] == 0 {
        call(&stream, ask('c', "echo", "x")).unwrap();
        assert!(std::time::Instant::now() < end, "never compiled: {:?}", node.metrics());
    }
    assert_eq!(node.metrics()["instancesMoved"], 1);
    assert_eq!(texts(&call(&stream, ask('i', "", "")).unwrap()), ["remote-of-alice"]);
    close(&node, "alice");
    assert_eq!(remote.released(), ["alice"]);
}

#[test]
fn a_node_that_everybody_forgot_releases_its_sessions() {
    let remote = Script::new();
    let node = node(options(&remote));
    drop(used(&node, "alice"));
    drop(node);
    remote.until_released(1);
    assert_eq!(remote.released(), ["alice"]);
}

#[test]
fn the_guests_cleanup_may_still_use_the_remote() {
    let remote = Script::new();
    let wat = r#"(module
        (import "env" "call_remote_service" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "echogoodbye") (data (i32.const 32) "\40\00\00\00")
        (func (export "process") (param i32 i32 i32 i32) (result i32) (i32.store (local.get 3) (i32.const 0)) (i32.const 0))
        (func (export "cleanup") (result i32)
            (call $call (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 7) (i32.const 64) (i32.const 32))))"#;
    let node = text_node(wat, options(&remote)).unwrap();
    call(&stream(&node, "a"), Packet::binary(vec![0])).unwrap();
    close(&node, "a");
    assert_eq!(remote.asked()[0].packet.bytes.as_ref(), b"goodbye");
    assert_eq!(remote.released(), ["a"]);
}
