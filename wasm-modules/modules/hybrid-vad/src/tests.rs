use super::*;
use remotemedia_guest::Level;
use remotemedia_guest::testing::{self, Asked, Emitted, Session};
use std::{cell::RefCell, format, rc::Rc, string::String, string::ToString, vec, vec::Vec};

/// A hum that rises and falls: the edge is sure of some of it and not of the rest.
fn hum(rate: u32, ms: u32) -> Vec<f32> {
    (0..rate * ms / 1000)
        .map(|i| {
            let t = i as f32 / rate as f32;
            let tone = |k: u32| (k as f32 * 130.0 * t * std::f32::consts::TAU).sin() / k as f32;
            (1..20).map(tone).sum::<f32>() * 0.3 * (t * 5.0).sin().abs()
        })
        .collect()
}

type Seen = Rc<RefCell<Vec<Asked>>>;

/// Registers a service that answers every clip as `score` says for the index of its frame.
fn service(name: &str, score: impl Fn(usize) -> f32 + 'static) -> Seen {
    let seen = Seen::default();
    let clips = seen.clone();
    testing::on_remote(name, move |asked| {
        clips.borrow_mut().push(asked.clone());
        let frames = (asked.data.len() / 4).div_ceil(512);
        let row = |i: usize| format!(r#"{{"startMs":{},"endMs":{},"score":{}}}"#, i * 32, i * 32 + 32, score(i));
        Ok(format!("[{}]", (0..frames).map(row).collect::<Vec<_>>().join(",")).into_bytes())
    });
    seen
}

fn start(config: &str) -> Session<HybridVad> {
    Session::start(config).unwrap()
}

fn run(session: &mut Session<HybridVad>, audio: &[f32], rate: u32, piece: usize) -> Vec<Emitted> {
    let mut got = vec![];
    for chunk in audio.chunks(piece) {
        got.extend(session.audio(chunk, rate, 1).unwrap());
    }
    got.extend(session.flush().unwrap());
    got
}

/// The number behind `"key":`.
fn number(item: &Emitted, key: &str) -> f64 {
    let text = item.text();
    let at = text.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key} in {text}")) + key.len() + 3;
    let rest = &text[at..];
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}

fn source(item: &Emitted) -> &str {
    let text = item.text();
    let at = text.find("\"source\":\"").unwrap() + 10;
    text[at..].split('"').next().unwrap()
}

const ALL: &str = r#"{"output":"scores","low":0,"high":1}"#;
const SOME: &str = r#"{"output":"scores","low":0.3,"high":0.7}"#;

#[test]
fn sure_frames_are_the_edges_and_unsure_ones_the_services() {
    let mut session = start(SOME);
    let seen = service("vad", |_| 0.25);
    let audio = hum(16000, 3000);
    let got = run(&mut session, &audio, 16000, 512);
    let (usage, scores) = got.split_last().unwrap();
    assert_eq!(scores.len(), 3000 / 16 + 1);
    let mut cloud = 0;
    for (i, item) in scores.iter().enumerate() {
        let (score, edge) = (number(item, "score"), number(item, "edgeScore"));
        assert_eq!(number(item, "startMs"), i as f64 * 16.0, "in order and without gaps");
        if (0.3..=0.7).contains(&edge) {
            assert_eq!((score, source(item)), (0.4, "cloud"), "0.25 squeezed into 0.3..0.7");
            cloud += 1;
        } else {
            assert_eq!((score, source(item)), (edge, "edge"));
        }
    }
    assert!(cloud > 5 && cloud < scores.len() - 5, "{cloud} of {}", scores.len());
    assert!(usage.text().starts_with(r#"{"type":"usage","#), "{}", usage.text());
    let sent: usize = seen.borrow().iter().map(|asked| asked.data.len()).sum();
    assert_eq!(number(usage, "cloudBytes"), sent as f64);
    assert_eq!(number(usage, "audioBytes"), audio.len() as f64 * 4.0);
    assert_eq!((number(usage, "calls"), number(usage, "failures")), (seen.borrow().len() as f64, 0.0));
    for asked in seen.borrow().iter() {
        assert_eq!((asked.kind, asked.meta.as_str()), (Some(3), r#"{"sampleRate":16000,"channels":1}"#));
        assert_eq!(asked.data.len() % 2048, 0, "whole frames of the service");
    }
}

#[test]
fn edge_scores_are_those_of_vad_however_the_stream_is_cut() {
    let audio = hum(16000, 1000);
    let edge = |piece: usize| -> Vec<String> {
        let mut session = start(ALL);
        service("vad", |_| 0.5);
        let mut got = run(&mut session, &audio, 16000, piece);
        got.pop();
        got.iter().map(|item| format!("{} {}", number(item, "startMs"), number(item, "edgeScore"))).collect()
    };
    let mut frames = vec![];
    vad::Detector::new().push(&audio, |frame| frames.push(format!("{} {}", frame.start_ms, vad::rounded(frame.score))));
    let whole = edge(audio.len());
    assert_eq!(whole[..frames.len()], frames);
    for piece in [1, 255, 1000] {
        assert_eq!(edge(piece), whole, "{piece}");
    }
}

#[test]
fn each_frame_gets_the_score_of_its_own_place() {
    let mut session = start(ALL);
    service("vad", |frame| frame as f32 / 1_000.0);
    let got = run(&mut session, &hum(16000, 640), 16000, 10_240);
    let scores: Vec<f64> = got[..40].iter().map(|item| number(item, "score")).collect();
    let wanted: Vec<f64> = (0..40).map(|frame| f64::from(frame / 2) / 1_000.0).collect();
    assert_eq!(scores, wanted, "one clip from the start of the stream, two frames to a score");
}

#[test]
fn one_input_makes_one_call_and_small_ones_a_call_a_window() {
    let audio = hum(16000, 1024);
    let calls = |piece: usize| {
        let mut session = start(ALL);
        let seen = service("vad", |_| 0.5);
        run(&mut session, &audio, 16000, piece);
        let lens: Vec<usize> = seen.borrow().iter().map(|asked| asked.data.len() / 4 / 256).collect();
        lens
    };
    assert_eq!(calls(audio.len()), [64]);
    let mut windows = vec![4];
    windows.extend([8; 15]);
    assert_eq!(calls(256), windows, "four frames, and four of context but for the first");
}

#[test]
fn other_rates_and_formats_are_sent_as_the_model_wants_them() {
    let mut session = start(ALL);
    let seen = service("vad", |_| 0.5);
    let stereo: Vec<f32> = hum(48000, 500).iter().flat_map(|s| [*s, *s]).collect();
    session.audio(&stereo, 48000, 2).unwrap();
    let usage = session.flush().unwrap().pop().unwrap();
    assert_eq!(number(&usage, "audioBytes"), 32_000.0);
    let heard: usize = seen.borrow().iter().map(|asked| asked.data.len()).sum();
    assert!(heard >= 32_000, "{heard}");

    let mut session = start(r#"{"output":"scores","low":0,"high":1,"format":"s16le"}"#);
    let seen = service("vad", |_| 0.5);
    let shorts: Vec<u8> = hum(16000, 64).iter().flat_map(|s| ((s * 32767.0) as i16).to_le_bytes()).collect();
    session.process(&shorts, r#"{"kind":"binary"}"#).unwrap();
    assert_eq!(seen.borrow()[0].data.len(), 64 * 16 * 4);
}

#[test]
fn without_an_answer_the_edge_decides_alone_and_says_so_once_a_call() {
    let bad: [(&str, Result<&str, i32>); 8] = [
        ("out of order", Err(-5)),
        ("out of order", Err(-4)),
        ("out of order", Err(-114)),
        ("not JSON", Ok("nonsense")),
        ("expected", Ok(r#"{"is_speech":true}"#)),
        ("not from 0 to 1", Ok(r#"[{"startMs":0,"endMs":64,"score":7}]"#)),
        ("lacks 2 of the frames", Ok(r#"[{"startMs":0,"endMs":32,"score":0.9}]"#)),
        ("lacks 4 of the frames", Ok("[]")),
    ];
    for (text, answer) in bad {
        let mut session = start(r#"{"output":"scores","low":0,"high":1,"service":"mine"}"#);
        let given = answer.map(|text| text.as_bytes().to_vec()).map_err(|code| (code, "out of order".to_string()));
        testing::on_remote("mine", move |_| given.clone());
        let got = session.audio(&hum(16000, 64), 16000, 1).unwrap();
        assert_eq!(got.len(), 4);
        let alone: Vec<&Emitted> = got.iter().filter(|item| source(item) == "edge-fallback").collect();
        assert_eq!(alone.len(), if text.starts_with("lacks 2") { 2 } else { 4 }, "{text}");
        assert!(alone.iter().all(|item| number(item, "score") == number(item, "edgeScore")));
        let logs = testing::take_logs();
        assert_eq!(logs.len(), 1, "{logs:?}");
        assert_eq!(logs[0].0, Level::Warn as i32);
        assert!(logs[0].1.contains("'mine'") && logs[0].1.contains(text), "{logs:?}");
        let usage = session.flush().unwrap().pop().unwrap();
        assert_eq!((number(&usage, "calls"), number(&usage, "failures")), (1.0, 1.0));
    }
}

#[test]
fn a_service_that_the_node_may_not_use_is_the_applications_mistake() {
    let mut session = start(ALL);
    let error = session.audio(&hum(16000, 640), 16000, 1).unwrap_err();
    assert!(error.message().contains("no remote service vad"), "{error}");
    service("vad", |_| 0.5);
    let got = session.audio(&hum(16000, 64), 16000, 1).unwrap();
    assert_eq!(number(&got[0], "startMs"), 640.0, "nothing is held back, the stream goes on");
}

#[test]
fn events_are_those_of_vad_with_the_services_scores() {
    let speech = |score: f32| {
        let mut session = start(r#"{"low":0,"high":1,"minSpeechMs":64,"minSilenceMs":64}"#);
        service("vad", move |_| score);
        let got = run(&mut session, &hum(16000, 640), 16000, 1024);
        got.iter().map(|item| item.text().to_string()).collect::<Vec<_>>()
    };
    let events = speech(0.9);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0], r#"{"type":"speech_start","atMs":0,"score":0.9}"#);
    assert_eq!(events[1], r#"{"type":"speech_end","atMs":640,"startMs":0,"durationMs":640,"meanScore":0.9}"#);
    assert!(events[2].starts_with(r#"{"type":"usage","#));
    assert_eq!(speech(0.1).len(), 1, "the usage only");
}

#[test]
fn a_stream_without_sound_has_no_usage() {
    assert!(start("{}").flush().unwrap().is_empty());
}

#[test]
fn bad_configs_name_the_field() {
    for (config, field) in [
        (r#"{"low":-0.1}"#, "config.low:"),
        (r#"{"low":0.7}"#, "config.high:"),
        (r#"{"high":1.1}"#, "config.high:"),
        (r#"{"contextMs":40}"#, "config.contextMs:"),
        (r#"{"contextMs":4096}"#, "config.contextMs:"),
        (r#"{"hopMs":0}"#, "config.hopMs:"),
        (r#"{"hopMs":16}"#, "config.hopMs:"),
        (r#"{"service":""}"#, "config.service:"),
        (r#"{"threshold":0.7}"#, "config.threshold:"),
        (r#"{"low":0,"high":1,"threshold":0}"#, "config.threshold:"),
        (r#"{"minSpeechMs":20000}"#, "config.minSpeechMs:"),
        (r#"{"sevice":"x"}"#, "config.sevice:"),
    ] {
        let error = Session::<HybridVad>::start(config).err().unwrap();
        assert!(error.message().starts_with(field), "{config}: {error}");
    }
    assert!(Session::<HybridVad>::start(r#"{"contextMs":0,"low":0.5,"high":0.5,"threshold":0.5}"#).is_ok());
}
