//! Backpressure in both directions, and handlers that call back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt, StreamExt};
use remotemedia_wasmedge::data::Packet;
use remotemedia_wasmedge::error::{Code, Error, Result};
use remotemedia_wasmedge::remote::pb::v0::StreamData;
use remotemedia_wasmedge::remote::pb::v0::stream_data::Payload;
use remotemedia_wasmedge::remote::service::{ItemSink, ItemSource};
use tokio::sync::{Notify, oneshot};

use super::support::*;

/// This many packets of 64 KiB each may lie between handler and client: the sink's line, HTTP/2's send buffer and the windows.
const UNDER_WAY: usize = 40;

#[tokio::test]
async fn a_slow_reader_holds_up_the_handler() {
    let (sent, waited) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, wait) = (Arc::clone(&sent), Arc::clone(&waited));
    let node = Streams(move |_, _, output: ItemSink| {
        let (sent, waited) = (Arc::clone(&count), Arc::clone(&wait));
        async move {
            for index in 0..600_u32 {
                let mut bytes = vec![0; 65_536];
                bytes[..4].copy_from_slice(&index.to_le_bytes());
                let room = output.try_send(Packet::binary(bytes))?;
                sent.fetch_add(1, Ordering::SeqCst);
                if !room {
                    waited.notify_one();
                    let (told, tell) = oneshot::channel();
                    output.room(Box::new(move |room| drop(told.send(room))));
                    tell.await.expect("an answer")?;
                }
            }
            Ok(())
        }
        .boxed()
    });
    let running = Running::node(node).await;
    let endpoint = running.endpoint().initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut client = Client::new(endpoint.connect().await.expect("a connection")).max_decoding_message_size(1 << 20);
    let mut talk = Talk::begin(&mut client, init("Node", "raw", &[])).await;
    talk.finish();
    within(waited.notified()).await;
    for index in 0..600_usize {
        let bytes = talk.next().await.expect("no status").expect("an item").expect("no error");
        assert_eq!(u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize, index);
        let ahead = sent.load(Ordering::SeqCst) - index;
        assert!(ahead <= UNDER_WAY, "{ahead} packets ahead of the client");
    }
    assert_eq!(talk.rest().await, []);
}

#[tokio::test]
async fn a_slow_handler_holds_up_the_client() {
    let (pulled, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (sent, start) = (Arc::clone(&pulled), Arc::clone(&go));
    let node = Streams(move |_, input: ItemSource, output: ItemSink| {
        let (sent, start) = (Arc::clone(&sent), Arc::clone(&start));
        async move {
            start.notified().await;
            let (mut taken, mut furthest) = (0, 0);
            while input.next().await?.is_some() {
                taken += 1;
                furthest = furthest.max(sent.load(Ordering::SeqCst) - taken);
            }
            output.send(json(&format!("[{taken}, {furthest}]"))).await
        }
        .boxed()
    });
    let running = Running::node(node).await;
    let count = Arc::clone(&pulled);
    let payload = vec![7_u8; 65_536];
    let items = tokio_stream::iter(0..600).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        data(payload.clone())
    });
    let mut client = running.client().await;
    let said = tokio_stream::once(init("Node", "raw", &[])).chain(items);
    let mut hear = client.stream_node(said).await.expect("headers").into_inner();
    // The first item was taken for its session; whatever fits the windows may follow.
    running.until(&["items", "in"], 1).await;
    go.notify_one();
    let StreamData { payload: Some(answer), .. } = within(hear.message()).await.expect("no status").expect("an item") else { panic!("an item") };
    let Payload::Data(bytes) = answer else { panic!("data") };
    let [taken, furthest]: [usize; 2] = serde_json::from_slice(&bytes).expect("two numbers");
    assert_eq!(taken, 600);
    assert!(furthest <= UNDER_WAY, "the client was {furthest} packets ahead");
}

#[tokio::test]
async fn a_handler_may_call_back_from_a_thread_of_its_own() {
    struct Job {
        input: ItemSource,
        output: ItemSink,
        done: oneshot::Sender<Result<()>>,
    }
    fn pull(job: Job) {
        let input = job.input.clone();
        input.receive(
            4,
            Box::new(move |received| match received {
                Err(error) => drop(job.done.send(Err(error))),
                Ok(None) => drop(job.done.send(Ok(()))),
                Ok(Some(packets)) => put(job, packets.into_iter().collect::<VecDeque<_>>()),
            }),
        );
    }
    fn put(job: Job, mut packets: VecDeque<Packet>) {
        while let Some(packet) = packets.pop_front() {
            match job.output.try_send(packet) {
                Err(error) => return drop(job.done.send(Err(error))),
                Ok(true) => {}
                Ok(false) => {
                    let output = job.output.clone();
                    return output.room(Box::new(move |room| match room {
                        Ok(()) => put(job, packets),
                        Err(error) => drop(job.done.send(Err(error))),
                    }));
                }
            }
        }
        pull(job);
    }
    let (jobs, work) = std::sync::mpsc::channel::<Job>();
    let worker = std::thread::spawn(move || work.into_iter().for_each(pull));
    let node = Streams(move |_, input, output| {
        let (done, ended) = oneshot::channel();
        jobs.send(Job { input, output, done }).expect("a thread");
        async move { ended.await.unwrap_or_else(|_| Err(Error::new(Code::Internal, "gone"))) }.boxed()
    });
    let running = Running::node(node).await;
    let mut client = running.client().await;
    let numbers = (0..2_000).map(|number: u32| data(number.to_string()));
    let said = tokio_stream::once(init("Node", "json", &[])).chain(tokio_stream::iter(numbers.collect::<Vec<_>>()));
    let mut talk = Talk { say: None, hear: client.stream_node(said).await.expect("headers").into_inner() };
    for number in 0..2_000 {
        assert_eq!(talk.item().await, number.to_string());
    }
    assert_eq!(talk.rest().await, []);
    drop(running);
    drop(client);
    worker.join().expect("it ends with its service");
}
