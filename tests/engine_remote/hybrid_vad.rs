//! The shipped guest `hybrid-vad` on a recording, with a scripted service: who decides what, and what is sent for it.

use remotemedia_wasmedge::engine::RemoteFailure;
use serde_json::{Value, json};

use super::*;

/// A recording of speech in noise, 16 kHz mono, cut into 64 ms.
fn pieces() -> Vec<Packet> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/audio/speech-in-noise.wav");
    let wav = std::fs::read(file).expect("the recording of the examples");
    let samples: Vec<f32> =
        wav[44..].as_chunks::<2>().0.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0).take(16_000 * 10).collect();
    samples.chunks(1_024).map(|piece| Packet::audio(piece, 16_000.0, 1)).collect()
}

fn hybrid(remote: &Arc<Script>, mode: Mode, config: Value) -> Arc<WasmNode> {
    guest_node("hybrid-vad", NodeOptions { mode, config: Some(config), ..options(remote) }).unwrap()
}

fn run(node: &Arc<WasmNode>) -> Result<Vec<Value>> {
    let stream = stream(node, "a");
    let mut out = Vec::new();
    for piece in pieces() {
        out.extend(call(&stream, piece)?);
    }
    out.extend(flush(&stream)?);
    Ok(out.iter().map(|packet| serde_json::from_slice(&packet.bytes).expect("JSON")).collect())
}

/// A service that has the same to say about everything.
fn constant(score: f64) -> Arc<Script> {
    Script::answering(move |packet| {
        let frames = packet.bytes.len() / 4 / 512;
        let rows: Vec<_> = (0..frames).map(|frame| json!({ "startMs": frame * 32, "endMs": frame * 32 + 32, "score": score })).collect();
        Ok(Packet::new(Format::Plain(Kind::Json), Value::from(rows).to_string()))
    })
}

#[test]
fn the_cloud_decides_what_the_edge_is_unsure_of_and_nothing_else() {
    let mut outputs = Vec::new();
    for mode in MODES {
        let remote = constant(0.75);
        let node = hybrid(&remote, mode, json!({ "output": "scores" }));
        let mut out = run(&node).unwrap();
        let usage = out.pop().unwrap();
        let (mut edge, mut cloud) = (0, 0);
        for row in &out {
            let score = row["edgeScore"].as_f64().unwrap();
            match row["source"].as_str().unwrap() {
                "edge" => {
                    assert!(!(0.4001..=0.5999).contains(&score) && row["score"] == row["edgeScore"], "{row}");
                    edge += 1;
                }
                "cloud" => {
                    assert!((0.3999..=0.6001).contains(&score) && row["score"] == 0.55, "0.75 squeezed into 0.4 to 0.6: {row}");
                    cloud += 1;
                }
                other => panic!("{other}"),
            }
        }
        assert!(edge > cloud && cloud > 10, "{edge} edge, {cloud} cloud");
        let asked = remote.asked();
        let sent: usize = asked.iter().map(|asked| asked.packet.bytes.len()).sum();
        let all: usize = pieces().iter().map(|piece| piece.bytes.len()).sum();
        assert_eq!(usage, json!({ "type": "usage", "audioBytes": all, "cloudBytes": sent, "calls": asked.len(), "failures": 0 }));
        assert!(sent < all, "{sent} of {all}");
        for asked in &asked {
            assert_eq!((asked.service.as_str(), asked.session.as_str()), ("vad", "a"));
            assert_eq!(asked.packet.format, Format::Audio { sample_rate: 16_000.0, channels: 1 });
        }
        // 64 ms of context and windows of 64 ms, which may follow each other; at the start of the stream there is less to be had.
        let lens: Vec<_> = asked.iter().map(|asked| asked.packet.bytes.len()).collect();
        assert!(lens.iter().all(|len| len % 2_048 == 0) && lens[1..].iter().all(|len| *len >= 8_192), "{lens:?}");
        outputs.push(out);
    }
    assert!(outputs.iter().all(|out| *out == outputs[0]), "all modes agree");
}

#[test]
fn without_the_cloud_the_edge_scores_as_vad_does() {
    let vad = guest_node("vad", NodeOptions { mode: Mode::Aot, config: Some(json!({ "output": "scores" })), ..NodeOptions::default() }).unwrap();
    let wanted = run(&vad).unwrap();
    for failure in [
        || RemoteFailure::Unavailable(Error::new(Code::BreakerOpen, "the breaker is open")),
        || RemoteFailure::Deadline(Error::new(Code::Deadline, "it took too long")),
        || RemoteFailure::Status { grpc_code: 13, error: Error::new(Code::Remote, "internal") },
    ] {
        let remote = Script::answering(move |_| Err(failure()));
        let node = hybrid(&remote, Mode::Aot, json!({ "output": "scores" }));
        let mut out = run(&node).unwrap();
        let usage = out.pop().unwrap();
        assert_eq!(usage["failures"], remote.asked().len());
        assert!(out.iter().any(|row| row["source"] == "edge-fallback") && out.iter().all(|row| row["source"] != "cloud"));
        let scores: Vec<_> = out.iter().map(|row| json!({ "startMs": row["startMs"], "endMs": row["endMs"], "score": row["score"] })).collect();
        assert_eq!(scores, wanted);
        assert_eq!(node.metrics()["errors"], json!({}), "to the application it is no failure");
    }
}

#[test]
fn the_cloud_can_turn_a_stretch_into_speech_or_silence() {
    let speech = |score: f64| {
        let node = hybrid(&constant(score), Mode::Aot, json!({ "low": 0, "high": 1 }));
        let types: Vec<_> = run(&node).unwrap().iter().map(|row| row["type"].as_str().unwrap().to_owned()).collect();
        types
    };
    assert_eq!(speech(0.9), ["speech_start", "speech_end", "usage"]);
    assert_eq!(speech(0.1), ["usage"]);
}

#[test]
fn a_service_that_is_not_granted_reaches_the_application() {
    let node = hybrid(&Script::new(), Mode::Aot, json!({ "service": "forbidden" }));
    let error = run(&node).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::ServiceUnknown, "forbidden is not on the list"));
    assert!(!error.is_state_lost());
    let error = guest_node("hybrid-vad", NodeOptions::default()).err().unwrap();
    assert_eq!(error.code(), Code::ImportDenied);
    assert!(error.message().contains("env.call_remote_service") || error.message().contains("rm.remote_format"), "{error:?}");
}
