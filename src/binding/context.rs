//! Where in a trace the caller is, if the application traces itself.
//!
//! `@opentelemetry/api` keeps what is active in a place that all copies of it share, under a symbol of the global object. As long as nothing is
//! there, looking is all that a call pays.

use std::sync::Arc;

use napi::sys;

use super::error::Outcome;
use super::hooks::{self, Hook};
use super::value::Value;
use crate::data::{Trace, TraceContext};

/// What is active now.
pub fn active(env: sys::napi_env) -> Outcome<Option<Trace>> {
    if Value::global(env)?.get_with(hooks::trace_api(env)?)?.is_undefined() {
        return Ok(None);
    }
    let text = hooks::call(env, Hook::ActiveTrace, &[])?.text();
    // One that is no context, as an application's own propagator may write it, is none.
    Ok(text.and_then(|text| text.parse::<TraceContext>().ok()).map(|context| Arc::new(context) as Trace))
}
