//! What XAPI serves besides calls: disks' bytes up, figures of VMs and hosts down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use crate::clock;
use crate::fault::Fault;
use crate::ops;
use crate::server::{Reply, page, reply};
use crate::shared::Shared;
use crate::state::State;
use crate::value::Value;
use crate::wire::json;

/// Seconds between two rows of figures.
const STEP_SECONDS: u64 = 5;
/// Rows of one answer.
const ROWS_MOST: u64 = 120;

/// Answers a request that is no call.
pub(crate) async fn answer(shared: &Arc<Shared>, host: usize, request: Request<Incoming>) -> Reply {
    let given = parameters(request.uri().query().unwrap_or(""));
    let text = |name: &str| given.get(name).cloned().unwrap_or_default();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if !shared.lock().sessions.touch(&text("session_id")) {
        return page(StatusCode::UNAUTHORIZED);
    }
    let path = path.trim_end_matches('/');
    if method == Method::GET {
        let mut state = shared.lock();
        *state.seen.calls.entry(path.to_owned()).or_default() += 1;
        let fails = |fault: &Fault| matches!(fault, Fault::Fail { method, .. } if method == path);
        if state.faults.take(fails).is_some() {
            return page(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    match (&method, path) {
        (&Method::PUT, "/import_raw_vdi") => {
            import(shared, &text("vdi"), &text("format"), &text("task_id"), request).await
        }
        (&Method::GET, "/rrd_updates") => {
            if text("json") != "true" {
                return not_served(shared, "/rrd_updates without json=true");
            }
            let start = text("start").parse().unwrap_or(0);
            reply(StatusCode::OK, "application/json", updates(&shared.lock(), host, start))
        }
        (&Method::GET, "/vm_rrd") => vm_figures(shared, host, &text("uuid"), &text("json")),
        (method, path) => not_served(shared, &format!("{method} {path}")),
    }
}

/// Takes a disk's bytes, and ends the task by which the caller watches that, if it named one.
async fn import(shared: &Shared, disk: &str, format: &str, task: &str, request: Request<Incoming>) -> Reply {
    if !["", "raw"].contains(&format) {
        return not_served(shared, &format!("/import_raw_vdi with format={format}"));
    }
    let Ok(body) = request.into_body().collect().await else { return page(StatusCode::BAD_REQUEST) };
    let bytes = body.to_bytes();
    let mut state = shared.lock();
    // By reference, or by UUID as some callers do.
    let by_uuid = state.store.all("VDI").into_iter();
    let mut by_uuid =
        by_uuid.filter(|(_, fields)| fields.get("uuid").is_some_and(|uuid| uuid.as_text() == disk));
    let disk = by_uuid.next().map_or_else(|| disk.to_owned(), |(reference, _)| reference);
    let Ok(size) = state.store.field("VDI", &disk, "virtual_size") else {
        return page(StatusCode::NOT_FOUND);
    };
    let given = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    if given > size.as_int() {
        state.violation(format!("{given} bytes were sent for a disk of {}", size.as_int()));
        return page(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let folder = ops::disk_folder(&state, &disk);
    let written =
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join("image"), &bytes));
    if written.is_err() {
        return page(StatusCode::INTERNAL_SERVER_ERROR);
    }
    state.store.set("VDI", &disk, "physical_utilisation", Value::Int(given));
    state.store.set("task", task, "progress", Value::Float(1.0));
    state.store.set("task", task, "status", Value::text("success"));
    page(StatusCode::OK)
}

/// Figures since `start` of all that is on `host`. The first row of a VM has no figures yet: bare NaN.
fn updates(state: &State, host: usize, start: u64) -> String {
    let now = clock::now_seconds() / STEP_SECONDS * STEP_SECONDS;
    let rows = (now.saturating_sub(start) / STEP_SECONDS).clamp(1, ROWS_MOST);
    let host = state.hosts.get(host).map(|(host, _)| host.clone()).unwrap_or_default();
    let mut columns = Vec::new();
    for vm in state.store.list("host", &host, "resident_VMs") {
        let uuid = state.store.text("VM", &vm, "uuid");
        let runs = state.store.text("VM", &vm, "power_state") == "Running";
        columns.push((format!("AVERAGE:vm:{uuid}:cpu0"), if runs { 0.25 } else { 0.0 }));
        let memory = state.store.field("VM", &vm, "memory_static_max").map_or(0, |value| value.as_int());
        columns
            .push((format!("AVERAGE:vm:{uuid}:memory"), Value::Int(memory >> 20).as_float() * 1_048_576.0));
    }
    columns.push((format!("AVERAGE:host:{}:cpu_avg", state.store.text("host", &host, "uuid")), 0.1));
    let first = now - (rows - 1) * STEP_SECONDS;
    let legend = Value::texts(columns.iter().map(|(name, _)| name.clone()));
    let mut text = format!("{{\"meta\":{{\"start\":{first},\"step\":{STEP_SECONDS},\"end\":{now},");
    let _ = write!(text, "\"rows\":{rows},\"columns\":{},\"legend\":", columns.len());
    json::write_value(&mut text, &legend);
    text.push_str("},\"data\":[");
    // The newest first.
    for row in 0..rows {
        let known = row + 1 < rows;
        let values = columns.iter().map(|(_, value)| Value::Float(if known { *value } else { f64::NAN }));
        let separator = if row == 0 { "" } else { "," };
        let _ = write!(text, "{separator}{{\"t\":{},\"values\":", now - row * STEP_SECONDS);
        json::write_value(&mut text, &Value::List(values.collect()));
        text.push('}');
    }
    text.push_str("]}");
    text
}

fn vm_figures(shared: &Shared, host: usize, uuid: &str, as_json: &str) -> Reply {
    if as_json != "true" {
        return not_served(shared, "/vm_rrd without json=true");
    }
    let state = shared.lock();
    let host = state.hosts.get(host).map(|(host, _)| host.clone()).unwrap_or_default();
    let here = state.store.list("host", &host, "resident_VMs").into_iter();
    let here = here.filter(|vm| state.store.text("VM", vm, "uuid") == uuid).count();
    if here == 0 {
        return page(StatusCode::NOT_FOUND);
    }
    let source = |name: &str, value: f64| {
        let fields = [
            ("name", Value::text(name)),
            ("type", Value::text("GAUGE")),
            ("minimal_heartbeat", Value::text("300.0000")),
            ("last_ds", Value::text(format!("{value:?}"))),
            ("value", Value::text("0.0")),
        ];
        Value::map(fields)
    };
    let rrd = Value::map([
        ("version", Value::text("0003")),
        ("step", Value::text(STEP_SECONDS.to_string())),
        ("lastupdate", Value::text(clock::now_seconds().to_string())),
        ("ds", Value::List(vec![source("cpu0", 0.25), source("memory", 1_073_741_824.0)])),
        ("rra", Value::List(Vec::new())),
    ]);
    let mut text = String::new();
    json::write_value(&mut text, &rrd);
    reply(StatusCode::OK, "application/json", text)
}

/// What the pool has not is a violation, or a test would pass for the wrong reason.
fn not_served(shared: &Shared, what: &str) -> Reply {
    shared.lock().violation(format!("HTTP: {what} is not served by this pool"));
    page(StatusCode::NOT_FOUND)
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// With `%3A` and its like as what they stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_escaped() {
        let given = parameters("session_id=OpaqueRef%3Aa-b&json=true&odd=%zz");
        assert_eq!(given["session_id"], "OpaqueRef:a-b");
        assert_eq!(given["odd"], "%zz");
    }
}
