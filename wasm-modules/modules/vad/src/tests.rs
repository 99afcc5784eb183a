use super::*;
use remotemedia_guest::testing::{Emitted, Session};
use std::{format, string::String, vec, vec::Vec};

/// A hum with the pitch, overtones and syllables of a voice: enough for the model, without shipping a recording.
fn voice(rate: u32, ms: u32) -> Vec<f32> {
    (0..rate * ms / 1000)
        .map(|i| {
            let t = i as f32 / rate as f32;
            let pitch = 120.0 + 20.0 * (t * 9.0).sin();
            let syllable = (t * 4.0 * std::f32::consts::PI).sin().abs();
            let tone = |k: u32| {
                let hz = k as f32 * pitch;
                let formants = [(600.0, 120.0), (1200.0, 150.0), (2500.0, 200.0)];
                let weight: f32 = formants.iter().map(|(f, w)| 1.0 / (1.0 + ((hz - f) / w) * ((hz - f) / w))).sum();
                weight * (hz * t * std::f32::consts::TAU).sin()
            };
            (1..30).map(tone).sum::<f32>() * 0.2 * syllable
        })
        .collect()
}

fn silence(rate: u32, ms: u32) -> Vec<f32> {
    vec![0.0; (rate * ms / 1000) as usize]
}

fn run(config: &str, audio: &[f32], rate: u32, piece: usize) -> Vec<Emitted> {
    let mut session = Session::<Vad>::start(config).unwrap();
    let mut got = vec![];
    for chunk in audio.chunks(piece) {
        got.extend(session.audio(chunk, rate, 1).unwrap());
    }
    got.extend(session.flush().unwrap());
    got
}

fn texts(items: &[Emitted]) -> Vec<&str> {
    items.iter().map(Emitted::text).collect()
}

#[test]
fn scores_cover_the_stream_and_do_not_depend_on_the_cut() {
    let audio = [silence(16000, 100), voice(16000, 400)].concat();
    let whole = run(r#"{"output":"scores"}"#, &audio, 16000, audio.len());
    assert_eq!(whole.len(), 500 / 16 + 1);
    assert!(whole[0].text().starts_with(r#"{"startMs":0,"endMs":16,"score":"#));
    assert!(whole[31].text().starts_with(r#"{"startMs":496,"endMs":500,"#));
    for piece in [1, 255, 256, 1000] {
        assert_eq!(run(r#"{"output":"scores"}"#, &audio, 16000, piece), whole);
    }
}

#[test]
fn silence_says_nothing() {
    assert!(run("{}", &silence(48000, 1000), 48000, 480).is_empty());
}

#[test]
fn a_broken_sample_does_not_poison_the_stream() {
    let mut session = Session::<Vad>::start(r#"{"output":"scores"}"#).unwrap();
    session.audio(&[f32::NAN, f32::INFINITY, 1e30], 16000, 1).unwrap();
    let got = session.audio(&silence(16000, 100), 16000, 1).unwrap();
    assert!(got.iter().all(|e| !e.text().contains("null")), "{:?}", texts(&got));
}

#[test]
fn binary_is_read_in_both_formats() {
    let audio = voice(16000, 160);
    let floats: Vec<u8> = audio.iter().flat_map(|s| s.to_le_bytes()).collect();
    let shorts: Vec<u8> = audio.iter().flat_map(|s| ((s * 32768.0) as i16).to_le_bytes()).collect();
    let meta = r#"{"kind":"binary"}"#;
    for (config, bytes) in [(r#"{"output":"scores"}"#, &floats), (r#"{"output":"scores","format":"s16le"}"#, &shorts)] {
        let mut session = Session::<Vad>::start(config).unwrap();
        assert_eq!(session.process(bytes, meta).unwrap().len(), 10);
    }
    let mut session = Session::<Vad>::start(r#"{"format":"s16le"}"#).unwrap();
    assert!(session.process(&[0; 3], meta).is_err());
    assert!(session.process(&[0; 4], r#"{"kind":"text"}"#).is_err());
}

#[test]
fn bad_configs_name_the_field() {
    for (config, field) in [
        (r#"{"threshold":0}"#, "config.threshold:"),
        (r#"{"threshold":1.5}"#, "config.threshold:"),
        (r#"{"threshold":"high"}"#, "config.threshold:"),
        (r#"{"minSpeechMs":-5}"#, "config.minSpeechMs:"),
        (r#"{"minSilenceMs":20000}"#, "config.minSilenceMs:"),
        (r#"{"padMs":1.5}"#, "config.padMs:"),
        (r#"{"output":"both"}"#, "config.output:"),
        (r#"{"treshold":0.5}"#, "config.treshold:"),
    ] {
        let error = Session::<Vad>::start(config).err().unwrap();
        assert!(error.message().starts_with(field), "{error}");
    }
}

/// Feeds one score per frame and returns the events.
fn events(scores: &[f32], tuning: Tuning) -> Vec<Event> {
    let (mut segmenter, mut got) = (Segmenter::new(tuning), vec![]);
    for (i, &score) in (0u64..).zip(scores) {
        let frame = Frame { start_ms: i * 16, end_ms: i * 16 + 16, score };
        segmenter.push(frame, |e| got.push(e));
    }
    segmenter.finish(scores.len() as u64 * 16, |e| got.push(e));
    got
}

#[test]
fn segments_follow_their_rules() {
    let tuning = Tuning { threshold: 0.5, min_speech_ms: 48, min_silence_ms: 64, pad_ms: 0 };
    let rows = |pattern: &str| -> Vec<f32> {
        pattern.chars().map(|c| c.to_digit(10).map_or(0.0, |d| d as f32 / 10.0)).collect()
    };
    let shape = |pattern: &str, tuning| -> String {
        let line = |e: &Event| match e {
            Event::Start { at_ms, .. } => format!("+{at_ms}"),
            Event::End { at_ms, .. } => format!("-{at_ms}"),
        };
        events(&rows(pattern), tuning).iter().map(line).collect()
    };
    assert_eq!(shape("0099000", tuning), "", "too short");
    assert_eq!(shape("00999000000", tuning), "+32-80");
    assert_eq!(shape("009990009990000", tuning), "+32-176", "a pause of 48 ms is bridged");
    assert_eq!(shape("00444400000", tuning), "", "never reached");
    assert_eq!(shape("0099999", tuning), "+32-112", "open at the end");
    let padded = Tuning { pad_ms: 40, ..tuning };
    assert_eq!(shape("0099900000999", padded), "+0-120+120-208", "padding neither crosses the ends nor overlaps");
}
