//! The gallery of bugs: each fault is planted in turn, and the check that it names must fail.
//!
//! The long run is `make mutants`. It builds everything once more with the faults in it, into a folder of its own, and
//! first sees every check pass without any: else a failure would say nothing.

#![expect(clippy::expect_used, reason = "what fails here fails a test")]
#![expect(clippy::print_stdout, reason = "the long run says how far it is, and what came of it")]

mod build;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bioxen_mutants::{Catcher, Fault, GALLERY, VARIABLE};
use build::Built;

/// Fewer would leave out what is asked for.
const LEAST: usize = 12;
/// Seeds that must hold without a fault.
const SOUND_SEEDS: u64 = 200;
/// As many processors as the machine for checks has.
const AT_ONCE: usize = 2;

#[test]
fn the_gallery_is_large_enough_and_every_fault_stands_where_it_says() {
    assert!(GALLERY.len() >= LEAST, "{} faults", GALLERY.len());
    let names: BTreeSet<&str> = GALLERY.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), GALLERY.len(), "two faults have one name");
    for fault in GALLERY {
        let text = read(fault.place);
        let planted = format!("Mutant::{:?}", fault.mutant);
        assert!(text.contains(&planted), "{} does not have {planted}", fault.place);
    }
}

#[test]
fn every_fault_names_a_test_that_there_is_or_enough_seeds() {
    for fault in GALLERY {
        match fault.caught_by {
            Catcher::Seeds(seeds) => assert!(seeds >= 100, "{}: {seeds} seeds", fault.name),
            Catcher::Test { package, target, name } => {
                let folder = package.trim_start_matches("bioxen-");
                let (modules, test) = name.rsplit_once("::").unwrap_or(("main", name));
                let modules: Vec<&str> = modules.split("::").filter(|module| *module != "tests").collect();
                let sources = if target == "lib" { "src".to_owned() } else { format!("tests/{target}") };
                let (own, shared) = (modules.join("/"), modules[..modules.len() - 1].join("/"));
                let last = modules.last().copied().unwrap_or_default();
                let files = [
                    format!("{folder}/{sources}/{own}.rs"),
                    format!("{folder}/{sources}/{shared}/tests/{last}.rs"),
                ];
                let found = files.iter().any(|file| {
                    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
                    text.contains(&format!("fn {test}("))
                });
                assert!(found, "{}: no test {name} in {files:?}", fault.name);
            }
        }
    }
}

#[test]
#[ignore = "builds everything once more and takes minutes: make mutants"]
fn every_fault_is_caught() {
    let built = build::build();
    let begun = Instant::now();
    for passed in in_parallel(&sound_checks(), |(what, catcher)| (*what, check(&built, *catcher, ""))) {
        let (what, told) = passed;
        assert!(told.status.success(), "{what} fails without any fault:\n{}", text(&told));
    }
    println!("every check passes without a fault ({:.0?})\n", begun.elapsed());
    println!("| fault | place | seconds | caught by |\n|---|---|---|---|");
    let rows = in_parallel(GALLERY, |fault| try_fault(&built, fault));
    let survivors: Vec<_> = rows.iter().filter(|row| row.caught.is_none()).collect();
    assert!(survivors.is_empty(), "{} faults were not caught", survivors.len());
    println!("{} faults, each caught ({:.0?} in all)", rows.len(), begun.elapsed());
}

/// What became of a planted fault.
struct Row {
    fault: &'static Fault,
    /// In which words; none where it was not caught.
    caught: Option<String>,
    took: Duration,
}

fn try_fault(built: &Built, fault: &'static Fault) -> Row {
    let begun = Instant::now();
    let told = check(built, fault.caught_by, fault.name);
    let caught = (!told.status.success()).then(|| reason(fault.caught_by, &text(&told)));
    let row = Row { fault, caught: caught.flatten(), took: begun.elapsed() };
    println!("{row}");
    row
}

/// The words in which a check failed; none where it failed otherwise than by what it checks.
fn reason(catcher: Catcher, told: &str) -> Option<String> {
    match catcher {
        Catcher::Seeds(_) => {
            let seed = told.lines().find_map(|line| line.strip_prefix("failed: seed ")?.split(':').next())?;
            let why = told.lines().find(|line| line.starts_with("  "))?.trim();
            let short: String = why.chars().take(60).collect();
            Some(format!("seed {seed}, {short}"))
        }
        Catcher::Test { name, .. } => {
            let failed = told.lines().any(|line| line.starts_with("test result: FAILED"));
            let short = name.rsplit("::").next().unwrap_or(name);
            (failed && told.contains("1 failed")).then(|| format!("test {short}"))
        }
    }
}

/// Each check of the gallery once.
fn sound_checks() -> Vec<(&'static str, Catcher)> {
    let mut checks = vec![("the simulator", Catcher::Seeds(SOUND_SEEDS))];
    for fault in GALLERY {
        if let Catcher::Test { name, .. } = fault.caught_by
            && checks.iter().all(|(known, _)| *known != name)
        {
            checks.push((name, fault.caught_by));
        }
    }
    checks
}

/// Runs a check with a fault planted.
fn check(built: &Built, catcher: Catcher, fault: &str) -> Output {
    let mut command = match catcher {
        Catcher::Seeds(seeds) => {
            let mut command = Command::new(built.simulator());
            command.args(["--seeds", &seeds.to_string(), "--quick"]);
            command
        }
        Catcher::Test { package, target, name } => {
            let mut command = Command::new(built.tests(package, target));
            command.args(["--exact", name]).current_dir(root().join(package.trim_start_matches("bioxen-")));
            command
        }
    };
    command.env(VARIABLE, fault).env("RUST_BACKTRACE", "0").output().expect("a check can be started")
}

fn text(told: &Output) -> String {
    String::from_utf8_lossy(&[&told.stdout[..], &told.stderr[..]].concat()).into_owned()
}

fn in_parallel<'a, T: Sync, R: Send>(all: &'a [T], job: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    let (next, done) = (Mutex::new(all.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(one) = next.lock().expect("no job panics").next() else { return };
                    let result = job(one);
                    done.lock().expect("no job panics").push(result);
                }
            });
        }
    });
    done.into_inner().expect("no job panics")
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fault: Fault { name, place, .. }, caught, took } = self;
        let caught = caught.as_deref().unwrap_or("NOT CAUGHT");
        write!(f, "| {name:24} | {place:40} | {:5.1} | {caught} |", took.as_secs_f64())
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
