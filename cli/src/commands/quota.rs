//! `bioxen quota`: one's own limits and use; operators show and set those of others.

use bioxen_protocol::command::SetQuota;
use bioxen_protocol::id::{RequestId, UserId};
use bioxen_protocol::quantity::AtpPercent;
use bioxen_protocol::reply::Quota;
use clap::{Args, Subcommand};

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    #[command(subcommand)]
    what: Option<What>,
}

impl QuotaArgs {
    pub(super) fn names_its_own_account(&self) -> bool {
        self.what.is_none()
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// A user's limits and use (operators)
    Show { user: UserId },
    /// Set a user's limits; what is not given stays (operators)
    Set(SetArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true, id = "limits", args = ["max_vms", "max_queued", "max_atp", "max_ribosomes", "max_commands_per_second"])]
struct SetArgs {
    user: UserId,
    /// VMs that hold a slot
    #[arg(long)]
    max_vms: Option<u64>,
    /// VMs that wait in the user's backlog
    #[arg(long)]
    max_queued: Option<u64>,
    /// Sum of ATP percent over the user's VMs
    #[arg(long, value_name = "PERCENT", value_parser = super::create::from_json_text::<AtpPercent>)]
    max_atp: Option<AtpPercent>,
    /// Sum of ribosome units
    #[arg(long)]
    max_ribosomes: Option<u64>,
    #[arg(long)]
    max_commands_per_second: Option<u64>,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

pub(crate) async fn run(session: &Session, args: QuotaArgs) -> Result<(), Failure> {
    let quota = match args.what {
        None => session.client.quota().await?,
        Some(What::Show { user }) => session.operator.quota(&user).await?,
        Some(What::Set(args)) => {
            let limits = SetQuota {
                request_id: args.request_id,
                max_vms: args.max_vms,
                max_queued: args.max_queued,
                max_atp_percentage: args.max_atp,
                max_ribosomes: args.max_ribosomes,
                max_commands_per_second: args.max_commands_per_second,
            };
            session.operator.set_quota(&args.user, &limits).await?
        }
    };
    Ok(render::show(session.json, &quota, text)?)
}

fn text(quota: &Quota) -> String {
    let unlimited = |limit: Option<String>| limit.unwrap_or_else(|| "unlimited".to_owned());
    let row = |name: &str, used: String, limit: String| vec![name.to_owned(), used, limit];
    let percent = |amount: AtpPercent| amount.percent().to_string();
    let rows = [
        row("VMs", quota.used.slots.to_string(), quota.max_vms.to_string()),
        row("queued", quota.queued.to_string(), quota.max_queued.to_string()),
        row(
            "ATP percent",
            percent(quota.used.atp_percentage),
            unlimited(quota.max_atp_percentage.map(percent)),
        ),
        row(
            "ribosome units",
            quota.used.ribosomes.to_string(),
            unlimited(quota.max_ribosomes.map(|limit| limit.to_string())),
        ),
        row(
            "commands a second",
            "-".to_owned(),
            unlimited(quota.max_commands_per_second.map(|limit| limit.to_string())),
        ),
    ];
    render::table(&[quota.user.as_str(), "used", "limit"], &rows)
}
