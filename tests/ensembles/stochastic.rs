//! An ensemble of single cells, sent once by a client in Python alone: generations, noise, a pulse of a drug, the same
//! bytes again on another fleet, the figures of an independent simulation, and its picture.

use std::path::{Path, PathBuf};

use bioxen_tests::{Options, TestFleet, fold, program, python, roomy_worker};
use serde_json::{Value, json};

use super::whole_cell::{Ended, Model, Supply};
use super::{rows, run_again_alone};

/// `make ensemble` runs the thousand.
const MEMBERS: u32 = 40;
const MANY: u32 = 1_000;
/// Cells of the independent simulation, for each of these.
const APART: u32 = 10;
const MANY_APART: u32 = 240;
/// How far a mean or a coefficient of variation may be from the independent one, in standard errors.
const SIGMAS: f64 = 4.0;
/// The coordinator may not grow by more while the second half of the members runs: what it remembers of a destroyed VM
/// (the newest 1,000 of a user) and the rows of the table are some 10 KiB for each.
const GROWTH_KIB: u64 = 12 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn single_cells_divide_as_often_as_asked_and_any_one_is_the_same_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    pulsed(MEMBERS, 2, APART, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes; make ensemble"]
async fn a_thousand_single_cells_of_three_generations_finish_under_a_quota_of_ten() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/ensemble"));
    std::fs::create_dir_all(&folder).expect("a folder");
    pulsed(MANY, 3, MANY_APART, &folder).await;
    println!("table and picture: {}", folder.display());
}

async fn pulsed(members: u32, generations: u32, apart: u32, folder: &Path) {
    let fleet = TestFleet::start(&Options::default());
    let table = folder.join("pulse.csv");
    let told = sent_by_python(&fleet, members, generations, &table).await;
    println!("by nats-py alone: {told}");
    assert_eq!((&told["completed"], &told["failed"]), (&json!(members), &json!(0)), "{told}");
    let resident = |name: &str| told["resident_kib"][name].as_u64().expect("a figure");
    let grown = resident("most").saturating_sub(resident("halfway"));
    assert!(grown < GROWTH_KIB, "the coordinator grew by {grown} KiB over the second half");

    let client = fleet.connect().await;
    let all = rows(&client, "pulse").await;
    plotted(&fleet, &folder.join("pulse.png"));
    run_again_alone(&client, "pulse", &all[all.len() / 2]).await;
    let folded = fold::assert_all_agree("an ensemble of single cells", &fleet, &client).await;
    let peak = folded["peak"]["slots"].as_u64();
    assert!(peak <= Some(10), "{peak:?} VMs at once under a quota of 10");
    drop(fleet);

    let workers = vec![roomy_worker("a"), roomy_worker("b"), roomy_worker("c")];
    let other = TestFleet::start(&Options { workers, ..Options::default() });
    let again = folder.join("again.csv");
    sent_by_python(&other, members, generations, &again).await;
    let bytes = |path: &Path| std::fs::read(path).expect("a table");
    assert!(bytes(&table) == bytes(&again), "another fleet gives another table");
    println!("a second fleet, of three workers: {} bytes of table, the same", bytes(&table).len());
    compare(&told["figures"], generations, apart, members);
}

/// What `ensemble.py` says.
async fn sent_by_python(fleet: &TestFleet, members: u32, generations: u32, table: &Path) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/ensemble.py");
    let mut command = python();
    command.args(["-B", script, &fleet.url(), &members.to_string(), &generations.to_string()]);
    command.arg(table).arg(fleet.coordinator_pid().to_string());
    let ended = tokio::task::spawn_blocking(move || command.output()).await;
    let ended = ended.expect("the script was not cancelled").expect("Python starts");
    let wrong = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{wrong}\ncoordinator: {}", fleet.log("coordinator"));
    serde_json::from_slice(&ended.stdout).expect("a line of JSON")
}

fn plotted(fleet: &TestFleet, path: &Path) {
    let mut command = program("bioxen");
    command.env("BIOXEN_URL", fleet.url()).env("BIOXEN_USER", super::USER);
    let ended = command.args(["plot", "pulse", "-o"]).arg(path).output().expect("bioxen starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let bytes = std::fs::read(path).expect("a picture");
    assert!(
        bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000,
        "{}: {} bytes",
        path.display(),
        bytes.len()
    );
}

/// The default allocation of syn3a, 60 % ATP and 10 of 15 units, and the pulse.
fn supply(minute: f64) -> Supply {
    let cl = if (60.0..90.0).contains(&(minute + 1e-6)) { 4.0 } else { 0.0 };
    Supply { atp: 0.6, cap: Some(10.0 / 15.0), cl }
}

/// Mean and coefficient of variation of the members against as many cells of the independent simulation as asked.
fn compare(figures: &Value, generations: u32, apart: u32, members: u32) {
    let model = Model::of_syn3a();
    let follow = |seed: u32| model.follow(u64::from(seed), generations, supply);
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let half = |from: u32| (from..apart).step_by(2).map(follow).collect::<Vec<_>>();
        let odd = scope.spawn(move || half(1));
        let mut all = half(0);
        all.extend(odd.join().expect("it goes on"));
        all
    });
    let columns = |of: fn(&Ended) -> f64| ended.iter().map(of).collect::<Vec<f64>>();
    let compared = [
        ("simulated_minutes", columns(|cell| cell.minutes)),
        ("protein_total", columns(|cell| cell.proteins)),
        ("mrna_total", columns(|cell| cell.mrna)),
        ("ribosomes_total", columns(|cell| cell.ribosomes)),
    ];
    println!(
        "| figure | {members} members: mean, CV | {apart} cells by rebop: mean, CV | standard errors apart |"
    );
    for (name, values) in compared {
        let (mean, cv) = spread(&values);
        let ours = |what: &str| figures[name][what].as_f64().expect("a figure");
        let each = 1.0 / f64::from(members) + 1.0 / f64::from(apart);
        let of_mean = (ours("mean") - mean) / (mean * cv * each.sqrt());
        // Of a coefficient of variation of something nearly normal.
        let of_cv = (ours("cv") - cv) / (cv * (each / 2.0).sqrt());
        println!(
            "| {name} | {:.2}, {:.4} | {mean:.2}, {cv:.4} | {of_mean:+.2}, {of_cv:+.2} |",
            ours("mean"),
            ours("cv")
        );
        assert!(of_mean.abs() < SIGMAS && of_cv.abs() < SIGMAS, "{name}: {of_mean} and {of_cv} apart");
    }
}

/// Mean and coefficient of variation.
fn spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() as f64 - 1.0)).sqrt() / mean)
}
