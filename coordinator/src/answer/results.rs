//! `results`: a chunk of what a VM recorded, or of an ensemble's gathered table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_nats::Client;
use bioxen_hypervisor::trace::Trace;
use bioxen_protocol::codec::base64;
use bioxen_protocol::command::{Results, Scalar, TableFormat, member_seed};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{Generation, VmId, VmKey};
use bioxen_protocol::limits::{RESULT_BYTES, RESULT_ROWS, RESULT_ROWS_DEFAULT};
use bioxen_protocol::quantity::SimulatedTime;
use bioxen_protocol::reply::{MemberBody, ResultsChunk};
use bioxen_protocol::state::VmState;
use serde_json::{Map, Value};

use super::table::{Column, Table, Values};
use super::{Reply, live, parquet};
use crate::fleet::ensemble::{End, Ended, Ensemble, Member};
use crate::fleet::vm::Vm;
use crate::intake::ensemble::{member_body, read};
use crate::recordings::{self, Recorded};

/// What a table is of.
struct Subject {
    vm: VmId,
    kind: &'static str,
    growing: bool,
}

impl Subject {
    /// `data` from the offset asked for up to `end`, of `total` rows or bytes.
    fn chunk(&self, table: &Table, ask: &Results, end: u64, total: u64, data: Value) -> ResultsChunk {
        ResultsChunk {
            vm_id: self.vm.clone(),
            kind: self.kind.to_owned(),
            format: ask.format,
            columns: table.names(),
            offset: ask.offset,
            total,
            next: (end < total).then_some(end),
            growing: self.growing,
            data,
        }
    }
}

/// What a VM recorded, or its metrics as one row.
pub(crate) async fn of_vm(client: &Client, vm: Vm, ask: Results) -> Reply {
    if ask.member.is_some() {
        return Reply::Error(field("member", format!("{} is a VM, only an ensemble has members", vm.key.vm)));
    }
    let ended = matches!(vm.state, VmState::Stopped | VmState::Failed | VmState::Destroyed);
    if vm.order.record.is_some() {
        let stored = stretches(&vm);
        let (key, order) = (vm.key, vm.order.record.clone());
        let recorded = Recorded { key, order, stored, placement: vm.placement };
        return of_recording(client, recorded, !ended, ask).await;
    }
    let figures = match live::figures(client, &vm).await {
        Ok(figures) => figures,
        Err(error) => return Reply::Error(error),
    };
    let subject = Subject { vm: vm.key.vm, kind: "summary", growing: !ended };
    answered(&subject, &one_row(figures), &ask)
}

/// The same of a member whose VM is forgotten.
pub(crate) async fn of_member(client: &Client, key: VmKey, end: Arc<End>, ask: Results) -> Reply {
    if end.recorded.is_empty() {
        let summary =
            end.summary.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        return answered(&Subject { vm: key.vm, kind: "summary", growing: false }, &one_row(summary), &ask);
    }
    let stored = end.recorded.iter().map(|generation| (*generation, None)).collect();
    let recorded = Recorded { key, order: None, stored, placement: None };
    of_recording(client, recorded, false, ask).await
}

/// What is stored of it, and how much of that counts: a restore cuts off what came after.
fn stretches(vm: &Vm) -> Vec<(Generation, Option<u64>)> {
    let to_tick = |generation| {
        let cut = vm.recorded_to.iter().find(|(of, _)| *of == generation);
        cut.map(|(_, to_tick)| *to_tick)
    };
    vm.recorded.iter().map(|generation| (*generation, to_tick(*generation))).collect()
}

async fn of_recording(client: &Client, recorded: Recorded, growing: bool, ask: Results) -> Reply {
    let trace = match recordings::read(client, &recorded).await {
        Ok(trace) => trace,
        Err(error) => return Reply::Error(error),
    };
    let subject = Subject { vm: recorded.key.vm, kind: "recording", growing };
    let made = tokio::task::spawn_blocking(move || answered(&subject, &table_of_trace(trace), &ask));
    made.await.unwrap_or_else(|error| {
        Reply::Error(ErrorBody::new(Code::Timeout, format!("the table was not made: {error}")))
    })
}

fn table_of_trace(trace: Trace) -> Table {
    let minutes = (0..trace.rows()).map(|row| Some(trace.minute(row))).collect();
    let mut columns = vec![Column { name: "minute".to_owned(), values: Values::Numbers(minutes) }];
    columns.extend(trace.names.into_iter().zip(trace.columns).map(|(name, values)| {
        let values = values.into_iter().map(|value| Some(value).filter(|value| value.is_finite()));
        Column { name, values: Values::Numbers(values.collect()) }
    }));
    Table { columns }
}

fn one_row(figures: Map<String, Value>) -> Table {
    let columns = figures.into_iter().filter(|(_, value)| !value.is_object());
    let columns = columns
        .map(|(name, value)| Column::of_json(name, vec![Some(value).filter(|value| !value.is_null())]));
    Table { columns: columns.collect() }
}

/// An ensemble's table, or the body of one member.
pub(crate) async fn gathered(ensemble: Ensemble, ask: Results) -> Reply {
    let made = tokio::task::spawn_blocking(move || match ask.member {
        Some(number) => member(&ensemble, number),
        None => {
            let name = ensemble.key.vm.clone();
            let growing = !matches!(ensemble.state(), VmState::Stopped);
            let table = table_of(&ensemble)?;
            Ok(answered(&Subject { vm: name, kind: "ensemble", growing }, &table, &ask))
        }
    });
    match made.await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => Reply::Error(error),
        Err(error) => Reply::Error(ErrorBody::new(Code::Timeout, format!("the table was not made: {error}"))),
    }
}

fn member(ensemble: &Ensemble, number: u64) -> Result<Reply, ErrorBody> {
    let key = ensemble.member_key(number).filter(|_| (1..=ensemble.members).contains(&number));
    let Some(key) = key else {
        let (name, members) = (&ensemble.key.vm, ensemble.members);
        return Err(field(
            "member",
            format!("ensemble {name} has no member {number}: expected 1 to {members}"),
        ));
    };
    let create = member_body(&body_of(ensemble)?, number)?;
    Ok(Reply::Member(Box::new(MemberBody { vm_id: key.vm, member: number, create })))
}

fn body_of(ensemble: &Ensemble) -> Result<bioxen_protocol::command::Ensemble, ErrorBody> {
    read(&ensemble.body).map_err(|error| ErrorBody::new(Code::InvalidConfiguration, error))
}

/// A row for each member, also for those that were not made yet.
fn table_of(ensemble: &Ensemble) -> Result<Table, ErrorBody> {
    let many = body_of(ensemble)?.many;
    let numbers = || 1..=ensemble.members;
    let made = |number: u64| usize::try_from(number - 1).ok().and_then(|at| ensemble.made.get(at));
    let ends: Vec<Option<&End>> = numbers().map(|number| made(number)?.end.as_deref()).collect();
    let points: Vec<_> = numbers().map(|number| many.point(number, ensemble.seed)).collect();
    let texts = |values: Vec<Option<String>>| Values::Texts(values);
    let column = |name: &str, values: Values| Column { name: name.to_owned(), values };
    let mut columns = vec![
        column("member", Values::Wholes(numbers().map(Some).collect())),
        column("vm_id", texts(numbers().map(|n| Some(ensemble.member_key(n)?.vm.to_string())).collect())),
        column("state", texts(numbers().map(|n| Some(state_of(ensemble, made(n)).to_owned())).collect())),
        column("reason", texts(ends.iter().map(|end| (*end)?.reason.clone()).collect())),
        column("replicate", Values::Wholes(points.iter().map(|point| Some(point.replicate)).collect())),
        column("seed", Values::Wholes(numbers().map(|n| Some(member_seed(ensemble.seed, n))).collect())),
    ];
    for (at, path) in many.axes.keys().enumerate() {
        let value = |scalar: &Scalar| serde_json::to_value(scalar).ok();
        let values = points.iter().map(|point| value(&point.values.get(at)?.1)).collect();
        columns.push(Column::of_json(path.clone(), values));
    }
    let minutes = |end: &Option<&End>| end.map(|end| SimulatedTime { ticks: end.tick }.minutes());
    columns.push(column("simulated_minutes", Values::Numbers(ends.iter().map(minutes).collect())));
    columns.extend(summaries(&ends));
    Ok(Table { columns })
}

fn state_of(ensemble: &Ensemble, member: Option<&Member>) -> &'static str {
    match member.map(|member| member.end.as_ref().map(|end| end.outcome)) {
        None if ensemble.waiting() > 0 => "queued",
        None => "not made",
        Some(None) => "running",
        Some(Some(Ended::Completed)) => "completed",
        Some(Some(Ended::Failed)) => "failed",
        Some(Some(Ended::Stopped)) => "stopped",
        Some(Some(Ended::Destroyed)) => "destroyed",
    }
}

/// The final metrics that are numbers, a column each.
fn summaries(ends: &[Option<&End>]) -> Vec<Column> {
    let parsed: Vec<BTreeMap<String, Value>> = ends
        .iter()
        .map(|end| {
            let summary = end.and_then(|end| end.summary.as_deref());
            summary.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
        })
        .collect();
    let names: BTreeSet<&String> = parsed
        .iter()
        .flatten()
        .filter(|(name, value)| value.is_number() && *name != "simulated_minutes")
        .map(|(name, _)| name)
        .collect();
    let column = |name: &String| {
        let values = parsed.iter().map(|summary| summary.get(name)?.as_f64()).collect();
        Column { name: name.clone(), values: Values::Numbers(values) }
    };
    names.into_iter().map(column).collect()
}

fn answered(subject: &Subject, table: &Table, ask: &Results) -> Reply {
    match chunk(subject, table, ask) {
        Ok(chunk) => Reply::Results(Box::new(chunk)),
        Err(error) => Reply::Error(error),
    }
}

/// Bytes of the table's Parquet file.
fn parquet_chunk(subject: &Subject, table: &Table, ask: &Results) -> Result<ResultsChunk, ErrorBody> {
    let limit = ask.limit.unwrap_or(RESULT_BYTES);
    if !(1..=RESULT_BYTES).contains(&limit) {
        return Err(field(
            "limit",
            format!("limit is {limit}: expected 1 to {RESULT_BYTES} bytes of parquet"),
        ));
    }
    let file = parquet::file(table).map_err(|error| {
        ErrorBody::new(
            Code::ProcessFailed,
            format!("the table cannot be written as Parquet: {error}; ask for csv"),
        )
    })?;
    let total = file.len() as u64;
    let end = total.min(ask.offset.saturating_add(limit));
    let place = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
    let Some(bytes) = file.get(place(ask.offset)..place(end)) else {
        let message = format!(
            "offset is {}, and the file has {total} bytes: give next of the chunk before",
            ask.offset
        );
        return Err(field("offset", message));
    };
    Ok(subject.chunk(table, ask, end, total, base64::encode(bytes).into()))
}

fn chunk(subject: &Subject, table: &Table, ask: &Results) -> Result<ResultsChunk, ErrorBody> {
    if ask.format == TableFormat::Parquet {
        return parquet_chunk(subject, table, ask);
    }
    let limit = ask.limit.unwrap_or(RESULT_ROWS_DEFAULT);
    if !(1..=RESULT_ROWS).contains(&limit) {
        return Err(field("limit", format!("limit is {limit}: expected 1 to {RESULT_ROWS}")));
    }
    let total = table.rows() as u64;
    if ask.offset > total {
        let message =
            format!("offset is {}, and there are {total} rows: give next of the chunk before", ask.offset);
        return Err(field("offset", message));
    }
    let mut end = total.min(ask.offset.saturating_add(limit));
    let place = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
    let data = loop {
        let rows = place(ask.offset)..place(end);
        let data = match ask.format {
            TableFormat::Json => table.json(rows),
            _ => table.csv(rows).into(),
        };
        if fits(&data) || end - ask.offset <= 1 {
            break data;
        }
        end = ask.offset + (end - ask.offset) / 2;
    };
    Ok(subject.chunk(table, ask, end, total, data))
}

/// Whether a chunk stays below the bus's bound on messages.
fn fits(data: &Value) -> bool {
    const MOST_BYTES: usize = 700 * 1024;
    let bytes = match data {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    };
    bytes <= MOST_BYTES
}

fn field(name: &str, message: String) -> ErrorBody {
    ErrorBody::new(Code::ApiValidation, message).with(|details| details.field = Some(name.to_owned()))
}
