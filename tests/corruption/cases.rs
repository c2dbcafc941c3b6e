//! The corruptions, each with where it must be found.

use std::path::Path;
use std::pin::Pin;

use async_nats::Client;
use bioxen_coordinator::fleet::account::UserLimits;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::fleet::idempotency::Remembered;
use bioxen_coordinator::fleet::rows::{AccountRow, Head};
use bioxen_coordinator::fleet::vm::Vm;
use bioxen_coordinator::fleet::worker::Worker;
use bioxen_coordinator::journal::{Batch, Hash, JournalBatch};
use bioxen_coordinator::ledger::RowKey;
use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::state::VmState;

use crate::store::{batches, delete_from_journal};
use crate::tamper::{ledger_index, publish_to_journal, read, row, write_rows};

/// Where a corruption must be reported.
#[derive(Debug)]
pub(crate) struct Planted {
    pub(crate) place: &'static str,
    pub(crate) account: String,
    pub(crate) index: u64,
}

fn planted(place: &'static str, account: &str, index: u64) -> Planted {
    Planted { place, account: account.to_owned(), index }
}

/// What a coordinator must do with it.
pub(crate) enum Start {
    /// It names these, and an index.
    Refuses(&'static [&'static str]),
    /// Its verification reports the same as the one offline.
    Leads,
    Heals,
}

type Planting<'a> = Pin<Box<dyn Future<Output = Planted> + Send + 'a>>;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) plant: for<'a> fn(&'a Client, &'a Path) -> Planting<'a>,
    pub(crate) start: Start,
}

macro_rules! cases {
    ($($plant:ident $start:expr,)*) => {
        pub(crate) fn all() -> Vec<Case> {
            vec![$(Case {
                name: stringify!($plant),
                plant: |client, ledger| Box::pin($plant(client, ledger)),
                start: $start,
            },)*]
        }
    };
}

cases! {
    a_vm_in_another_state Start::Leads,
    a_vm_that_holds_more Start::Refuses(&["alice"]),
    a_vm_and_its_account_that_hold_more Start::Leads,
    a_vm_with_another_allocation Start::Leads,
    a_vm_row_deleted Start::Refuses(&["bob"]),
    a_vm_row_deleted_that_held_nothing Start::Leads,
    a_vm_row_added Start::Refuses(&["mallory"]),
    an_account_with_other_limits Start::Leads,
    an_account_row_deleted Start::Refuses(&["carol"]),
    a_request_with_another_digest Start::Leads,
    a_request_row_deleted Start::Leads,
    a_worker_with_another_capacity Start::Leads,
    a_head_that_is_ahead Start::Refuses(&["head"]),
    a_row_that_does_not_decode Start::Refuses(&["bob/created"]),
    a_journal_message_deleted_in_the_middle Start::Leads,
    many_journal_messages_deleted_in_the_middle Start::Refuses(&["entries are missing"]),
    the_last_journal_messages_deleted Start::Heals,
    a_journal_message_altered Start::Refuses(&["chain breaks"]),
    a_journal_forged_from_a_message_on Start::Refuses(&["tell different stories"]),
    two_journal_messages_in_the_wrong_order Start::Refuses(&["entries are missing"]),
    a_journal_message_twice Start::Refuses(&["repeats itself"]),
    a_foreign_message_in_the_journal Start::Refuses(&["cannot be decoded"]),
    an_audit_record_forged_at_the_end Start::Leads,
}

fn vm(user: &str, vm: &str) -> RowKey {
    RowKey::Vm { user: user.to_owned(), vm: vm.to_owned() }
}

fn request(user: &str, request: &str) -> RowKey {
    RowKey::Request { user: user.to_owned(), request: request.to_owned() }
}

async fn change_vm(client: &Client, ledger: &Path, key: RowKey, change: impl FnOnce(&mut Vm)) -> u64 {
    let mut vm: Vm = read(ledger, &key);
    change(&mut vm);
    let index = vm.index;
    write_rows(client, ledger, vec![row(key, &vm)]).await;
    index
}

async fn a_vm_in_another_state(client: &Client, ledger: &Path) -> Planted {
    let key = vm("alice", "created");
    let index = change_vm(client, ledger, key, |vm| vm.state = VmState::Stopped).await;
    planted("ledger", "alice", index)
}

async fn a_vm_that_holds_more(client: &Client, ledger: &Path) -> Planted {
    let index = change_vm(client, ledger, vm("alice", "ran"), |vm| vm.held.ribosomes += 1).await;
    planted("ledger", "alice", index)
}

async fn a_vm_and_its_account_that_hold_more(client: &Client, ledger: &Path) -> Planted {
    let (key, account_key) = (vm("alice", "ran"), RowKey::Account("alice".to_owned()));
    let (mut vm, mut account): (Vm, AccountRow) = (read(ledger, &key), read(ledger, &account_key));
    vm.held.atp_millipercent += 500;
    account.held.atp_millipercent += 500;
    write_rows(client, ledger, vec![row(key, &vm), row(account_key, &account)]).await;
    planted("ledger", "alice", vm.index)
}

async fn a_vm_with_another_allocation(client: &Client, ledger: &Path) -> Planted {
    let index = change_vm(client, ledger, vm("carol", "ran"), |vm| vm.allocation.memory_kb -= 1).await;
    planted("ledger", "carol", index)
}

async fn a_vm_row_deleted(client: &Client, ledger: &Path) -> Planted {
    let gone: Vm = read(ledger, &vm("bob", "paused"));
    write_rows(client, ledger, vec![(vm("bob", "paused"), None)]).await;
    planted("ledger", "bob", gone.index)
}

async fn a_vm_row_deleted_that_held_nothing(client: &Client, ledger: &Path) -> Planted {
    let gone: Vm = read(ledger, &vm("bob", "gone"));
    write_rows(client, ledger, vec![(vm("bob", "gone"), None)]).await;
    planted("ledger", "bob", gone.index)
}

async fn a_vm_row_added(client: &Client, ledger: &Path) -> Planted {
    let mut more: Vm = read(ledger, &vm("bob", "gone"));
    more.key.user = "mallory".parse().unwrap();
    write_rows(client, ledger, vec![row(vm("mallory", "gone"), &more)]).await;
    planted("ledger", "mallory", more.index)
}

/// The last index of an account's VMs.
fn account_index(ledger: &Path, user: &str, vms: &[&str]) -> u64 {
    vms.iter().map(|name| read::<Vm>(ledger, &vm(user, name)).index).max().unwrap()
}

async fn an_account_with_other_limits(client: &Client, ledger: &Path) -> Planted {
    let key = RowKey::Account("carol".to_owned());
    let mut account: AccountRow = read(ledger, &key);
    account.limits = UserLimits { max_vms: Some(99), ..account.limits };
    let index = account_index(ledger, "carol", &["created", "ran", "waiting"]);
    write_rows(client, ledger, vec![row(key, &account)]).await;
    planted("ledger", "carol", index)
}

async fn an_account_row_deleted(client: &Client, ledger: &Path) -> Planted {
    let index = account_index(ledger, "carol", &["created", "ran", "waiting"]);
    write_rows(client, ledger, vec![(RowKey::Account("carol".to_owned()), None)]).await;
    planted("ledger", "carol", index)
}

async fn a_request_with_another_digest(client: &Client, ledger: &Path) -> Planted {
    let key = request("bob", "start-paused");
    let mut known: Remembered = read(ledger, &key);
    known.digest = known.digest.chars().rev().collect();
    write_rows(client, ledger, vec![row(key, &known)]).await;
    planted("ledger", "bob", known.index)
}

async fn a_request_row_deleted(client: &Client, ledger: &Path) -> Planted {
    let known: Remembered = read(ledger, &request("alice", "create-ran"));
    write_rows(client, ledger, vec![(request("alice", "create-ran"), None)]).await;
    planted("ledger", "alice", known.index)
}

async fn a_worker_with_another_capacity(client: &Client, ledger: &Path) -> Planted {
    let key = RowKey::Worker("w1".to_owned());
    let mut worker: Worker = read(ledger, &key);
    worker.capacity.usable_ribosomes += 1_000;
    write_rows(client, ledger, vec![row(key, &worker)]).await;
    planted("ledger", "worker w1", worker.index)
}

async fn a_head_that_is_ahead(client: &Client, ledger: &Path) -> Planted {
    let key = RowKey::Meta("head".to_owned());
    let mut head: Head = read(ledger, &key);
    head.next_index += 7;
    write_rows(client, ledger, vec![row(key, &head)]).await;
    planted("ledger", "fleet", ledger_index(ledger))
}

async fn a_row_that_does_not_decode(client: &Client, ledger: &Path) -> Planted {
    let key = vm("bob", "created");
    let known: Vm = read(ledger, &key);
    write_rows(client, ledger, vec![(key, Some(b"\x81\xa5horse".to_vec()))]).await;
    planted("ledger", "bob", known.index)
}

/// The last batch that begins with a command of this user's.
fn caused_by<'a>(batches: &'a [JournalBatch], user: &str) -> (usize, &'a JournalBatch) {
    let all = batches.iter().enumerate();
    all.rev().find(|(_, batch)| is_of(user, &batch.batch.entries[0])).unwrap()
}

/// The last one that begins with a command to a VM that there was, which [`altered`] takes. What else a batch may begin
/// with depends on what reached the leader at once.
fn commanded_by<'a>(batches: &'a [JournalBatch], user: &str) -> (usize, &'a JournalBatch) {
    let is_command = |entry: &Entry| {
        matches!(entry, Entry::Desired { .. } | Entry::Started { .. } | Entry::Allocated { .. })
    };
    let all = batches.iter().enumerate().map(|(at, batch)| (at, batch, &batch.batch.entries[0]));
    let mut theirs = all.rev().filter(|(.., first)| is_command(first) && is_of(user, first));
    theirs.next().map(|(at, batch, _)| (at, batch)).unwrap()
}

fn is_of(user: &str, entry: &Entry) -> bool {
    entry.cause().is_some_and(|cause| cause.user.as_str() == user)
}

async fn a_journal_message_deleted_in_the_middle(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (_, batch) = caused_by(&all, "bob");
    delete_from_journal(client, batch.sequence).await;
    planted("journal", "bob", batch.batch.first_index)
}

async fn many_journal_messages_deleted_in_the_middle(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (at, batch) = caused_by(&all, "bob");
    for batch in all[at..].iter().rev().skip(1) {
        delete_from_journal(client, batch.sequence).await;
    }
    planted("journal", "bob", batch.batch.first_index)
}

async fn the_last_journal_messages_deleted(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (at, batch) = caused_by(&all, "carol");
    delete_all(client, &all[at..]).await;
    planted("journal", "carol", batch.batch.first_index)
}

async fn delete_all(client: &Client, batches: &[JournalBatch]) {
    for batch in batches {
        delete_from_journal(client, batch.sequence).await;
    }
}

/// The same batch, with one command taken for another user's.
fn altered(batch: &Batch) -> Batch {
    let mut altered = batch.clone();
    let (Entry::Desired { cause, .. } | Entry::Started { cause, .. } | Entry::Allocated { cause, .. }) =
        &mut altered.entries[0]
    else {
        panic!("another entry than expected: {:?}", batch.entries[0]);
    };
    cause.user = "mallory".parse().unwrap();
    altered
}

async fn a_journal_message_altered(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (at, batch) = commanded_by(&all, "bob");
    delete_all(client, &all[at..]).await;
    publish_to_journal(client, altered(&batch.batch).encode().unwrap().0).await;
    for later in &all[at + 1..] {
        publish_to_journal(client, later.payload.clone()).await;
    }
    planted("journal", "bob", batch.batch.first_index)
}

async fn a_journal_forged_from_a_message_on(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (at, batch) = commanded_by(&all, "bob");
    delete_all(client, &all[at..]).await;
    let mut previous_hash: Hash = batch.batch.previous_hash;
    for later in &all[at..] {
        let is_first = later.sequence == batch.sequence;
        let forged = if is_first { altered(&later.batch) } else { later.batch.clone() };
        let (payload, hash) = Batch { previous_hash, ..forged }.encode().unwrap();
        publish_to_journal(client, payload).await;
        previous_hash = hash;
    }
    planted("journal", "bob", batch.batch.first_index)
}

async fn two_journal_messages_in_the_wrong_order(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (at, batch) = caused_by(&all, "bob");
    delete_all(client, &all[at..]).await;
    for moved in [at + 1, at].into_iter().chain(at + 2..all.len()) {
        publish_to_journal(client, all[moved].payload.clone()).await;
    }
    planted("journal", "bob", batch.batch.first_index)
}

async fn a_journal_message_twice(client: &Client, _: &Path) -> Planted {
    let all = batches(client).await;
    let (_, batch) = caused_by(&all, "carol");
    publish_to_journal(client, batch.payload.clone()).await;
    planted("journal", "carol", batch.batch.first_index)
}

async fn a_foreign_message_in_the_journal(client: &Client, ledger: &Path) -> Planted {
    publish_to_journal(client, "not a batch").await;
    planted("journal", "fleet", ledger_index(ledger) + 1)
}

/// Nothing of the audit stream can be deleted; but who may publish there can add to it.
async fn an_audit_record_forged_at_the_end(client: &Client, ledger: &Path) -> Planted {
    let jetstream = async_nats::jetstream::new(client.clone());
    let stream = jetstream.get_stream("BIOXEN_AUDIT").await.unwrap();
    let last = stream.get_last_raw_message_by_subject("bioxen.v1.audit.>").await.unwrap();
    let last: AuditRecord = serde_json::from_slice(&last.payload).unwrap();
    let forged = AuditRecord {
        number: last.number + 1,
        index: ledger_index(ledger),
        user: "alice".parse().unwrap(),
        action: "destroy".to_owned(),
        ..last.clone()
    };
    let forged = forged.sealed(&last.hash).unwrap();
    let payload = serde_json::to_vec(&forged).unwrap();
    jetstream.publish("bioxen.v1.audit.alice.destroy", payload.into()).await.unwrap().await.unwrap();
    planted("audit", "alice", forged.index)
}
