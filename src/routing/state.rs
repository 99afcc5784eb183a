//! What a policy has learned, as JSON: for a file, another process, the next start.
//!
//! It comes back from outside, so everything is checked and nothing of it is trusted: a state that is not whole is refused by its path and
//! leaves the policy as it was. Breakers, queues and budgets are of their moment and not part of it.

use serde_json::{Value, json};

use super::Target;
use super::model::Model;
use super::policy::Policy;
use crate::error::{Error, Result};

/// Of the layout; another one is refused.
const VERSION: u64 = 1;

/// Writes it.
pub fn export(policy: &Policy) -> Value {
    let side = |target: Target| {
        let side = &policy.sides[target as usize];
        json!({ "model": serde_json::to_value(&side.model).unwrap_or_default(), "failureShare": side.fails, "roundTripMs": side.rtt_ms })
    };
    json!({ "version": VERSION, "edge": side(Target::Edge), "cloud": side(Target::Cloud) })
}

/// Reads it.
pub fn import(policy: &mut Policy, state: &Value) -> Result<()> {
    let at = |path: &str, problem: &str| Error::config(if path.is_empty() { "warmStart".to_owned() } else { format!("warmStart.{path}") }, problem);
    if !state.is_object() {
        return Err(at("", "must be what exportState() gave"));
    }
    if state.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err(at("version", &format!("must be {VERSION}")));
    }
    let read = |target: Target| -> Result<(Model, f64, f64)> {
        let name = target.name();
        let side = state.get(name).ok_or_else(|| at(name, "must be given"))?;
        let number = |key: &str, high: f64| {
            let number = side.get(key).and_then(Value::as_f64).filter(|number| (0.0..=high).contains(number));
            number.ok_or_else(|| at(&format!("{name}.{key}"), &format!("must be a number from 0 to {high}")))
        };
        let (fails, rtt_ms) = (number("failureShare", 1.0)?, number("roundTripMs", 1e6)?);
        let model: Option<Model> = side.get("model").and_then(|model| serde_json::from_value(model.clone()).ok());
        let model = model.filter(|model| model.is_sound() && model.scale() == policy.sides[target as usize].model.scale());
        Ok((model.ok_or_else(|| at(&format!("{name}.model"), "is not one that exportState() gave"))?, fails, rtt_ms))
    };
    let (edge, cloud) = (read(Target::Edge)?, read(Target::Cloud)?);
    for (side, (model, fails, rtt_ms)) in policy.sides.iter_mut().zip([edge, cloud]) {
        (side.model, side.fails, side.rtt_ms) = (model, fails, rtt_ms);
    }
    Ok(())
}
