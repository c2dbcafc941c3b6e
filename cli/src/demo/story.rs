//! What the demonstration shows, step by step; each step checks what it shows.

use std::time::Duration;

use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::client::{read_audit, verify_audit};
use bioxen_protocol::command::Verb;
use serde_json::Value;

use super::bus::Bus;
use crate::commands::audit;
use crate::exit::Failure;
use crate::render::{self, line};

/// Simulated seconds per second.
const PACE: u32 = 1800;
/// Simulated minutes that cells are given to settle: several doubling times of an ecoli, more than one of a syn3a.
const SETTLING_MIN: f64 = 240.0;
/// Between two looks at a cell; at the pace above that is three simulated minutes.
const LOOK: Duration = Duration::from_millis(100);
/// A cell that does not get there within so many looks is stuck.
const LOOKS: usize = 400;
/// VMs that a user may hold by default.
const VMS_PER_USER: usize = 10;

/// Who owns a cell, its name, and what it holds, in words.
type Cell = (&'static str, &'static str, &'static str);

/// Growth of one cell as it was measured, and the doubling time that the fleet predicts for a settled one.
struct Growth {
    cell: Cell,
    minute: f64,
    rate_per_min: f64,
    predicted_min: Option<f64>,
}

pub(super) async fn tell(mut bus: Bus) -> Result<(), Failure> {
    let mut measured = Vec::new();
    create_and_start(&mut bus).await?;
    allocate(&mut bus, &mut measured).await?;
    halve(&mut bus, &mut measured).await?;
    run_into_the_quota(&mut bus).await?;
    pause_resume_stop_destroy(&mut bus).await?;
    let records = read_the_trail(&bus).await?;
    sum_up(&bus, &measured, records)
}

async fn create_and_start(bus: &mut Bus) -> Result<(), Failure> {
    bus.say("alice creates a syn3a and a minimal_cell, bob an ecoli; 30 simulated minutes pass in a second")?;
    let paced = |chassis: &str| format!(r#"{{"biological_type": "{chassis}", "pace": {PACE}, "seed": 1}}"#);
    bus.accepted("alice", Verb::Create, "c1", &paced("syn3a")).await?;
    bus.accepted("alice", Verb::Create, "m1", &paced("minimal_cell")).await?;
    bus.accepted("bob", Verb::Create, "e1", &paced("ecoli")).await?;
    bus.say("they start them; the answer comes with the state reached")?;
    for (user, vm) in [("alice", "c1"), ("alice", "m1"), ("bob", "e1")] {
        bus.accepted(user, Verb::Start, vm, r#"{"wait_ms": 5000}"#).await?;
        state_reached(bus, user, vm, "running").await?;
    }
    Ok(())
}

async fn allocate(bus: &mut Bus, measured: &mut Vec<Growth>) -> Result<(), Failure> {
    bus.say("each gets the most that its chassis may hold; growth is what the simulated cell then does")?;
    bus.accepted("alice", Verb::Allocate, "c1", r#"{"atp_percentage": 70, "ribosomes": 15}"#).await?;
    bus.accepted("alice", Verb::Allocate, "m1", r#"{"atp_percentage": 60, "ribosomes": 12}"#).await?;
    bus.accepted("bob", Verb::Allocate, "e1", r#"{"atp_percentage": 90, "ribosomes": 30}"#).await?;
    let cells = [
        ("alice", "c1", "70 % ATP, 15 ribosome units"),
        ("alice", "m1", "60 % ATP, 12 ribosome units"),
        ("bob", "e1", "90 % ATP, 30 ribosome units"),
    ];
    measured.extend(settled(bus, &cells).await?);
    Ok(())
}

async fn halve(bus: &mut Bus, measured: &mut Vec<Growth>) -> Result<(), Failure> {
    bus.say("bob halves the ribosomes of his ecoli, alice those of her syn3a: growth falls")?;
    bus.accepted("alice", Verb::Allocate, "c1", r#"{"ribosomes": 7}"#).await?;
    bus.accepted("bob", Verb::Allocate, "e1", r#"{"ribosomes": 15}"#).await?;
    let halved =
        [("alice", "c1", "70 % ATP, 7 ribosome units"), ("bob", "e1", "90 % ATP, 15 ribosome units")];
    for after in settled(bus, &halved).await? {
        let before = measured.iter().find(|growth| growth.cell.1 == after.cell.1);
        let before = before.ok_or_else(|| Failure::other("nothing was measured before"))?;
        if after.rate_per_min >= before.rate_per_min {
            return Err(Failure::other(format!(
                "growth of {} did not fall with its ribosomes",
                after.cell.1
            )));
        }
        let share = 100.0 * (1.0 - after.rate_per_min / before.rate_per_min);
        line(&format!("  {} grows {share:.0} % slower than before", after.cell.1))?;
        measured.push(after);
    }
    Ok(())
}

async fn run_into_the_quota(bus: &mut Bus) -> Result<(), Failure> {
    bus.say("alice creates up to her limit of 10 VMs; the 11th is refused, and the refusal says why")?;
    let syn3a = r#"{"biological_type": "syn3a"}"#;
    for number in 3..=VMS_PER_USER {
        bus.accepted("alice", Verb::Create, &format!("s{number}"), syn3a).await?;
    }
    bus.refused("alice", Verb::Create, "s11", syn3a, "BX011").await?;
    bus.say("bob cannot see what is alice's: her VM does not exist for him")?;
    bus.refused("bob", Verb::Status, "c1", "{}", "BX010").await?;
    Ok(())
}

async fn pause_resume_stop_destroy(bus: &mut Bus) -> Result<(), Failure> {
    bus.say("alice pauses and resumes her syn3a, stops it and destroys it; her quota has room again")?;
    for (verb, state) in [
        (Verb::Pause, "paused"),
        (Verb::Resume, "running"),
        (Verb::Stop, "stopped"),
        (Verb::Destroy, "destroyed"),
    ] {
        bus.accepted("alice", verb, "c1", r#"{"wait_ms": 5000}"#).await?;
        if verb != Verb::Destroy {
            state_reached(bus, "alice", "c1", state).await?;
        }
    }
    bus.accepted("alice", Verb::Create, "s11", r#"{"biological_type": "syn3a"}"#).await?;
    bus.accepted("alice", Verb::Quota, "", "{}").await?;
    bus.accepted("bob", Verb::Stop, "e1", r#"{"wait_ms": 5000}"#).await?;
    Ok(())
}

/// Shows the trail and verifies it; gives the number of its records.
async fn read_the_trail(bus: &Bus) -> Result<u64, Failure> {
    bus.say(
        "the audit trail of it all, read from its stream; each record carries the hash of the one before",
    )?;
    // It is written behind the journal: the last command shows that the writer has come so far.
    for _ in 0..LOOKS {
        let mut lines = Vec::new();
        let mut complete = false;
        read_audit(bus.nats(), None, |_, bytes| {
            if let Ok(record) = serde_json::from_slice::<AuditRecord>(bytes) {
                complete |= record.user.as_str() == "bob" && record.action == "stop";
                lines.push(audit::text(&record));
            }
            Ok(())
        })
        .await?;
        if complete {
            line(&lines.join("\n"))?;
            let verified = verify_audit(bus.nats()).await?;
            line(&format!(
                "  the chain of {} records holds; its head is {}",
                verified.records, verified.head_hash
            ))?;
            return Ok(verified.records);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::other("the last command does not appear in the audit trail"))
}

fn sum_up(bus: &Bus, measured: &[Growth], records: u64) -> Result<(), Failure> {
    bus.say("measured")?;
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|growth| {
            vec![
                growth.cell.1.to_owned(),
                growth.cell.2.to_owned(),
                format!("{:.0}", growth.minute),
                format!("{:.5}", growth.rate_per_min),
                format!("{:.1}", std::f64::consts::LN_2 / growth.rate_per_min),
                render::optional(growth.predicted_min.map(|minutes| format!("{minutes:.1}"))),
            ]
        })
        .collect();
    let titles =
        ["cell", "allocation", "at minute", "growth per min", "doubling min", "predicted when settled"];
    line(&render::table(&titles, &rows))?;
    let (median, longest, count) = bus.latency();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    line(&format!(
        "{count} requests answered: median {:.1} ms, longest {:.1} ms (waiting for states included)\n{records} audit records, chain verified",
        ms(median),
        ms(longest)
    ))?;
    Ok(())
}

/// Waits until each cell has lived [`SETTLING_MIN`] simulated minutes more, then shows and gives its growth.
async fn settled(bus: &mut Bus, cells: &[Cell]) -> Result<Vec<Growth>, Failure> {
    let mut since = Vec::new();
    for (user, vm, _) in cells {
        since.push(number(&bus.quietly(user, Verb::Metrics, vm).await?, "simulated_minutes")?);
    }
    line(&format!("  .. waiting for {SETTLING_MIN} simulated minutes"))?;
    let mut measured = Vec::new();
    for (cell, since_min) in cells.iter().zip(since) {
        lives_until(bus, cell, since_min + SETTLING_MIN).await?;
        let (user, vm, _) = *cell;
        let metrics = bus.accepted(user, Verb::Metrics, vm, "{}").await?;
        let status = bus.quietly(user, Verb::Status, vm).await?;
        measured.push(Growth {
            cell: *cell,
            minute: number(&metrics, "simulated_minutes")?,
            rate_per_min: number(&metrics, "growth_rate_per_min")?,
            predicted_min: status["predicted"]["doubling_time_min"].as_f64(),
        });
    }
    Ok(measured)
}

async fn lives_until(bus: &mut Bus, (user, vm, _): &Cell, minute: f64) -> Result<(), Failure> {
    for _ in 0..LOOKS {
        if number(&bus.quietly(user, Verb::Metrics, vm).await?, "simulated_minutes")? >= minute {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::other(format!("{user}'s {vm} did not live until minute {minute}")))
}

async fn state_reached(bus: &mut Bus, user: &str, vm: &str, state: &str) -> Result<(), Failure> {
    for _ in 0..LOOKS {
        let status = bus.quietly(user, Verb::Status, vm).await?;
        if status["state"] == state {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::other(format!("{user}'s {vm} did not become {state}")))
}

fn number(answer: &Value, key: &str) -> Result<f64, Failure> {
    answer[key].as_f64().ok_or_else(|| Failure::other(format!("the answer has no number {key}: {answer}")))
}
