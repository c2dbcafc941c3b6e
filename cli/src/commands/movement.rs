//! `worker` and `move`: operators take workers out of service and say where VMs shall run.

use bioxen_protocol::id::{VmId, WorkerId};
use bioxen_protocol::reply::Moving;
use clap::{Args, Subcommand};

use super::{Session, operator};
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(subcommand)]
    what: WorkerWhat,
}

#[derive(Debug, Subcommand)]
enum WorkerWhat {
    /// Every worker, what it holds, and whether it takes VMs
    List,
    /// Have a worker take no more VMs; those that it has stay
    Cordon { worker: WorkerId },
    /// Have it take VMs again
    Uncordon { worker: WorkerId },
    /// Cordon it, and have its VMs move to other workers
    Drain { worker: WorkerId },
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The VM to move
    vm: VmId,
    /// The worker that it goes to; without it the fleet chooses
    #[arg(long, value_name = "WORKER")]
    to: Option<WorkerId>,
}

pub(crate) async fn worker(session: &Session, args: WorkerArgs) -> Result<(), Failure> {
    let (verb, worker) = match args.what {
        WorkerWhat::List => return operator::workers(session).await,
        WorkerWhat::Cordon { worker } => ("cordon", worker),
        WorkerWhat::Uncordon { worker } => ("uncordon", worker),
        WorkerWhat::Drain { worker } => ("drain", worker),
    };
    let list = session.operator.cordon(verb, &worker).await?;
    Ok(render::show(session.json, &list, operator::workers_text)?)
}

pub(crate) async fn move_vm(session: &Session, args: MoveArgs) -> Result<(), Failure> {
    let user = session.client.user().clone();
    let moving = session.operator.move_vm(&user, &args.vm, args.to).await?;
    Ok(render::show(session.json, &moving, moving_text)?)
}

fn moving_text(moving: &Moving) -> String {
    let Moving { vm_id, state, from, to, .. } = moving;
    let to = to.as_ref().map_or_else(|| "another worker".to_owned(), WorkerId::to_string);
    format!("{vm_id} {state}, moves from {from} to {to}: the event `moved` says when it is there")
}
