//! The list: each fault with its place, and the check that must catch it.

/// Declares the faults and lists them, so that none can be left out of the list.
macro_rules! gallery {
    ($($mutant:ident, $name:literal, $what:literal, $place:literal, $caught_by:expr;)*) => {
        /// A deliberate fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $what] $mutant,)*
        }

        /// Every fault.
        pub const GALLERY: &[Fault] = &[$(Fault {
            mutant: Mutant::$mutant,
            name: $name,
            what: $what,
            place: $place,
            caught_by: $caught_by,
        },)*];
    };
}

/// One fault of the gallery.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub mutant: Mutant,
    /// As the variable names it.
    pub name: &'static str,
    pub what: &'static str,
    /// The file that has it.
    pub place: &'static str,
    pub caught_by: Catcher,
}

/// The check that catches a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catcher {
    /// The simulator, within this many seeds.
    Seeds(u64),
    /// A test by its full name, in a test target of a package; `lib` is its unit tests.
    Test { package: &'static str, target: &'static str, name: &'static str },
}

const fn unit(package: &'static str, name: &'static str) -> Catcher {
    Catcher::Test { package, target: "lib", name }
}

const fn durability(name: &'static str) -> Catcher {
    Catcher::Test { package: "bioxen-coordinator", target: "durability", name }
}

const fn power(name: &'static str) -> Catcher {
    Catcher::Test { package: "bioxen-coordinator", target: "power", name }
}

const fn projection(name: &'static str) -> Catcher {
    Catcher::Test { package: "bioxen-coordinator", target: "projection", name }
}

const COORDINATOR: &str = "bioxen-coordinator";
const WORKER: &str = "bioxen-worker";
const SEEDS: Catcher = Catcher::Seeds(5_000);

gallery! {
    // The fleet core.
    GenerationReused, "generation-reused",
        "A generation counts a VM's placements, so it comes again after destroy and create.",
        "coordinator/src/fleet/evolve.rs", SEEDS;
    ReleaseAtAcceptance, "release-at-acceptance",
        "Stop and destroy give everything back when they are accepted.",
        "coordinator/src/fleet/decide/lifecycle.rs", SEEDS;
    DecreaseAtAcceptance, "decrease-at-acceptance",
        "A decrease is given back when it is accepted.",
        "coordinator/src/fleet/decide/allocate.rs", SEEDS;
    ReleaseTwice, "release-twice",
        "A report of an earlier generation releases what the present one holds.",
        "coordinator/src/fleet/mod.rs", SEEDS;
    TickForgotten, "tick-forgotten",
        "The minute at which a change took effect is not kept.",
        "coordinator/src/fleet/observe.rs", SEEDS;
    LimitAfterTheFact, "limit-after-the-fact",
        "A limit is compared with what is held, without what is asked for.",
        "coordinator/src/fleet/limits.rs", SEEDS;
    TimeGoesBack, "time-goes-back",
        "An entry's time is the wall clock's, also where that was set back.",
        "coordinator/src/fleet/mod.rs", SEEDS;
    RequestsForgotten, "requests-forgotten",
        "A coordinator that starts from its ledger has forgotten the request ids.",
        "coordinator/src/fleet/rows.rs", SEEDS;
    // Leases, as the leader counts them.
    ExpiredTooEarly, "expired-too-early",
        "A worker is given up after the grace alone, while its lease still stands.",
        "coordinator/src/leases.rs", SEEDS;
    VerdictWhileCutOff, "verdict-while-cut-off",
        "Workers are given up while the leader's own connection is down.",
        "coordinator/src/leases.rs",
        unit(COORDINATOR, "leases::tests::no_verdict_is_given_while_the_own_connection_is_young_or_down");
    SecondBootAdmitted, "second-boot-admitted",
        "A second boot of a worker's name is admitted while the first one's lease stands.",
        "coordinator/src/leases.rs", unit(COORDINATOR, "leases::tests::another_boot_waits_for_lease_and_grace");
    // The worker's side.
    LeaseWithoutEnd, "lease-without-end",
        "A worker takes its first lease for one without end.",
        "worker/src/lease.rs", SEEDS;
    LeaseFromReceipt, "lease-from-receipt",
        "A late grant counts from the heartbeat sent last, not from the one that it answers.",
        "worker/src/lease.rs", unit(WORKER, "lease::tests::a_late_grant_counts_from_the_heartbeat_that_it_answers");
    OldEpochObeyed, "old-epoch-obeyed",
        "A worker obeys a leader that has been deposed.",
        "worker/src/lease.rs", unit(WORKER, "lease::tests::lower_epochs_are_ignored");
    RegistrationIgnored, "registration-ignored",
        "A boot that is registered anew goes on with what it holds.",
        "worker/src/lease.rs", SEEDS;
    GenerationUnchecked, "generation-unchecked",
        "A worker places a generation lower than one that it has seen.",
        "worker/src/vms.rs", SEEDS;
    LateOrderPlaced, "late-order-placed",
        "An order that comes after its generation was told to be absent is carried out.",
        "worker/src/vms.rs", SEEDS;
    CommitUnchecked, "commit-unchecked",
        "A quantum is committed although the lease ended while it was computed.",
        "worker/src/backend/cells/pool.rs",
        unit(WORKER, "backend::cells::tests::quanta::a_quantum_computed_beyond_the_lease_is_discarded_and_the_vm_frozen");
    // Journal, ledger, projector.
    NoFence, "no-fence",
        "An append does not say behind which sequence it belongs: its acknowledgement is taken for the fence.",
        "coordinator/src/journal/append.rs", durability("journal::a_second_writer_is_fenced_and_learns_who_came_first");
    FlushWithoutSync, "flush-without-sync",
        "A commit to the ledger ends with sled's flush, which does not sync.",
        "coordinator/src/ledger/store.rs", power("cuts::a_ledger_survives_two_hundred_power_cuts");
    HalfSnapshotLeft, "half-snapshot-left",
        "sled's half-written snapshot is left where a power cut left it.",
        "coordinator/src/ledger/folder.rs", power("cuts::a_ledger_opens_wherever_its_creation_or_opening_was_cut_off");
    CreationUnmarked, "creation-unmarked",
        "A ledger whose creation was cut off is opened as if it were whole.",
        "coordinator/src/ledger/folder.rs", power("cuts::a_ledger_opens_wherever_its_creation_or_opening_was_cut_off");
    RetryAfterError, "retry-after-error",
        "A commit that failed is tried again, as if nothing had been lost.",
        "coordinator/src/ledger/mod.rs", power("faults::after_a_failed_sync_nothing_more_is_committed");
    ChainBegunAnew, "chain-begun-anew",
        "A projector that starts again begins the audit chain anew.",
        "coordinator/src/projector/output.rs",
        projection("a_projector_that_is_killed_and_started_again_tells_everything_once");
    PublishedTwice, "published-twice",
        "An event is published without its place in the stream and without an id.",
        "coordinator/src/projector/sink.rs", projection("two_projectors_at_once_tell_everything_once");
    AnyBatchOurs, "any-batch-ours",
        "Whatever stands where an append was to stand is taken for it.",
        "coordinator/src/journal/append.rs", SEEDS;
    TailGivenUp, "tail-given-up",
        "A journal that lost its end is believed, and the ledger that has it set aside.",
        "coordinator/src/journal/heal.rs", SEEDS;
    // The driver's protocol; the simulator has a model of it, which is mutated alike.
    ActBeforeAck, "act-before-ack",
        "Answers and orders leave before the journal has acknowledged what they say.",
        "simulator/src/coordinator/leading.rs", SEEDS;
    GrantBehindAnyAppend, "grant-behind-any-append",
        "A lease is granted behind an append that was sent before its heartbeat came: a deposed leader grants.",
        "simulator/src/coordinator/leading.rs", SEEDS;
    LeasesNotCountedAnew, "leases-not-counted-anew",
        "A new leader does not count the leases that the one before may have granted.",
        "simulator/src/coordinator/leading.rs", SEEDS;
    AbsenceBelieved, "absence-believed",
        "What an inventory lacks is taken to be given up.",
        "simulator/src/coordinator/leading.rs", SEEDS;
    NewConnectionTrusted, "new-connection-trusted",
        "A leader that lost its connection goes on appending, without looking whether the journal lost its end meanwhile.",
        "simulator/src/coordinator/mod.rs", SEEDS;
    LastNotLookedFor, "last-not-looked-for",
        "A candidate does not look whether what it read last still stands.",
        "simulator/src/coordinator/standing.rs", SEEDS;
}
