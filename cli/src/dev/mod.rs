//! `bioxen dev`: a whole fleet on this machine, until interrupted.
//!
//! ```text
//!  bioxen dev --starts--> nats-server --> bioxen-coordinator x N --> bioxen-worker x N
//!             --stops---> workers, coordinator, nats-server; if we are killed, the kernel kills them
//! ```
//!
//! It starts programs and reads what they print; it must not decide anything that they decide.

mod config;
mod data;
mod programs;

use std::path::PathBuf;

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::InvalidId;
use bioxen_protocol::subject::Subject;
use clap::Args;
use tokio::process::Command;

use crate::children::{Children, Line, asked_to_end};
use crate::dev::config::DevConfig;
use crate::dev::data::DataDir;
use crate::dev::programs::Programs;
use crate::exit::Failure;
use crate::render::{self, line};

const NATS: &str = "nats-server";
const COORDINATOR: &str = "coordinator";
/// What the programs print once they are there; the run that prints it is the run that counts.
const NATS_LISTENS: &str = "Listening for client connections on ";
const NATS_MONITORS: &str = "Starting http monitor on ";
const NATS_READY: &str = "Server is ready";
const OURS: &str = "bioxen-";
const LEADS: &str = "bioxen-coordinator leads";
const FOLLOWS: &str = "bioxen-coordinator follows";
const REGISTERED: &str = "bioxen-worker registered";

/// Prints `bioxen ready ..` once commands are served, then runs until interrupted.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// NATS port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 4222)]
    port: u16,
    /// Where journal, ledger and logs are kept; a later start goes on from there
    #[arg(long, default_value = "bioxen-data")]
    data: PathBuf,
    /// How many coordinators: one leads, the others take over where it ends
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5))]
    coordinators: u16,
    /// How many workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// TOML with [resources] and [worker]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of chassis packs beside the program's own
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// One setting over the file's, as resources.global_atp_limit=1000; repeatable
    #[arg(long, value_name = "SECTION.NAME=VALUE")]
    set: Vec<String>,
}

pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    let config = DevConfig::read(args.config.as_deref(), &args.set)?;
    let programs = Programs::find()?;
    let data = DataDir::lock(&args.data)?;
    data.write_files(&config, args.port)?;
    let mut children = Children::new(&data.logs())?;
    let done = tokio::select! {
        asked = asked_to_end() => asked.map_err(Failure::from),
        failure = serve(&mut children, &programs, &data, &args) => Err(failure),
    };
    let workers = children.stop(|name| name != NATS && !name.starts_with(COORDINATOR)).await;
    let coordinator = children.stop(|name| name.starts_with(COORDINATOR)).await;
    let nats = children.stop(|_| true).await;
    done.and(workers).and(coordinator).and(nats)
}

/// Brings the fleet up, says so, and returns only when something went wrong.
async fn serve(children: &mut Children, programs: &Programs, data: &DataDir, args: &DevArgs) -> Failure {
    match bring_up(children, programs, data, args).await {
        Ok(()) => children.watch().await,
        Err(failure) => failure,
    }
}

async fn bring_up(
    children: &mut Children,
    programs: &Programs,
    data: &DataDir,
    args: &DevArgs,
) -> Result<(), Failure> {
    let workers = args.workers;
    let packs = || args.packs.iter().flat_map(|packs| ["--packs".as_ref(), packs.as_os_str()]);
    let mut nats = Command::new(&programs.nats_server);
    nats.arg("--config").arg(data.nats_conf());
    children.start(NATS, nats).await?;
    let mut address = None;
    let mut monitor = None;
    let ready = children.until("nats-server to be ready", |line| {
        if let Some((_, listens)) = line.text.split_once(NATS_LISTENS) {
            address = Some(format!("nats://{}", listens.trim()));
        }
        if let Some((_, monitors)) = line.text.split_once(NATS_MONITORS) {
            monitor = Some(format!("http://{}", monitors.trim()));
        }
        line.text.contains(NATS_READY).then(|| address.clone().zip(monitor.clone())).flatten()
    });
    let (url, monitoring_url) = ready.await?;

    for number in 1..=args.coordinators {
        let mut coordinator = Command::new(&programs.coordinator);
        coordinator.args(["--url", &url, "--http-port", "0", "--monitoring-url", &monitoring_url]);
        coordinator
            .arg("--name")
            .arg(format!("{COORDINATOR}-{number}"))
            .arg("--data")
            .arg(data.ledger(number));
        coordinator.arg("--config").arg(data.coordinator_toml()).args(packs());
        children.start(&child_of(number), coordinator).await?;
    }
    for number in 1..=workers {
        let name = format!("worker-{number}");
        let mut worker = Command::new(&programs.worker);
        worker.args(["--url", &url, "--http-port", "0", "--name", &name]);
        worker.arg("--config").arg(data.worker_toml()).args(packs());
        children.start(&name, worker).await?;
    }
    let mut up = Up { coordinators: usize::from(args.coordinators), ..Up::default() };
    let all = || format!("a leading coordinator and {workers} registered workers");
    let up = children.until(&all(), move |line| up.saw(line, usize::from(workers))).await?;
    announce(&url, data, &up).map_err(Failure::other)
}

/// The first keeps the plain name, in the list of parts and in its log.
fn child_of(number: u16) -> String {
    if number == 1 { COORDINATOR.to_owned() } else { format!("{COORDINATOR}-{number}") }
}

/// What the children of this run have said of themselves.
#[derive(Debug, Default, Clone)]
struct Up {
    /// How many shall lead or follow.
    coordinators: usize,
    leads: bool,
    /// Those that lead or follow.
    joined: Vec<String>,
    registered: Vec<String>,
    /// (child, address)
    metrics: Vec<(String, String)>,
}

impl Up {
    fn saw(&mut self, line: &Line, workers: usize) -> Option<Self> {
        if !line.text.starts_with(OURS) {
            return None;
        }
        self.leads |= line.text.starts_with(LEADS);
        let has_joined = line.text.starts_with(LEADS) || line.text.starts_with(FOLLOWS);
        if has_joined && !self.joined.contains(&line.child) {
            self.joined.push(line.child.clone());
        }
        if line.text.starts_with(REGISTERED) && !self.registered.contains(&line.child) {
            self.registered.push(line.child.clone());
        }
        let metrics = line.text.split_whitespace().find_map(|word| word.strip_prefix("metrics="));
        self.metrics.extend(metrics.map(|at| (line.child.clone(), at.to_owned())));
        (self.leads && self.joined.len() >= self.coordinators && self.registered.len() >= workers)
            .then(|| self.clone())
    }
}

fn announce(url: &str, data: &DataDir, up: &Up) -> Result<(), String> {
    let mut rows: Vec<Vec<String>> =
        up.metrics.iter().map(|(name, at)| vec![name.clone(), at.clone()]).collect();
    rows.sort();
    rows.push(vec!["NATS".to_owned(), url.to_owned()]);
    rows.push(vec!["logs".to_owned(), data.logs().display().to_string()]);
    let [create, start, metrics] = pasted(url).map_err(|error| error.to_string())?;
    let told = [
        render::table(&["part", "where"], &rows),
        format!("Paste with any NATS client:\n  {create}\n  {start}\n  {metrics}"),
        format!("bioxen ready url={url} workers={}", up.registered.len()),
    ];
    told.iter().try_for_each(|text| line(text)).map_err(|error| error.to_string())
}

/// A first cell, as one types it for the `nats` command.
fn pasted(url: &str) -> Result<[String; 3], InvalidId> {
    let (user, vm): (bioxen_protocol::id::UserId, bioxen_protocol::id::VmId) =
        ("alice".parse()?, "c1".parse()?);
    let request = |verb, body: &str| {
        let subject = Subject::Command { user: user.clone(), verb, vm: Some(vm.clone()) };
        format!("nats --server {url} req {subject} '{body}'")
    };
    Ok([
        request(Verb::Create, r#"{"biological_type":"syn3a"}"#),
        request(Verb::Start, "{}"),
        request(Verb::Metrics, "{}"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(child: &str, text: &str) -> Line {
        Line { child: child.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn ready_means_a_leader_and_every_worker_of_this_run() {
        let mut up = Up::default();
        assert!(up.saw(&line_of("worker-1", "bioxen-worker registered name=worker-1 boot=b1"), 2).is_none());
        assert!(up.saw(&line_of("worker-1", "bioxen-worker registered name=worker-1 boot=b1"), 2).is_none());
        let metrics = "bioxen-coordinator metrics=http://127.0.0.1:40001/metrics";
        assert!(up.saw(&line_of("coordinator", metrics), 2).is_none());
        assert!(up.saw(&line_of("coordinator", "bioxen-coordinator leads epoch=3"), 2).is_none());
        let all = up.saw(&line_of("worker-2", "bioxen-worker registered name=worker-2 boot=b2"), 2).unwrap();
        assert_eq!(all.metrics, [("coordinator".to_owned(), "http://127.0.0.1:40001/metrics".to_owned())]);
    }

    #[test]
    fn the_lines_to_paste_are_commands_of_the_contract() {
        let [create, ..] = pasted("nats://127.0.0.1:4222").unwrap();
        assert_eq!(
            create,
            "nats --server nats://127.0.0.1:4222 req bioxen.v1.cmd.alice.create.c1 '{\"biological_type\":\"syn3a\"}'"
        );
    }
}
