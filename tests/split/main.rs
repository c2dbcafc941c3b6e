//! A cluster of three nats-servers that is split: every server runs on, and some do not reach the others. Nobody is told
//! of it, connections stand and say nothing, and what was said meanwhile may arrive late.
//!
//! ```text
//!   server 1: coordinator-1, worker w1, users      the three are apart, or one of them from the other two
//!   server 2: coordinator-2
//!   server 3: worker w2, users
//! ```
//!
//! Users send commands throughout. What ran where is measured at the hypervisors.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_protocol::limits::LEASE;
use bioxen_tests::commits::{self, Quantum, now_ns};
use bioxen_tests::load::Load;
use bioxen_tests::trail::assert_once_each;
use bioxen_tests::{
    FIRST, Options, Random, START_PATIENCE, TestFleet, ask_again, ask_until, code, control, first_accepted,
    leader, name_of, peers, program,
};
use serde_json::{Value, json};

const RESOURCES: &str = "global_atp_limit = 1000000.0\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\nrebalance = false\n[streams]\nreplicas = 3\n";
const WORKER: &str = "max_vms = 1000\ntotal_ribosomes = 20000\ncheckpoint_interval_seconds = 2\n";
const WORKERS: [&str; 2] = ["w1", "w2"];
const SECOND: &str = "coordinator-2";
/// VMs that nobody sends commands to; two on each worker.
const VMS: [&str; 4] = ["c1", "c2", "c3", "c4"];
/// What a fleet's life hangs on.
const STREAMS: [&str; 4] = ["BIOXEN_JOURNAL", "BIOXEN_SUBMIT", "BIOXEN_AUDIT", "BIOXEN_EVENTS"];
/// Longer than lease and grace, and than a follower waits; long enough that servers find their routes dead.
const SPLIT: Duration = Duration::from_secs(7);
/// A lease that a grant under way at the cut has prolonged ends so much after it at most.
const UNDER_WAY: Duration = Duration::from_millis(500);
/// A quantum of a tenth of a second at pace 60, caught up at twice the pace, is two ticks of 0.1 simulated minutes.
const MOST_TICKS: u64 = 5;

/// The fleet, and a client at each server.
struct Split {
    fleet: TestFleet,
    at: Vec<Client>,
}

/// Where a VM is: its worker and its generation.
type Places = BTreeMap<&'static str, (String, String)>;

impl Split {
    async fn start() -> Self {
        let options = Options { resources: RESOURCES.to_owned(), workers: Vec::new() };
        let mut fleet = TestFleet::on_split_cluster(&options).await;
        let mut at = Vec::new();
        for (number, coordinator, worker) in
            [(0, Some(FIRST), Some("w1")), (1, Some(SECOND), None), (2, None, Some("w2"))]
        {
            fleet.at_server(number);
            at.push(fleet.connect().await);
            if let Some(name) = coordinator {
                fleet.start_coordinator_as(name);
            }
            if let Some(name) = worker {
                fleet.start_worker_with(name, WORKER, &[commits::LOG]);
            }
        }
        let split = Self { fleet, at };
        for vm in VMS {
            let body = json!({ "biological_type": "syn3a", "auto_start": true, "request_id": vm, "allocation": { "ribosomes": 5 } });
            ask_again(&split.at[0], &command("create", vm), &body, |made| made["status"] == "created").await;
        }
        split.places().await;
        split
    }

    /// Users at one server.
    async fn load(&mut self, server: usize, random: &mut Random) -> Load<()> {
        self.fleet.at_server(server);
        let mut load = Load::default();
        for number in 0..2 {
            let user = format!("user{number}-at-{server}");
            control::add_user(&mut load, &self.fleet, user, 5, random.fork()).await;
        }
        load
    }

    /// Has one server lead all streams: so it is decided whether a split costs the others an election.
    async fn lead_streams_at(&self, server: usize) {
        let (name, client) = (name_of(server), &self.at[server]);
        for stream in STREAMS {
            let to = json!({ "placement": { "preferred": name } });
            let info = format!("$JS.API.STREAM.INFO.{stream}");
            let is_led = |info: &Value| info["cluster"]["leader"].is_string();
            let found = ask_again(client, &info, &Value::Null, is_led).await;
            if found["cluster"]["leader"] != name {
                let step_down = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
                ask_again(client, &step_down, &to, |done| done["success"] == true).await;
                ask_again(client, &info, &Value::Null, |info| info["cluster"]["leader"] == name).await;
            }
        }
    }

    /// Waits until all of `VMS` run; where they are.
    async fn places(&self) -> Places {
        let mut places = Places::new();
        for vm in VMS {
            let runs = |now: &Value| now["state"] == "running";
            let now = ask_again(&self.at[1], &command("status", vm), &Value::Null, runs).await;
            places.insert(vm, (now["worker"].as_str().unwrap().to_owned(), now["generation"].to_string()));
        }
        places
    }

    fn split_off(&mut self, server: usize) -> u64 {
        self.fleet.cluster().routes().split_off(server);
        now_ns()
    }

    /// Mends all, and waits until everything is whole again without a hand; how long that takes. So many workers
    /// were given up until now.
    async fn mend(&mut self, given_up: u64) -> Places {
        self.fleet.cluster().routes().mend();
        let begun = Instant::now();
        for client in &self.at {
            first_accepted(client).await;
        }
        let accepted = begun.elapsed();
        let leads = leader(&self.at[2]).await;
        self.all_are_up_to_date().await;
        let all_live = |answer: &Value| {
            let workers = answer["workers"].as_array();
            workers.is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["state"] == "registered"))
        };
        ask_again(&self.at[0], "bioxen.v1.ops.tester.workers", &Value::Null, all_live).await;
        let places = self.places().await;
        println!(
            "  mended: accepting at every server after {accepted:.1?}, whole after {:.1?}; {leads} leads",
            begun.elapsed()
        );
        self.assert_clean().await;
        let filter = json!({ "subjects_filter": "bioxen.v1.audit.bioxen-fleet.expiry" });
        let info = ask_again(&self.at[0], "$JS.API.STREAM.INFO.BIOXEN_AUDIT", &filter, |info| {
            info["state"].is_object()
        });
        let counts = info.await["state"]["subjects"].clone();
        let found = counts.as_object().and_then(|all| all.values().next()?.as_u64()).unwrap_or_default();
        assert_eq!(found, given_up, "workers that were given up");
        places
    }

    async fn assert_clean(&self) {
        // Not every stream may have its leader yet.
        let is_done = |answer: &Value| code(answer) != "BX014";
        let verified = ask_until(&self.at[0], "bioxen.v1.ops.tester.verify", &Value::Null, is_done).await;
        assert_eq!(verified["clean"], true, "{verified:#}");
    }

    /// Waits until both coordinators answer from every server, and know as much as either did at first.
    async fn all_are_up_to_date(&self) {
        let begun = Instant::now();
        let mut least = None;
        for client in &self.at {
            loop {
                let indexes: Vec<u64> =
                    peers(client).await.iter().filter_map(|peer| peer["index"].as_u64()).collect();
                let least = *least.get_or_insert_with(|| indexes.iter().max().copied().unwrap_or(u64::MAX));
                if indexes.len() == 2 && indexes.iter().all(|index| *index >= least) {
                    break;
                }
                assert!(begun.elapsed() < START_PATIENCE, "{indexes:?}, expected two of {least} at least");
            }
        }
    }

    /// Nothing was committed by a worker that was cut off, once the lease that it had was over.
    fn assert_frozen(&self, worker: &str, cut_ns: u64, mended_ns: u64) -> f64 {
        let quanta = self.quanta();
        let latest_ns = cut_ns + u64::try_from((LEASE + UNDER_WAY).as_nanos()).unwrap();
        let late = commits::committed(&quanta, worker, latest_ns, mended_ns);
        assert_eq!(late, 0, "{worker} committed quanta that no lease covered");
        let before = |quantum: &&Quantum| quantum.worker == worker && quantum.at_ns < mended_ns;
        let last = quanta.iter().filter(before).rfind(|quantum| quantum.is_committed);
        last.map_or(0.0, |quantum| quantum.at_ns.saturating_sub(cut_ns) as f64 / 1e9)
    }

    fn quanta(&self) -> Vec<Quantum> {
        commits::of(&self.fleet, &WORKERS)
    }

    /// A coordinator that follows is alone: it alone notices.
    async fn a_follower_alone(&mut self) {
        self.have_lead(FIRST).await;
        let before = self.places().await;
        self.lead_streams_at(0).await;
        let last = last_leader_at(&self.at[0]).await;
        let cut_ns = self.split_off(1);
        tokio::time::sleep(SPLIT).await;
        let later_ns = now_ns();
        for server in [0, 2] {
            first_accepted(&self.at[server]).await;
        }
        for worker in WORKERS {
            let begun = Instant::now();
            while commits::committed(&self.quanta(), worker, later_ns, u64::MAX) == 0 {
                assert!(begun.elapsed() < START_PATIENCE, "{worker} stands still");
            }
        }
        println!("a follower was alone for {:.1} s", seconds(cut_ns, now_ns()));
        assert_eq!(leader(&self.at[0]).await, FIRST);
        assert_eq!(last_leader_at(&self.at[0]).await, last, "another began to lead");
        assert_eq!(self.mend(0).await, before);
    }

    /// Without any two servers that reach each other nobody has a quorum, and nobody is judged.
    async fn all_apart(&mut self) {
        let before = self.places().await;
        self.lead_streams_at(0).await;
        self.fleet.cluster().routes().split_all();
        let cut_ns = now_ns();
        tokio::time::sleep(SPLIT).await;
        let mended_ns = now_ns();
        println!("all were apart for {:.1} s", seconds(cut_ns, mended_ns));
        for worker in WORKERS {
            let after = self.assert_frozen(worker, cut_ns, mended_ns);
            println!("  {worker} committed last {after:.1} s after the cut");
        }
        assert_eq!(self.mend(0).await, before);
    }

    /// A worker alone is a lost worker: its VMs go on elsewhere.
    async fn a_worker_alone(&mut self) {
        self.lead_streams_at(0).await;
        let cut_ns = self.split_off(2);
        let places = self.all_at("w1").await;
        tokio::time::sleep(SPLIT.saturating_sub(Duration::from_nanos(now_ns() - cut_ns))).await;
        self.tell_loss("w2", cut_ns, now_ns());
        assert_eq!(self.mend(1).await, places);
    }

    /// The leader and a worker are on the smaller side: the larger one has a new leader, and goes on without them.
    async fn a_leader_and_a_worker_alone(&mut self) {
        self.have_lead(FIRST).await;
        self.lead_streams_at(0).await;
        let cut_ns = self.split_off(0);
        let begun = Instant::now();
        let (at_leader, beside) = tokio::join!(first_accepted(&self.at[1]), first_accepted(&self.at[2]));
        println!(
            "a leader and a worker were alone: accepted by the larger side after {:.1?} where it has a coordinator, {:.1?} elsewhere",
            at_leader - begun,
            beside - begun
        );
        let places = self.all_at("w2").await;
        assert_eq!(leader(&self.at[1]).await, SECOND);
        let url = self.fleet.cluster().url_of(0);
        let (read, change) = tokio::join!(
            told_by_cli(&url, &["status", "c1"]),
            told_by_cli(&url, &["allocate", "c1", "--ribosomes", "6"])
        );
        for (what, (took, exit_code, said)) in [("status", &read), ("allocate", &change)] {
            println!("  on the smaller side bioxen {what} ends with {exit_code:?} after {took:.1?}:\n{said}");
            assert_eq!(*exit_code, Some(5), "{said}");
            assert!(said.contains("[BX014] nothing was done: the journal stores nothing"), "{said}");
        }
        self.tell_loss("w1", cut_ns, now_ns());
        assert_eq!(self.mend(2).await, places);
    }

    /// Waits until all of `VMS` run on this worker.
    async fn all_at(&self, worker: &str) -> Places {
        for vm in VMS {
            let is_there = |now: &Value| now["state"] == "running" && now["worker"] == worker;
            ask_again(&self.at[1], &command("status", vm), &Value::Null, is_there).await;
        }
        self.places().await
    }

    fn tell_loss(&self, worker: &str, cut_ns: u64, until_ns: u64) {
        let after = self.assert_frozen(worker, cut_ns, until_ns);
        let mut replaced = commits::replaced_after_s(&self.quanta(), worker, cut_ns, until_ns);
        replaced.sort_by(f64::total_cmp);
        println!(
            "  {worker}, alone for {:.1} s, committed last {after:.1} s after the cut; its VMs elsewhere first after {:.1} s, last after {:.1} s",
            seconds(cut_ns, until_ns),
            replaced.first().copied().unwrap_or_default(),
            replaced.last().copied().unwrap_or_default()
        );
    }

    /// Hands the lead over to this coordinator, where the other has it.
    async fn have_lead(&mut self, name: &str) {
        let leads = leader(&self.at[2]).await;
        if leads != name {
            self.fleet.stop_coordinator_as(&leads);
            assert_eq!(leader(&self.at[2]).await, name);
            self.fleet.at_server(1);
            self.fleet.start_coordinator_as(&leads);
        }
    }
}

fn command(verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.alice.{verb}.{vm}")
}

fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

/// The last record of the audit trail that says who leads.
async fn last_leader_at(client: &Client) -> Value {
    let last = json!({ "last_by_subj": "bioxen.v1.audit.bioxen-fleet.leader" });
    let get = "$JS.API.STREAM.MSG.GET.BIOXEN_AUDIT";
    ask_again(client, get, &last, |found| found["message"].is_object()).await["message"]["seq"].clone()
}

/// What a person is told who has this server alone: after how long, with which exit code, in which words.
async fn told_by_cli(url: &str, arguments: &[&str]) -> (Duration, Option<i32>, String) {
    let mut command = program("bioxen");
    command.args(["--url", url, "--user", "alice"]).args(arguments);
    let begun = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (begun.elapsed(), output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A fleet at work.
struct Work {
    split: Split,
    begun: Instant,
    /// Users at the first server, and at the third.
    loads: [Load<()>; 2],
}

impl Work {
    async fn begin() -> Self {
        let begun = Instant::now();
        let mut split = Split::start().await;
        let mut random = Random::from_environment();
        let loads = [split.load(0, &mut random).await, split.load(2, &mut random).await];
        println!("a fleet on three servers after {:.1?}", begun.elapsed());
        Self { split, begun, loads }
    }

    /// What was answered is what was done, and no VM was computed twice at a time or went through time without being computed.
    async fn end(self) {
        let Self { split, begun, loads } = self;
        let mut all = Vec::new();
        for (server, load) in ["first", "third"].into_iter().zip(loads) {
            let (answers, _) = load.end().await;
            println!("users at the {server} server: {answers}");
            all.push(answers);
        }
        split.assert_clean().await;
        for answers in &all {
            assert_once_each(&split.at[0], &answers.accepted).await;
        }
        let quanta = split.quanta();
        let generations = commits::assert_no_overlap(&quanta);
        let furthest = commits::furthest_step_ticks(&quanta);
        assert!(
            furthest <= MOST_TICKS,
            "a cell went {furthest} ticks further at once: standing still counted"
        );
        println!(
            "{} quanta, {generations} changes of generation, none overlapping; {:.1?} in all",
            quanta.len(),
            begun.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nobody_is_given_up_and_a_follower_that_is_alone_disturbs_nobody() {
    let mut work = Work::begin().await;
    work.split.a_follower_alone().await;
    work.split.all_apart().await;
    work.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_or_a_leader_on_the_smaller_side_is_replaced_and_no_vm_runs_twice() {
    let mut work = Work::begin().await;
    work.split.a_worker_alone().await;
    work.split.a_leader_and_a_worker_alone().await;
    work.end().await;
}
