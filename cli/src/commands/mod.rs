//! The commands that talk to a fleet: a file a verb, or a small group that shares its shape.

pub(crate) mod advice;
pub(crate) mod allocate;
pub(crate) mod audit;
pub(crate) mod chassis;
pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod movement;
pub(crate) mod operator;
pub(crate) mod package;
pub(crate) mod plot;
pub(crate) mod process;
pub(crate) mod quota;
pub(crate) mod read;
pub(crate) mod results;
mod sealing;
pub(crate) mod storage;
pub(crate) mod sweep;
pub(crate) mod watch;
pub(crate) mod xcpng;

use bioxen_protocol::client::{Client, OperatorClient};
use bioxen_protocol::command::Verb;

use crate::args::{Command, Connection};
use crate::exit::Failure;

/// A connection, and how its answers are shown.
pub(crate) struct Session {
    client: Client,
    operator: OperatorClient,
    json: bool,
}

impl Session {
    async fn open(connection: &Connection, command: &Command) -> Result<Self, Failure> {
        let user = if names_its_own_account(command) {
            connection.user()?
        } else {
            connection.operator_as_user()?
        };
        let client = Client::connect(&connection.url, user).await?;
        let operator = client.operator(connection.operator.clone());
        Ok(Self { client, operator, json: connection.json })
    }
}

/// Whether the command concerns the VMs or the account of whoever asks; otherwise no user need be named.
fn names_its_own_account(command: &Command) -> bool {
    match command {
        Command::Workers
        | Command::Worker(_)
        | Command::Snapshot
        | Command::Backup(_)
        | Command::Ledger(_)
        | Command::Package(_) => false,
        Command::Audit(args) => args.names_its_own_account(),
        Command::Quota(args) => args.names_its_own_account(),
        _ => true,
    }
}

/// Connects and carries out one command.
pub(crate) async fn run(connection: Connection, command: Command) -> Result<(), Failure> {
    if let Command::Ledger(args) = &command
        && let Some(dir) = args.offline()
    {
        return operator::verify_offline(dir, &connection.url, connection.json).await;
    }
    if let Command::Plot(args) = &command
        && let Some(file) = args.file()
    {
        return plot::of_file(args, file);
    }
    if let Command::Package(args) = &command
        && args.begin(connection.json)?
    {
        return Ok(());
    }
    if let Command::Backup(args) = command {
        return storage::run(&connection, args).await;
    }
    let session = Session::open(&connection, &command).await?;
    match command {
        Command::Create(args) => create::run(&session, *args).await,
        Command::List(args) => list::run(&session, args).await,
        Command::Start(args) => lifecycle::start(&session, args).await,
        Command::Stop(args) => lifecycle::waiting(&session, Verb::Stop, args).await,
        Command::Pause(args) => lifecycle::waiting(&session, Verb::Pause, args).await,
        Command::Resume(args) => lifecycle::waiting(&session, Verb::Resume, args).await,
        Command::Destroy(args) => lifecycle::waiting(&session, Verb::Destroy, args).await,
        Command::Status(args) => read::of_vm(&session, Verb::Status, &args).await,
        Command::Resources(args) => read::of_vm(&session, Verb::Resources, &args).await,
        Command::Metrics(args) => read::of_vm(&session, Verb::Metrics, &args).await,
        Command::Allocate(args) => allocate::run(&session, args).await,
        Command::Execute(args) => process::execute(&session, args).await,
        Command::Transcription(args) => process::transcription(&session, args).await,
        Command::Operons(args) => process::operons(&session, args).await,
        Command::Checkpoint(args) => checkpoint::checkpoint(&session, args).await,
        Command::Restore(args) => checkpoint::restore(&session, args).await,
        Command::Install(args) => package::install(&session, args).await,
        Command::Package(args) => package::run(&session, args).await,
        Command::Optimize(args) => advice::optimize(&session, args).await,
        Command::Recommendations(args) => read::of_vm(&session, Verb::Recommendations, &args).await,
        Command::Monitor(args) => advice::monitor(&session, args).await,
        Command::History(args) => advice::history(&session, args).await,
        Command::Results(args) => results::run(&session, args).await,
        Command::Plot(args) => plot::run(&session, args).await,
        Command::Sweep(args) => sweep::run(&session, args).await,
        Command::Watch(args) => watch::run(&session, args).await,
        Command::Audit(args) => audit::run(&session, args).await,
        Command::Workers => operator::workers(&session).await,
        Command::Snapshot => storage::snapshot(&session).await,
        Command::Worker(args) => movement::worker(&session, args).await,
        Command::Move(args) => movement::move_vm(&session, args).await,
        Command::Quota(args) => quota::run(&session, args).await,
        Command::Fleet => read::of_fleet(&session, Verb::Fleet).await,
        Command::Performance => read::of_fleet(&session, Verb::Performance).await,
        Command::Ledger(_) => operator::verify(&session).await,
        Command::Backup(_)
        | Command::Chassis(_)
        | Command::Dev(_)
        | Command::Demo(_)
        | Command::Simulate(_)
        | Command::Xcpng(_) => {
            Err(Failure::other("this command needs no fleet and is carried out before one is asked"))
        }
    }
}
