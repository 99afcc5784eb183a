//! `StreamNode`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use remotemedia_wasmedge::data::{Map, Packet, SessionId, Value};
use remotemedia_wasmedge::error::{Code, Error};
use remotemedia_wasmedge::remote::codec::{self, Wire};
use remotemedia_wasmedge::remote::pb::v0::StreamData;
use remotemedia_wasmedge::remote::service::{CallInfo, ItemSink, ItemSource, NodeEntry};
use tokio::sync::mpsc;
use tonic::Request;

use super::support::*;

#[tokio::test]
async fn items_are_answered_in_order_and_what_is_held_back_at_the_end() {
    // Holds back one item; says nothing to the first.
    let node = Streams(|_, input: ItemSource, output: ItemSink| {
        async move {
            let mut held = None;
            while let Some(packet) = input.next().await? {
                if let Some(before) = held.replace(packet) {
                    output.send(before).await?;
                }
            }
            match held {
                Some(last) => output.send(last).await,
                None => Ok(()),
            }
        }
        .boxed()
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    let mut talk = Talk::begin(&mut client, init("Node", "json", &[])).await;
    talk.say("1").await;
    talk.say("2").await;
    assert_eq!(talk.item().await, "1", "while the client still sends");
    talk.say("3").await;
    assert_eq!(talk.item().await, "2");
    talk.finish();
    assert_eq!(talk.rest().await, [Ok("3".into())]);
    assert_eq!((running.metric(&["items", "in"]), running.metric(&["items", "out"])), (3, 3));
    running.until(&["activeStreams"], 0).await;
    assert_eq!(running.metric(&["streams"]), 1);
}

#[tokio::test]
async fn a_stream_begins_with_init_and_nothing_else() {
    let running = Running::with(options(), vec![("Echo", echo())]).await;
    let mut client = running.client().await;
    for first in [Some(data("1")), Some(StreamData::default()), None] {
        let mut hear = client.stream_node(tokio_stream::iter(first)).await.expect("headers").into_inner();
        let status = within(hear.message()).await.expect_err("a status");
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "Stream must be initialized with a StreamInit message."));
    }
    for (first, text) in [
        (init("Nodule", "json", &[]), "[VALIDATION] ConfigurationError: Node type 'Nodule' is not registered. Available: Echo"),
        (init("Echo", "xml", &[]), "[SERIALIZATION] SerializationError: Unsupported serialization format: 'xml' (json, pickle or raw)"),
    ] {
        let mut talk = Talk::begin(&mut client, first).await;
        assert_eq!(talk.rest().await, [Err(text.into())], "one message, then the usual end");
    }
    // A second init, and a message with nothing in it, mean nothing.
    let mut talk = Talk::begin(&mut client, init("Echo", "json", &[])).await;
    let say = talk.say.as_ref().expect("not finished");
    say.send(init("Echo", "pickle", &[])).await.expect("a stream");
    say.send(StreamData::default()).await.expect("a stream");
    talk.say("7").await;
    talk.finish();
    assert_eq!(talk.rest().await, [Ok("7".into())]);
    // Nothing at all is an empty stream.
    let mut talk = Talk::begin(&mut client, init("Echo", "json", &[])).await;
    talk.finish();
    assert_eq!(talk.rest().await, []);
}

#[tokio::test]
async fn none_is_no_message_and_several_outputs_are_several() {
    let running = Running::node(PerItem(|_, packet: Packet| {
        Ok(if packet.bytes == "0" { vec![json("null"), json(" null ")] } else { vec![packet.clone(), packet] })
    }))
    .await;
    let mut talk = Talk::begin(&mut running.client().await, init("Node", "json", &[])).await;
    for payload in ["0", "1", "0", "2"] {
        talk.say(payload).await;
    }
    talk.finish();
    assert_eq!(talk.rest().await, ["1", "1", "2", "2"].map(|text| Ok(text.to_owned())));
}

#[tokio::test]
async fn a_bad_item_ends_the_stream_after_what_was_answered() {
    let swallowed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&swallowed);
    // Makes nothing of failures.
    let careless = Streams(move |_, input: ItemSource, output: ItemSink| {
        let count = Arc::clone(&count);
        async move {
            loop {
                match input.next().await {
                    Ok(Some(packet)) => output.send(packet).await?,
                    Ok(None) => return Ok(()),
                    Err(_) => drop(count.fetch_add(1, Ordering::SeqCst)),
                }
            }
        }
        .boxed()
    });
    let running = Running::with(options(), vec![("Echo", echo()), ("Careless", NodeEntry::new(careless))]).await;
    let mut client = running.client().await;
    for node in ["Echo", "Careless"] {
        let mut talk = Talk::begin(&mut client, init(node, "json", &[])).await;
        for payload in ["1", "2", "{nonsense", "3"] {
            talk.say(payload).await;
        }
        assert_eq!((talk.item().await, talk.item().await), ("1".into(), "2".into()));
        let rest = talk.rest().await;
        let [Err(text)] = rest.as_slice() else { panic!("{node}: {rest:?}") };
        assert!(text.starts_with("[SERIALIZATION] SerializationError: "), "{text}");
    }
    assert_eq!(swallowed.load(Ordering::SeqCst), 1, "after it the items are over");
}

#[tokio::test]
async fn a_handlers_failure_and_panic_end_its_stream_only() {
    let node = PerItem(|_, packet: Packet| match &packet.bytes[..] {
        b"1" => Err(Error::new(Code::Guest, "cannot")),
        b"2" => panic!("boom"),
        b"3" => Ok(vec![Packet::audio(&[0.0], 8_000.0, 1)]),
        _ => Ok(vec![packet]),
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    let mut other = Talk::begin(&mut client.clone(), init("Node", "json", &[])).await;
    for (payload, text) in [
        ("1", "[UNKNOWN] NodeError: cannot"),
        ("2", "[INTERNAL] NodeError: the handler of 'Node' panicked"),
        ("3", "[SERIALIZATION] SerializationError: json cannot carry"),
    ] {
        let mut talk = Talk::begin(&mut client, init("Node", "json", &[])).await;
        talk.say("0").await;
        talk.say(payload).await;
        assert_eq!(talk.item().await, "0");
        let rest = talk.rest().await;
        assert!(matches!(rest.as_slice(), [Err(said)] if said.starts_with(text)), "{rest:?}");
    }
    other.say("9").await;
    assert_eq!(other.item().await, "9");
}

#[tokio::test]
async fn the_session_of_the_first_item_or_of_the_metadata_is_known_from_the_start() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let node = Streams(move |info: CallInfo, input: ItemSource, output: ItemSink| {
        notes.lock().push((info.session, info.config));
        async move {
            while let Some(packets) = input.next_batch(8).await? {
                for packet in packets {
                    output.send(packet).await?;
                }
            }
            Ok(())
        }
        .boxed()
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    let session = SessionId::new("inside").expect("an id");
    let audio = codec::encode(&Packet::audio(&[0.5], 8_000.0, 1), Wire::Pickle, Some(&session)).expect("a pickle");
    let mut talk = Talk::begin(&mut client, init("Node", "pickle", &[("on", "true"), ("n", "3")])).await;
    talk.say(audio).await;
    let answer = talk.next().await.expect("no status").expect("an item").expect("no error");
    assert_eq!(codec::session_of(&codec::decode(&answer, Wire::Pickle).expect("a pickle")), Some(session.clone()));
    let (named, config) = seen.lock().remove(0);
    assert_eq!(named, Some(session));
    assert_eq!(Value::Object(config), serde_json::json!({ "on": true, "n": 3 }));

    // With the session in the metadata nothing has to arrive first.
    let (say, said) = mpsc::channel(1);
    let mut call = Request::new(tokio_stream::wrappers::ReceiverStream::new(said));
    call.metadata_mut().insert("x-session-id", "outside".parse().expect("a value"));
    let _hear = client.stream_node(call).await.expect("headers");
    say.send(init("Node", "json", &[])).await.expect("a stream");
    running.until(&["sessions", "open"], 2).await;
    within(async {
        while seen.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(seen.lock()[0].0.as_ref().map(SessionId::as_str), Some("outside"));
}

#[tokio::test]
async fn a_client_that_leaves_or_is_late_ends_its_stream() {
    let (notes, mut heard) = mpsc::unbounded_channel();
    let node = Streams(move |info: CallInfo, input: ItemSource, output: ItemSink| {
        let notes = notes.clone();
        let told = notes.clone();
        let over = (input.clone(), output.clone());
        info.on_end(Box::new(move || {
            let (input, output) = over;
            input.receive(
                1,
                Box::new(move |items| {
                    let output = output.try_send(json("1")).expect_err("over").code();
                    let _ = told.send(format!("{:?} {output:?}", items.expect_err("over").code()));
                }),
            );
        }))
        .expect("a runtime");
        async move {
            while let Some(packet) = input.next().await? {
                output.send(packet).await?;
            }
            std::future::pending().await
        }
        .boxed()
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    let mut talk = Talk::begin(&mut client, init("Node", "json", &[])).await;
    talk.say("1").await;
    assert_eq!(talk.item().await, "1");
    drop(talk);
    assert_eq!(within(heard.recv()).await.as_deref(), Some("Aborted Aborted"));

    let mut call = Request::new(tokio_stream::iter([init("Node", "json", &[]), data("1")]));
    call.set_timeout(Duration::from_secs(1));
    let mut hear = client.stream_node(call).await.expect("headers").into_inner();
    assert!(within(hear.message()).await.expect("an item").is_some());
    let status = within(hear.message()).await.expect_err("too late");
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status:?}");
    assert_eq!(within(heard.recv()).await.as_deref(), Some("Aborted Aborted"));
    running.until(&["activeStreams"], 0).await;
    assert_eq!(running.metric(&["statuses", "DEADLINE_EXCEEDED"]), 1);
}

/// What an item asks of the node of the property: so many outputs.
fn outputs() -> impl Strategy<Value = Vec<(u32, usize, bool)>> {
    let one = (any::<u32>(), 0..4_usize, proptest::bool::weighted(0.02));
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Every item that was sent is answered exactly once and in order, up to the first that fails, which is told exactly once.
    #[test]
    fn every_item_is_answered_once(items in outputs(), pickle in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (heard, expected) = runtime.block_on(async {
            let node = PerItem(|_, packet: Packet| {
                let item: Map<String, Value> = serde_json::from_slice(&packet.bytes).expect("an object");
                if item["fails"] == true {
                    return Err(Error::new(Code::Guest, "asked to"));
                }
                let count = item["outputs"].as_u64().expect("a number");
                Ok((0..count).map(|index| json(&format!("[{}, {index}]", item["id"]))).collect())
            });
            let running = Running::node(node).await;
            let wire = if pickle { Wire::Pickle } else { Wire::Json };
            let payload = |(id, outputs, fails): &(u32, usize, bool)| {
                let item = json(&serde_json::json!({ "id": id, "outputs": outputs, "fails": fails }).to_string());
                data(codec::encode(&item, wire, None).expect("a payload"))
            };
            let said: Vec<_> = std::iter::once(init("Node", wire.name(), &[])).chain(items.iter().map(payload)).collect();
            let mut client = running.client().await;
            let mut talk = Talk { say: None, hear: client.stream_node(tokio_stream::iter(said)).await.expect("headers").into_inner() };
            let mut heard = Vec::new();
            while let Some(item) = talk.next().await.expect("no status") {
                heard.push(item.map(|bytes| codec::decode(&bytes, wire).expect("a payload").bytes.iter().copied().filter(|byte| *byte != b' ').collect::<Vec<_>>()));
            }
            let good = items.iter().take_while(|(_, _, fails)| !fails);
            let mut expected: Vec<_> = good.flat_map(|(id, outputs, _)| (0..*outputs).map(move |index| Ok(format!("[{id},{index}]").into_bytes()))).collect();
            if items.iter().any(|(_, _, fails)| *fails) {
                expected.push(Err("[UNKNOWN] NodeError: asked to".to_owned()));
            }
            (heard, expected)
        });
        prop_assert_eq!(heard, expected);
    }
}
