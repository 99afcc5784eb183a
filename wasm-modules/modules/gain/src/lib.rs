//! Audio gain with clipping to -1..1: the same node exists in C (`gain-c`) and AssemblyScript (`gain-as`).
//!
//! Config: `gain` (factor) or `gainDb`, not both; default 1. No smoothing of changes, no limiter: peaks are cut off.

#![no_std]

use remotemedia_guest::{Config, Error, Input, Node, Output, export_node, no_std_runtime};
use serde::Deserialize;

no_std_runtime!();
export_node!(Gain);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    gain: Option<f32>,
    gain_db: Option<f32>,
}

/// The node: one factor.
pub struct Gain {
    factor: f32,
}

impl Node for Gain {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        let options: Options = config.parse()?;
        let factor = match (options.gain, options.gain_db) {
            (Some(_), Some(_)) => {
                return Err(Error::config("gain", "give gain or gainDb, not both"));
            }
            (Some(gain), None) if !(gain.is_finite() && gain >= 0.0) => {
                return Err(Error::config("gain", "must be 0 or more"));
            }
            (Some(gain), None) => gain,
            (None, Some(db)) if !(-120.0..=120.0).contains(&db) => {
                return Err(Error::config("gainDb", "must be between -120 and 120"));
            }
            (None, Some(db)) => libm::powf(10.0, db / 20.0),
            (None, None) => 1.0,
        };
        Ok(Self { factor })
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let audio = input.audio()?;
        // Emitted, not returned: only so does the output carry its rate and channels.
        let mut louder = remotemedia_guest::alloc::vec![0.0; audio.samples.len()];
        apply(self.factor, audio.samples, &mut louder);
        out.emit_audio(&louder, audio.sample_rate, audio.channels)
    }
}

/// `out[i] = input[i] * factor`, cut off at -1 and 1; NaN stays NaN.
pub fn apply(factor: f32, input: &[f32], out: &mut [f32]) {
    for (o, i) in out.iter_mut().zip(input) {
        *o = (i * factor).clamp(-1.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotemedia_guest::testing::Session;

    #[test]
    fn doubles_and_clips() {
        let mut session = Session::<Gain>::start(r#"{"gain":2}"#).unwrap();
        let got = session.audio(&[0.25, -0.75, 0.0, 1.0], 48000, 2).unwrap();
        assert_eq!(got[0].f32s(), [0.5, -1.0, 0.0, 1.0]);
        assert_eq!(got[0].meta, r#"{"sampleRate":48000,"channels":2}"#);
    }

    #[test]
    fn decibels() {
        let mut session = Session::<Gain>::start(r#"{"gainDb":-20}"#).unwrap();
        let got = session.audio(&[1.0], 8000, 1).unwrap()[0].f32s()[0];
        assert!((got - 0.1).abs() < 1e-6);
    }

    #[test]
    fn bad_configs_name_the_field() {
        for (config, field) in [
            (r#"{"gain":-1}"#, "config.gain:"),
            (r#"{"gain":"x"}"#, "config.gain:"),
            (r#"{"gainDb":500}"#, "config.gainDb:"),
            (r#"{"gain":1,"gainDb":1}"#, "config.gain:"),
            (r#"{"volume":1}"#, "volume"),
        ] {
            let error = Session::<Gain>::start(config).err().unwrap();
            assert!(error.message().contains(field), "{error}");
        }
    }
}
