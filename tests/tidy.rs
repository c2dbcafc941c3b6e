//! Tidiness: rules on the code that hold because they are checked. What clippy and rustfmt check is not repeated here.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

use std::fs;
use std::path::{Path, PathBuf};

use bioxen_protocol::error::Code;

const LINES_MOST: usize = 400;

/// Where the subjects' prefix may stand in a string besides `protocol/src/subject.rs`: texts for people.
const SUBJECTS_FOR_PEOPLE: [(&str, &str); 5] = [
    ("coordinator/src/driver/changes.rs", "only an operator sets quotas"),
    ("coordinator/src/intake/services.rs", "Fleets of biological VMs"),
    ("coordinator/src/intake/", "needs a user: "),
    ("cli/src/dev/mod.rs", "nats --server"),
    ("cli/src/demo/", "nats --server"),
];

#[test]
fn the_pure_core_and_the_cells_wait_for_nothing_and_ask_nobody() {
    let impure = [
        "async",
        "await",
        "Instant",
        "SystemTime",
        "rand",
        "getrandom",
        "tokio",
        "async_nats",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
    ];
    let found = search(&["coordinator/src/fleet", "hypervisor/src"], |line| {
        impure.into_iter().find(|word| has_word(line, word))
    });
    assert_none(&found, "the core and the cells must be pure");
}

#[test]
fn the_fleet_core_counts_in_whole_numbers() {
    let found = search(&["coordinator/src/fleet"], |line| {
        ["f32", "f64"].into_iter().find(|word| has_word(line, word))
    });
    assert_none(&found, "sums of floats depend on their order; use thousandths");
}

#[test]
fn subjects_are_built_and_parsed_in_one_file() {
    let prefix = concat!("bioxen", ".v1.");
    let mut found = search(&crates(), |line| line.contains(prefix).then_some("a literal subject"));
    found.retain(|one| one.file != "protocol/src/subject.rs");
    found.retain(|one| {
        let for_people = |(file, text): &(&str, &str)| one.file.starts_with(file) && one.line.contains(text);
        !SUBJECTS_FOR_PEOPLE.iter().any(for_people)
    });
    assert_none(&found, "build subjects in protocol/src/subject.rs");
}

#[test]
fn every_file_is_short_and_opens_with_its_job() {
    for path in rust_files(&[".".to_owned()]) {
        let text = fs::read_to_string(&path).expect("a readable file");
        let shown = path.display();
        let lines = text.lines().count();
        assert!(lines < LINES_MOST, "{shown} has {lines} lines; split it below {LINES_MOST}");
        let opening = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!"));
        let has_job = opening.is_some_and(|line| line.starts_with("//! "));
        assert!(has_job, "{shown} must open with `//!`: its job, and what it must not do");
    }
}

#[test]
fn the_ledger_s_store_and_the_maths_are_reached_through_their_doors_alone() {
    // Scripts take libm's functions by their C names, which is a door of its own.
    let libm = ["hypervisor/src/maths.rs", "guest/src/cmath.rs"];
    for (name, doors) in [("sled", &["coordinator/src/ledger/store.rs"][..]), ("libm", &libm)] {
        let mut found =
            search(&crates(), |line| has_word(without_strings(line).as_str(), name).then_some(name));
        found.retain(|one| !doors.contains(&one.file.as_str()));
        assert_none(&found, &format!("only {} may know {name}", doors.join(" and ")));
    }
}

#[test]
fn nothing_is_left_undone_or_waved_through() {
    let marks = [
        concat!("todo", "!"),
        concat!("unimplemented", "!"),
        concat!("#[", "allow"),
        concat!("#![", "allow"),
    ];
    let mut folders = crates();
    folders.extend(["tests".to_owned(), "benches".to_owned()]);
    let found = search_all(&folders, |line| marks.into_iter().find(|mark| line.contains(mark)));
    assert_none(&found, "finish it, or say with #[expect(.., reason = \"..\")] why it stands");
}

#[test]
fn every_error_code_has_a_page() {
    for code in Code::ALL {
        let page = root().join(format!("docs/errors/{code}.md"));
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(code.name()), "{} does not name {}", page.display(), code.name());
    }
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let paths = [concat!("/wo", "rk/"), concat!("/tmp", "/w/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];
    for path in files(&root(), &|_| true) {
        // Data that is no text names no paths.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for machine in paths {
            let found = text.lines().find(|line| line.contains(machine));
            assert!(found.is_none(), "{} mentions {machine}: {}", path.display(), found.unwrap_or_default());
        }
    }
}

/// A line that breaks a rule.
#[derive(Debug)]
struct Found {
    file: String,
    number: usize,
    line: String,
    what: &'static str,
}

fn assert_none(found: &[Found], rule: &str) {
    let lines: Vec<String> =
        found.iter().map(|one| format!("{}:{}: {}: {}", one.file, one.number, one.what, one.line)).collect();
    assert!(lines.is_empty(), "{rule}\n{}", lines.join("\n"));
}

/// Lines of code, comments and unit tests aside, for which `rule` names what is wrong.
fn search<P: AsRef<str>>(folders: &[P], rule: impl Fn(&str) -> Option<&'static str>) -> Vec<Found> {
    let mut found = search_all(folders, |line| rule(without_comment(line)));
    found.retain(|one| !is_test(one));
    found
}

fn search_all<P: AsRef<str>>(folders: &[P], rule: impl Fn(&str) -> Option<&'static str>) -> Vec<Found> {
    let mut found = Vec::new();
    for path in rust_files(folders) {
        let text = fs::read_to_string(&path).expect("a readable file");
        let file = path.strip_prefix(root()).expect("a file of ours").display().to_string();
        for (at, line) in text.lines().enumerate() {
            if let Some(what) = rule(line) {
                found.push(Found { file: file.clone(), number: at + 1, line: line.trim().to_owned(), what });
            }
        }
    }
    found
}

/// In a file of tests, or below `#[cfg(test)]`, which stands last in a file.
fn is_test(found: &Found) -> bool {
    let path = Path::new(&found.file);
    let text = fs::read_to_string(root().join(path)).expect("a readable file");
    let tests_begin = text.lines().position(|line| line.trim() == "#[cfg(test)]" && !line.starts_with(' '));
    path.iter().any(|part| part == "tests" || part == "tests.rs")
        || tests_begin.is_some_and(|begin| found.number > begin)
}

fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") || trimmed.starts_with('*') {
        return "";
    }
    match line.find(" // ").or_else(|| line.find("///")) {
        Some(at) => &line[..at],
        None => line,
    }
}

/// The line with each text in quotes taken out.
fn without_strings(line: &str) -> String {
    line.replace("\\\"", "").split('"').step_by(2).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_letter) && !line[at + word.len()..].starts_with(is_letter))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The `src` of every crate.
fn crates() -> Vec<String> {
    ["protocol", "telemetry", "hypervisor", "guest", "coordinator", "worker", "cli"]
        .map(|name| format!("{name}/src"))
        .to_vec()
}

fn rust_files<P: AsRef<str>>(folders: &[P]) -> Vec<PathBuf> {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let all =
        folders.iter().flat_map(|folder| files(&root().join(folder.as_ref()), &is_rust)).collect::<Vec<_>>();
    assert!(!all.is_empty(), "nothing was searched");
    all
}

/// All files below a folder, apart from what was built and what git keeps.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            all.extend(files(&path, wanted));
        } else if path.is_file() && name != ".git" && wanted(&path) {
            all.push(path);
        }
    }
    all
}
