//! Frame F1 of the detector against hand labels: `cargo run --release -p vad --example f1 -- FOLDER`, where FOLDER
//! holds 16 kHz mono 16-bit `NAME.wav` files and `NAME.scv` labels (`name,start,end,label,...` in seconds).

use std::{env, error::Error, fs, path::Path};
use vad::{Detector, Event, Frame, Segmenter, Tuning};

struct Clip {
    frames: Vec<Frame>,
    truth: Vec<bool>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: f1 FOLDER")?;
    let mut clips = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "scv") {
            clips.push(load(&path)?);
        }
    }
    for threshold in [0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8] {
        let f1 = score(&clips, |c| c.frames.iter().map(|f| f.score >= threshold).collect());
        println!("scores  threshold {threshold:.2}: {f1}");
    }
    for threshold in [0.5, 0.55, 0.6, 0.65] {
        for min_speech_ms in [32, 64, 96, 160] {
            for min_silence_ms in [96, 160, 256, 320] {
                let tuning = Tuning { threshold, min_speech_ms, min_silence_ms, pad_ms: 0 };
                let f1 = score(&clips, |c| segments(c, tuning));
                println!("events  {threshold:.2} speech {min_speech_ms} silence {min_silence_ms}: {f1}");
            }
        }
    }
    Ok(())
}

fn load(labels: &Path) -> Result<Clip, Box<dyn Error>> {
    let wav = fs::read(labels.with_extension("wav"))?;
    let data = wav.windows(4).position(|w| w == b"data").ok_or("no data chunk")? + 8;
    let (pairs, _) = wav[data..].as_chunks::<2>();
    let samples: Vec<f32> = pairs.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32768.0).collect();
    let text = fs::read_to_string(labels)?;
    let fields: Vec<&str> = text.trim().split(',').collect();
    let mut speech = vec![];
    for part in fields[1..].chunks_exact(3) {
        if part[2].trim() == "1" {
            speech.push(part[0].parse::<f64>()?..part[1].parse::<f64>()?);
        }
    }
    let mut frames = vec![];
    Detector::new().push(&samples, |f| frames.push(f));
    let truth = frames
        .iter()
        .map(|f| (f.start_ms as f64 + 8.0) / 1000.0)
        .map(|middle| speech.iter().any(|s| s.contains(&middle)))
        .collect();
    Ok(Clip { frames, truth })
}

fn segments(clip: &Clip, tuning: Tuning) -> Vec<bool> {
    let mut guess = vec![false; clip.frames.len()];
    let mut segmenter = Segmenter::new(tuning);
    let mut mark = |event| {
        if let Event::End { start_ms, at_ms, .. } = event {
            for (g, f) in guess.iter_mut().zip(&clip.frames) {
                *g |= f.start_ms >= start_ms && f.end_ms <= at_ms;
            }
        }
    };
    for frame in &clip.frames {
        segmenter.push(*frame, &mut mark);
    }
    segmenter.finish(u64::MAX, &mut mark);
    guess
}

fn score(clips: &[Clip], guess: impl Fn(&Clip) -> Vec<bool>) -> String {
    let (mut hit, mut extra, mut missed) = (0.0, 0.0, 0.0);
    for clip in clips {
        for (g, t) in guess(clip).into_iter().zip(&clip.truth) {
            match (g, *t) {
                (true, true) => hit += 1.0,
                (true, false) => extra += 1.0,
                (false, true) => missed += 1.0,
                (false, false) => {}
            }
        }
    }
    let (precision, recall): (f64, f64) = (hit / (hit + extra), hit / (hit + missed));
    let f1 = 2.0 * precision * recall / (precision + recall);
    format!("F1 {f1:.4}  precision {precision:.4}  recall {recall:.4}")
}
