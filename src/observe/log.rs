//! Log lines on standard error, as much of them as somebody asks for: the environment when the process starts, the application at any time.
//!
//! Lines go to `tracing`. A program that has a subscriber of its own keeps it, and does as it likes with them.

use std::sync::{Once, OnceLock};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::error::{Error, Result};

/// The filter in force; nothing where somebody else's subscriber is.
static FILTER: OnceLock<Option<reload::Handle<Targets, Registry>>> = OnceLock::new();

fn install() -> Option<reload::Handle<Targets, Registry>> {
    let (filter, handle) = reload::Layer::new(Targets::new().with_default(LevelFilter::OFF));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok().map(|()| handle)
}

/// Shows lines from now on as `filter` says, such as `debug`, `off` or `guest=info,engine=debug`, in place of what was said before.
/// `ERR_CONFIG`, path `logLevel`.
pub fn show_log(filter: &str) -> Result<()> {
    // A filter may be a target's name alone; here that is most likely a level that there is not.
    if let Some(word) = filter.split(',').find(|part| !part.contains('=') && part.trim().parse::<LevelFilter>().is_err()) {
        return Err(Error::config("logLevel", format!("must be a level (error, warn, info, debug, trace, off) or target=level pairs, got '{word}'")));
    }
    apply(filter)
}

fn apply(filter: &str) -> Result<()> {
    let targets: Targets = filter.parse().map_err(|error| {
        Error::config("logLevel", format!("must be a level (error, warn, info, debug, trace, off) or target=level pairs: {error}"))
    })?;
    let handle = FILTER.get_or_init(install).as_ref();
    let handle = handle.ok_or_else(|| Error::config("logLevel", "cannot be set: this process has a log of its own"))?;
    handle.reload(targets).map_err(|error| Error::config("logLevel", format!("cannot be set: {error}")))
}

/// Does what `RM_LOG` says, once per process. An unreadable filter is said so and ignored.
pub fn log_as_environment_says() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(filter) = std::env::var("RM_LOG").ok().filter(|text| !text.is_empty()) else { return };
        if let Err(error) = apply(&filter) {
            eprintln!("RM_LOG is not a log filter: {}", error.message());
        }
    });
}
