//! `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, as NATS' services answer them (ADR-32), with a schema for each endpoint.

use std::time::{Duration, SystemTime};

use async_nats::{Client, Message};
use bioxen_protocol::command::{
    Allocate, Create, Execute, History, Install, List, Monitor, Operons, Optimize, Plain, Records, Restore,
    Start, Transcription, Verb, VerbKind, Waiting,
};
use bioxen_protocol::id::VmId;
use bioxen_protocol::subject::{COORDINATOR_QUEUE, commands_of};
use futures::StreamExt;
use schemars::schema_for;
use serde_json::{Value, json};

use crate::driver::stats::Stats;

const NAME: &str = "bioxen";

/// Answers until the connection is gone for good.
pub(crate) async fn run(
    client: Client,
    id: String,
    stats: Stats,
    started: SystemTime,
) -> Result<(), async_nats::SubscribeError> {
    for kind in ["PING", "INFO", "STATS"] {
        for subject in
            [format!("$SRV.{kind}"), format!("$SRV.{kind}.{NAME}"), format!("$SRV.{kind}.{NAME}.{id}")]
        {
            let mut messages = client.subscribe(subject).await?;
            let (client, id, stats) = (client.clone(), id.clone(), stats.clone());
            tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    answer(&client, &message, kind, &id, &stats, started).await;
                }
            });
        }
    }
    Ok(())
}

async fn answer(
    client: &Client,
    message: &Message,
    kind: &str,
    id: &str,
    stats: &Stats,
    started: SystemTime,
) {
    let Some(reply) = &message.reply else { return };
    if super::reply_of(message).is_err() {
        return;
    }
    let mut body = json!({
        "name": NAME,
        "id": id,
        "version": env!("CARGO_PKG_VERSION"),
        "metadata": {},
        "type": format!("io.nats.micro.v1.{}_response", kind.to_lowercase()),
    });
    match kind {
        "INFO" => {
            body["description"] = "Fleets of biological VMs: bioxen.v1.cmd.<user>.<verb>[.<vm>]".into();
            body["endpoints"] = served().map(info).collect();
        }
        "STATS" => {
            body["started"] = crate::projector::words::rfc3339(millis(started)).into();
            body["endpoints"] = served().map(|verb| statistics(verb, stats)).collect();
        }
        _ => {}
    }
    if let Err(error) = client.publish(reply.clone(), body.to_string().into()).await {
        tracing::warn!(%error, "a service request could not be answered");
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn served() -> impl Iterator<Item = Verb> {
    Verb::ALL.iter().copied().filter(|verb| verb.kind() != VerbKind::NotYet)
}

fn info(verb: Verb) -> Value {
    let schema = match verb {
        Verb::Create => schema_for!(Create),
        Verb::Start => schema_for!(Start),
        Verb::Stop | Verb::Pause | Verb::Resume | Verb::Destroy | Verb::Status => schema_for!(Waiting),
        Verb::Allocate => schema_for!(Allocate),
        Verb::List => schema_for!(List),
        Verb::Events | Verb::Audit => schema_for!(Records),
        Verb::Execute => schema_for!(Execute),
        Verb::Transcription => schema_for!(Transcription),
        Verb::Operons => schema_for!(Operons),
        Verb::Optimize => schema_for!(Optimize),
        Verb::Install => schema_for!(Install),
        Verb::Monitor => schema_for!(Monitor),
        Verb::History => schema_for!(History),
        Verb::Restore => schema_for!(Restore),
        _ => schema_for!(Plain),
    };
    let mut schema = schema.to_value();
    if verb.takes_vm() {
        schema["properties"]["vm_id"] = schema_for!(VmId).to_value();
    }
    json!({
        "name": verb.as_str(),
        "subject": commands_of(verb),
        "queue_group": COORDINATOR_QUEUE,
        "metadata": { "schema": schema.to_string() },
    })
}

fn statistics(verb: Verb, stats: &Stats) -> Value {
    let stats = stats.by_verb().get(&verb).copied().unwrap_or_default();
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "name": verb.as_str(),
        "subject": commands_of(verb),
        "queue_group": COORDINATOR_QUEUE,
        "num_requests": stats.count,
        "num_errors": stats.failures,
        "last_error": stats.last_error.map_or(String::new(), |code| format!("{}:{}", code.status(), code.name())),
        "processing_time": nanos(stats.time),
        "average_processing_time": nanos(stats.time).checked_div(stats.count).unwrap_or(0),
        // Some clients read no statistics without it.
        "data": {},
    })
}
