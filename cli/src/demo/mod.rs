//! `bioxen demo`: a fleet of its own, driven through plain NATS messages and JSON as any client would, each shown.

mod bus;
mod story;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use tokio::process::Command;

use crate::children::{Children, asked_to_end};
use crate::demo::bus::Bus;
use crate::exit::Failure;
use crate::render::line;

const DEV: &str = "bioxen-dev";
/// The whole story takes well under a minute; beyond this something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

pub(crate) async fn run(_: DemoArgs) -> Result<(), Failure> {
    let data = tempfile::Builder::new().prefix("bioxen-demo-").tempdir()?;
    let mut children = Children::new(&data.path().join("demo-logs"))?;
    let told = tokio::select! {
        asked = asked_to_end() => asked.map_err(Failure::from).and(Err(Failure::other("interrupted"))),
        told = tokio::time::timeout(PATIENCE, tell(&mut children, data.path())) => told.unwrap_or_else(|_| {
            Err(Failure::other(format!("the demonstration took longer than {} s", PATIENCE.as_secs())))
        }),
    };
    let stopped = children.stop(|_| true).await;
    told.and(stopped)?;
    Ok(line("\nThe fleet has stopped, and nothing of it is left. `make dev` runs one to play with.")?)
}

async fn tell(children: &mut Children, data: &Path) -> Result<(), Failure> {
    line("Starting a fleet: nats-server, a coordinator, two workers ..")?;
    let mut dev = Command::new(std::env::current_exe()?);
    dev.args(["dev", "--port", "0", "--data"]).arg(data.join("fleet"));
    children.start(DEV, dev).await?;
    let url = children.until("the fleet to be ready", |line| {
        let said = line.text.strip_prefix("bioxen ready ")?;
        said.split_whitespace().find_map(|word| word.strip_prefix("url=")).map(str::to_owned)
    });
    let url = url.await?;
    line(&format!("It is ready at {url}. What follows are requests that any NATS client can send."))?;
    let bus = Bus::connect(&url).await?;
    tokio::select! {
        told = story::tell(bus) => told,
        failure = children.watch() => Err(failure),
    }
}
