//! What the service says about itself: `ListNodes`, `GetStatus`, `ExportTypeScriptDefinitions`.

use std::time::SystemTime;

use serde_json::json;

use super::core::{Core, unix_ms};
use super::handler::{NodeEntry, Parameter};
use crate::error::Result;
use crate::remote::pb::v0;

/// Most sessions in a status.
const SESSIONS: usize = 1_000;

fn parameter(parameter: &Parameter) -> v0::ParameterInfo {
    v0::ParameterInfo {
        name: parameter.name.clone(),
        r#type: parameter.kind.clone(),
        description: parameter.description.clone(),
        required: parameter.required,
        default_value: parameter.default.clone().unwrap_or_default(),
        source_class: String::new(),
    }
}

/// `ListNodes`: an empty category is all of them.
pub fn list_nodes(core: &Core, category: &str) -> v0::ListNodesResponse {
    let nodes = core.nodes.read();
    let wanted = nodes.iter().filter(|(_, entry)| category.is_empty() || entry.category == category);
    let info = |(node_type, entry): (&String, &std::sync::Arc<NodeEntry>)| v0::NodeInfo {
        node_type: node_type.clone(),
        category: entry.category.clone(),
        description: entry.description.clone(),
        parameters: entry.parameters.iter().map(parameter).collect(),
    };
    v0::ListNodesResponse { available_nodes: wanted.map(info).collect() }
}

/// `GetStatus`
pub fn get_status(core: &Core, request: v0::StatusRequest) -> v0::StatusResponse {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let metrics = &core.metrics;
    let total = metrics.runs.get();
    let failed = metrics.failed_runs.get();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let available = core.slots.available_permits();
    let status = if core.closing.is_cancelled() { v0::ServiceStatus::Stopping } else { v0::ServiceStatus::Healthy };
    v0::StatusResponse {
        status: status.into(),
        metrics: request.include_metrics.then(|| v0::ServiceMetrics {
            total_requests: number(total),
            successful_requests: number(total.saturating_sub(failed)),
            failed_requests: number(failed),
            average_duration_ms: i64::try_from(metrics.exec.mean().as_millis()).unwrap_or(i64::MAX),
            active_sessions: count(core.sessions.len()),
            available_workers: count(available),
            busy_workers: count(core.config.max_concurrent_calls.saturating_sub(available)),
            ..v0::ServiceMetrics::default()
        }),
        active_sessions: if request.include_sessions { sessions(core) } else { Vec::new() },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: i64::try_from(core.started.elapsed().as_secs()).unwrap_or(i64::MAX),
    }
}

fn sessions(core: &Core) -> Vec<v0::SessionInfo> {
    let info = |session: super::sessions::SessionReport| v0::SessionInfo {
        session_id: session.id.as_str().to_owned(),
        node_type: session.node_type,
        created_timestamp: unix_ms(session.created) / 1_000,
        last_activity: unix_ms(session.active) / 1_000,
        processed_items: i32::try_from(session.items).unwrap_or(i32::MAX),
    };
    core.sessions.report(SESSIONS).into_iter().map(info).collect()
}

/// `ExportTypeScriptDefinitions`, whose field of that name holds JSON on the stock server too.
pub fn export_typescript(core: &Core) -> v0::ExportTypeScriptResponse {
    let nodes = core.nodes.read();
    let describe = |(node_type, entry): (&String, &std::sync::Arc<NodeEntry>)| {
        let parameters = entry.parameters.iter().map(|one| {
            json!({
                "name": one.name,
                "type": one.kind,
                "description": one.description,
                "required": one.required,
                "default_value": one.default,
                "source_class": node_type,
            })
        });
        json!({
            "node_type": node_type,
            "category": entry.category,
            "description": entry.description,
            "parameters": parameters.collect::<Vec<_>>(),
            "methods": [],
            "types": [],
        })
    };
    let version = env!("CARGO_PKG_VERSION");
    let document = json!({
        "generated_at": iso(SystemTime::now()),
        "service_version": version,
        "nodes": nodes.iter().map(describe).collect::<Vec<_>>(),
    });
    let answer = |status: v0::ExecutionStatus, typescript_definitions, error_message| v0::ExportTypeScriptResponse {
        status: status.into(),
        typescript_definitions,
        error_message,
        version: version.to_owned(),
    };
    let text = format!("{document:#}");
    match fits(core, &text) {
        Ok(()) => answer(v0::ExecutionStatus::Success, text, String::new()),
        Err(error) => answer(v0::ExecutionStatus::ResourceLimit, String::new(), super::fault::fault(&error).message),
    }
}

fn fits(core: &Core, text: &str) -> Result<()> {
    core.answer_fits(text.len())
}

/// As Python's `isoformat` writes it, in UTC.
fn iso(time: SystemTime) -> String {
    let ms = unix_ms(time);
    let (days, within) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Howard Hinnant's days-to-civil: years begin in March, so that the day that comes and goes is the last one.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds, ms) = (within / 3_600_000, within / 60_000 % 60, within / 1_000 % 60, within % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        let at = |seconds: u64| iso(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.000");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.000");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59.000");
    }
}
