//! The voice detector as native code, over the audio that all other variants get.
//!
//! `bench-native AUDIO CHUNK_SAMPLES WARM_MS MEASURE_MS` prints one line of JSON. Each pass feeds the whole file (f32, 16 kHz, mono) in
//! chunks to one detector and segmenter that live on, as a session of the guest does.

use std::time::{Duration, Instant};
use vad::{Detector, FRAME, Segmenter, Tuning};

struct Session {
    detector: Box<Detector>,
    segmenter: Segmenter,
    events: u64,
}

impl Session {
    fn pass(&mut self, audio: &[f32], chunk: usize) {
        let Self { detector, segmenter, events } = self;
        for part in audio.chunks(chunk) {
            detector.push(part, |frame| segmenter.push(frame, |_| *events += 1));
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, chunk, warm, measure] = args.as_slice() else { panic!("usage: bench-native AUDIO CHUNK_SAMPLES WARM_MS MEASURE_MS") };
    let number = |text: &str| text.parse::<u64>().expect("a whole number");
    let bytes = std::fs::read(path).expect("the audio");
    let audio: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let chunk = number(chunk) as usize;

    let mut session = Session { detector: Box::new(Detector::new()), segmenter: Segmenter::new(Tuning::default()), events: 0 };
    session.pass(&audio, chunk);
    let events = session.events;
    let repeat = |session: &mut Session, ms: u64| {
        let (started, mut passes) = (Instant::now(), 0u64);
        while started.elapsed() < Duration::from_millis(ms) {
            session.pass(&audio, chunk);
            passes += 1;
        }
        (started.elapsed(), passes)
    };
    repeat(&mut session, number(warm));
    let (took, passes) = repeat(&mut session, number(measure));
    let frames = passes * (audio.len() / FRAME) as u64;
    println!(r#"{{"usPerFrame":{},"frames":{frames},"events":{events}}}"#, took.as_secs_f64() * 1e6 / frames as f64);
}
