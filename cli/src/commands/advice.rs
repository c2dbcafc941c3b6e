//! `bioxen optimize`, `monitor`, `history`.

use bioxen_protocol::command::{History, Monitor, Optimize, Verb};
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::reply::{Optimized, TriedAllocation};
use clap::Args;
use serde_json::{Map, Value};

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct OptimizeArgs {
    vm: VmId,
    /// Allocate what was found best
    #[arg(long)]
    apply: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    vm: VmId,
    /// Seconds between samples; 0 ends it
    #[arg(long = "interval", value_name = "SECONDS")]
    interval_seconds: Option<u64>,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    vm: VmId,
    /// The newest so many samples
    #[arg(long)]
    limit: Option<u64>,
}

pub(crate) async fn optimize(session: &Session, args: OptimizeArgs) -> Result<(), Failure> {
    let body = Optimize { request_id: None, apply: args.apply };
    let answer: Optimized = session.client.request(Verb::Optimize, Some(&args.vm), &body).await?;
    Ok(render::show(session.json, &answer, |answer| {
        let rows = [row("now", &answer.current), row("best", &answer.best)];
        let titles = ["", "atp %", "ribosomes", "doubling min", "growth / atp %"];
        format!(
            "{}\n{:.3} times the growth per ATP, of {} allocations tried; {}",
            render::table(&titles, &rows),
            answer.gain,
            answer.tried.len(),
            if answer.applied { "allocated" } else { "not allocated (--apply does)" }
        )
    })?)
}

fn row(name: &str, tried: &TriedAllocation) -> Vec<String> {
    vec![
        name.to_owned(),
        tried.atp_percentage.percent().to_string(),
        tried.ribosomes.to_string(),
        render::optional(tried.doubling_time_min.map(|minutes| format!("{minutes:.1}"))),
        format!("{:.3e}", tried.growth_per_atp_percent),
    ]
}

pub(crate) async fn monitor(session: &Session, args: MonitorArgs) -> Result<(), Failure> {
    let body = Monitor { request_id: args.request_id, interval_seconds: args.interval_seconds };
    let answer: Map<String, Value> = session.client.request(Verb::Monitor, Some(&args.vm), &body).await?;
    Ok(render::show(session.json, &answer, render::fields)?)
}

pub(crate) async fn history(session: &Session, args: HistoryArgs) -> Result<(), Failure> {
    let body = History { request_id: None, limit: args.limit };
    let answer: bioxen_protocol::reply::History =
        session.client.request(Verb::History, Some(&args.vm), &body).await?;
    Ok(render::show(session.json, &answer, |answer| {
        let figures = ["simulated_minutes", "growth_rate_per_min", "atp_level", "ribosomes_active"];
        let rows: Vec<Vec<String>> = answer
            .samples
            .iter()
            .map(|sample| {
                let cells = figures
                    .iter()
                    .map(|name| render::cell(sample.metrics.get(*name).unwrap_or(&Value::Null)));
                std::iter::once(sample.time_ms.to_string()).chain(cells).collect()
            })
            .collect();
        render::table(&["time ms", "minute", "growth / min", "atp level", "ribosomes"], &rows)
    })?)
}
