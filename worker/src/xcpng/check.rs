//! Trying a pool, step by step, and saying which step works: what `bioxen xcpng check` shows.
//!
//! Without `clone` it changes nothing on the pool. With it, a guest is brought up, spoken to and destroyed.

use std::future::Future;
use std::time::Duration;

use super::channel::Program;
use super::deadline::Deadline;
use super::fault::XcpngError;
use super::guests::{Guests, Order, Up};
use super::pool::Pool;
use super::record::Fields;

const STEP: Duration = Duration::from_secs(30);

/// One step and how it went: what was found, or why it did not work.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: &'static str,
    pub outcome: Result<String, XcpngError>,
}

/// A guest that a pool is tried with, and what has to answer in it.
#[derive(Debug, Clone)]
pub struct Scratch {
    pub order: Order,
    pub program: Program,
}

/// Tries a pool and tells each step as it ends. Stops at the first that does not work, for the rest would say the same.
/// With `scratch`, a guest is made, spoken to and destroyed, the latter also where it did not answer. True where all worked.
pub async fn check(guests: &Guests, scratch: Option<&Scratch>, mut tell: impl FnMut(Step)) -> bool {
    let mut steps = Steps { tell: &mut tell, good: true };
    steps.step("log in", login(guests.pool())).await;
    steps.step("events", events(guests.pool())).await;
    steps.step("template", template(guests)).await;
    steps.step("network", network(guests)).await;
    steps.step("storage repository", repository(guests)).await;
    let Some(Scratch { order, program }) = scratch.filter(|_| steps.good) else { return steps.good };
    let mut up = None;
    steps.step("clone, start, address", bring_up(guests, order, &mut up)).await;
    if let Some(up) = &up {
        steps.step("bioxen-guest over SSH", answer(guests, up, program)).await;
    }
    // Also where that failed: what was begun must not stay.
    let good = std::mem::replace(&mut steps.good, true);
    steps.step("destroy", destroy(guests, order)).await;
    steps.good && good
}

struct Steps<'a> {
    tell: &'a mut dyn FnMut(Step),
    good: bool,
}

impl Steps<'_> {
    async fn step(&mut self, name: &'static str, work: impl Future<Output = Result<String, XcpngError>>) {
        if !self.good {
            return;
        }
        let outcome = work.await;
        self.good = outcome.is_ok();
        (self.tell)(Step { name, outcome });
    }
}

async fn login(pool: &Pool) -> Result<String, XcpngError> {
    let deadline = Deadline::within(STEP);
    let pools = pool.call("pool.get_all_records", &[], deadline).await?;
    let record = pools.as_object().and_then(|pools| pools.values().next());
    let record = record.ok_or_else(|| XcpngError::Answer {
        host: pool.name().to_owned(),
        method: "pool.get_all_records".to_owned(),
        what: "no pool".to_owned(),
    })?;
    let fields = Fields::new(record, "pool.get_all_records");
    Ok(format!(
        "as {} at the pool {:?} ({})",
        pool.settings().username,
        fields.text("name_label")?,
        fields.text("uuid")?
    ))
}

async fn events(pool: &Pool) -> Result<String, XcpngError> {
    let deadline = Deadline::within(STEP);
    let mut changes = pool.seen().changes();
    while !pool.seen().knows_all() {
        // The sender lives as long as the pool.
        let _ = deadline.bound("the first events", changes.changed()).await?;
    }
    Ok("they arrive".to_owned())
}

async fn template(guests: &Guests) -> Result<String, XcpngError> {
    let template = guests.template(Deadline::within(STEP)).await?;
    Ok(format!("{} ({}), {} disks and drives", template.name, template.uuid, template.vbds.len()))
}

async fn network(guests: &Guests) -> Result<String, XcpngError> {
    let deadline = Deadline::within(STEP);
    let Some(network) = guests.network(deadline).await? else {
        return Ok("that of the template's first interface".to_owned());
    };
    let record = guests.pool().get("network.get_record", &network, deadline).await?;
    Ok(Fields::new(&record, "network.get_record").text("name_label")?.to_owned())
}

async fn repository(guests: &Guests) -> Result<String, XcpngError> {
    let deadline = Deadline::within(STEP);
    let Some(repository) = guests.repository(deadline).await? else {
        return Ok("the template's own".to_owned());
    };
    let record = guests.pool().get("SR.get_record", &repository, deadline).await?;
    let fields = Fields::new(&record, "SR.get_record");
    let free = fields.integer("physical_size")? - fields.integer("physical_utilisation")?;
    Ok(format!("{}, {} GiB free", fields.text("name_label")?, free / (1 << 30)))
}

async fn bring_up(guests: &Guests, order: &Order, up: &mut Option<Up>) -> Result<String, XcpngError> {
    let up = up.insert(guests.bring_up(order).await?);
    Ok(format!("{} at {}", up.guest.name, up.address))
}

/// The program is copied in and says hello. It ends with its channel.
async fn answer(guests: &Guests, up: &Up, program: &Program) -> Result<String, XcpngError> {
    let channel = guests.channel(up, program).await?;
    let found =
        format!("version {} answers, logged in as {}", channel.version(), guests.pool().settings().ssh_user);
    channel.close().await;
    Ok(found)
}

async fn destroy(guests: &Guests, order: &Order) -> Result<String, XcpngError> {
    let count = guests.destroy(&order.key, order.generation).await?;
    Ok(format!("{count} guests, with their disks"))
}
