//! Two judges of who holds what: the coordinator's own verification, and a fold written apart in Python that shares
//! nothing with it. Both must be content, and agree with what `quota` and `fleet` answer.

use async_nats::Client;
use serde_json::Value;

use crate::{TestFleet, ask, assert_clean, python};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/second_fold.py");

/// Folds the journal a second time; fails where a rule was broken anywhere in it.
pub fn second_fold(fleet: &TestFleet) -> Value {
    let ran = python().arg(SCRIPT).arg(fleet.url()).output().expect("Python starts");
    let found: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| {
        panic!("second_fold.py printed no JSON ({error}): {}", String::from_utf8_lossy(&ran.stderr))
    });
    assert_eq!(found["faults"], serde_json::json!([]), "the second fold found faults");
    assert!(ran.status.success(), "second_fold.py failed: {}", String::from_utf8_lossy(&ran.stderr));
    found
}

/// Both judges are content; commands may be under way.
pub async fn assert_both_content(fleet: &TestFleet, client: &Client) {
    assert_clean(client).await;
    second_fold(fleet);
}

/// Holds the journal, the ledger, the audit trail, the second fold and the coordinator's answers against each other.
/// Nothing may be under way meanwhile.
#[expect(clippy::print_stdout, reason = "what was compared is shown by --nocapture")]
pub async fn assert_all_agree(what: &str, fleet: &TestFleet, client: &Client) -> Value {
    let verified = assert_clean(client).await;
    let folded = second_fold(fleet);
    for (user, total) in folded["users"].as_object().expect("totals for each user") {
        let quota = ask(client, &format!("bioxen.v1.cmd.{user}.quota"), &Value::Null).await;
        assert_eq!(amounts(&quota["used"]), totals(total), "user {user}: quota {quota}, second fold {total}");
        assert_eq!(quota["queued"], total["queued"], "user {user}: quota {quota}, second fold {total}");
    }
    let fleet_totals = ask(client, "bioxen.v1.cmd.tester.fleet", &Value::Null).await;
    let answered = (
        fleet_totals["active_vms"].clone(),
        millipercent(&fleet_totals["global_atp_used"]),
        fleet_totals["global_ribosomes_used"].clone(),
    );
    let all = &folded["fleet"];
    let expected = (
        all["slots"].clone(),
        all["atp_millipercent"].as_u64().unwrap_or_default(),
        all["ribosomes"].clone(),
    );
    assert_eq!(answered, expected, "the fleet's totals");
    println!(
        "{what}: {} entries in {} batches folded twice, {} ledger rows and {} audit records agree; highest sums {}",
        folded["entries"], folded["batches"], verified["rows"], verified["audit_records"], folded["peak"]
    );
    folded
}

/// (slots, thousandths of a percent, units, KiB) as `quota` answers them.
fn amounts(used: &Value) -> [u64; 4] {
    let whole = |name: &str| used[name].as_u64().expect("a whole number");
    [whole("slots"), millipercent(&used["atp_percentage"]), whole("ribosomes"), whole("memory_kb")]
}

/// The same as the second fold prints them.
fn totals(total: &Value) -> [u64; 4] {
    ["slots", "atp_millipercent", "ribosomes", "memory_kb"]
        .map(|name| total[name].as_u64().expect("a whole number"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small percentage, not negative"
)]
fn millipercent(percent: &Value) -> u64 {
    (percent.as_f64().expect("a percentage") * 1000.0).round() as u64
}
