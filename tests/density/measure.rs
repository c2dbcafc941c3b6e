//! A hundred cells on one worker: what they cost it in CPU time and memory, and whether each is still its own cell.
//! Shared by the test, which runs it briefly, and the benchmark, which runs it at pace 60 for an hour of simulated time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::{Client, Subscriber};
use bioxen_tests::cells::{CHASSIS, Draw, Spec, USER, Vm, is_clean, raise_quota};
use bioxen_tests::{Options, TestFleet, ask_until};
use futures::StreamExt;
use serde_json::{Value, json};

pub(crate) const VMS: usize = 100;
/// VMs whose figures are compared with `bioxen simulate`.
const PICKED: usize = 10;
/// How long an event may take.
const EVENT_PATIENCE: Duration = Duration::from_secs(60);
/// Ticks a second of `/proc/<pid>/stat`, on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;

/// How to run it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    /// Simulated seconds per second.
    pub(crate) pace: f64,
    /// Simulated minute at which every VM is given another allocation.
    pub(crate) allocate_minutes: f64,
    /// Simulated minute at which it ends.
    pub(crate) end_minutes: f64,
}

#[derive(Debug)]
pub(crate) struct Figures {
    /// CPU time over elapsed time.
    pub(crate) cores: f64,
    pub(crate) elapsed: Duration,
    pub(crate) idle_kib: u64,
    pub(crate) full_kib: u64,
    pub(crate) kib_per_vm: f64,
    pub(crate) worst_lag_minutes: f64,
    pub(crate) compared: usize,
}

pub(crate) async fn measure(course: Course) -> Figures {
    let draw = Draw::new("density");
    let resources = "max_concurrent_vms = 200\nglobal_atp_limit = 100000\nglobal_ribosome_limit = 50000\n";
    let fleet = TestFleet::start(&Options { resources: resources.to_owned(), ..Options::default() });
    let client = fleet.connect().await;
    let pid = fleet.worker_pid("w1");
    let idle_kib = resident_kib(pid);
    raise_quota(&client).await;
    let told = client.subscribe(format!("bioxen.v1.evt.{USER}.*.allocated")).await.expect("a subscription");
    let mut vms = start(&client, &draw, course.pace).await;
    let (started, cpu_before) = (Instant::now(), cpu_seconds(pid));

    vms[0].passes(course.allocate_minutes).await;
    allocate(&mut vms, told, &draw).await;
    vms[0].passes(course.end_minutes).await;

    let (elapsed, cpu) = (started.elapsed(), cpu_seconds(pid) - cpu_before);
    let full_kib = resident_kib(pid);
    let mut worst_lag_minutes: f64 = 0.0;
    for vm in &vms {
        let status = vm.ask("status", Value::Null).await;
        worst_lag_minutes = worst_lag_minutes.max(status["lag_minutes"].as_f64().expect("a lag"));
    }
    for _ in 0..PICKED {
        let at = usize::try_from(draw.whole(0, VMS as u64 - 1)).expect("an index");
        vms[at].agrees().await;
    }
    is_clean(&fleet).await;
    Figures {
        cores: cpu / elapsed.as_secs_f64(),
        elapsed,
        idle_kib,
        full_kib,
        kib_per_vm: full_kib.saturating_sub(idle_kib) as f64 / VMS as f64,
        worst_lag_minutes,
        compared: PICKED,
    }
}

/// Each with a medium and an allocation of its own.
async fn start<'a>(client: &'a Client, draw: &Draw, pace: f64) -> Vec<Vm<'a>> {
    let mut vms = Vec::new();
    for number in 0..VMS {
        let mut spec = Spec::drawn(draw, CHASSIS[number % CHASSIS.len()]);
        spec.parameters.insert("s0", draw.number(100.0, 100_000.0));
        let more = json!({ "auto_start": true, "pace": pace });
        vms.push(Vm::create(client, format!("cell-{number}"), spec, more).await);
    }
    let all_run = |fleet: &Value| fleet["states"]["running"] == VMS;
    ask_until(client, &format!("bioxen.v1.cmd.{USER}.fleet"), &Value::Null, all_run).await;
    vms
}

/// Another allocation for each, once more drawn at random; notes the minutes at which they took effect.
async fn allocate(vms: &mut [Vm<'_>], mut told: Subscriber, draw: &Draw) {
    let mut asked = BTreeMap::new();
    for vm in vms.iter() {
        let chassis = vm.spec.chassis;
        let (atp, ribosomes) = (draw.number(10.0, chassis.most_atp), draw.whole(1, chassis.most_ribosomes));
        let answer = vm.ask("allocate", json!({ "atp_percentage": atp, "ribosomes": ribosomes })).await;
        assert_eq!(answer["allocation"]["ribosomes"], ribosomes, "{answer}");
        asked.insert(vm.name.clone(), (atp, ribosomes as f64));
    }
    let mut minutes = BTreeMap::new();
    while minutes.len() < vms.len() {
        let event = tokio::time::timeout(EVENT_PATIENCE, told.next()).await.expect("an event in time");
        let event: Value = serde_json::from_slice(&event.expect("an event").payload).expect("JSON");
        let name = event["vm_id"].as_str().expect("a VM").to_owned();
        minutes.insert(name, bioxen_tests::cells::minute_in_effect(&event));
    }
    for vm in vms {
        let ((atp, ribosomes), minute) = (asked[&vm.name], minutes[&vm.name]);
        vm.spec.changes.extend([(minute, "atp", atp), (minute, "ribosomes", ribosomes)]);
    }
}

/// User and system time of a process.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name, in brackets, may hold spaces; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn resident_kib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line Rss");
    line.trim().trim_end_matches("kB").trim().parse().expect("KiB")
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{VMS} VMs for {:.1} s: {:.3} of one core, {:.1} KiB a VM ({} KiB idle, {} KiB full), worst lag {} min; \
             {} of {} equal to simulate's figures to the bit",
            self.elapsed.as_secs_f64(),
            self.cores,
            self.kib_per_vm,
            self.idle_kib,
            self.full_kib,
            self.worst_lag_minutes,
            self.compared,
            self.compared
        )
    }
}
