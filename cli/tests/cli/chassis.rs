//! `bioxen chassis`, from the command line: packs are shown, checked and made without a fleet.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{bioxen, text};

/// Nobody listens there: these commands must not ask.
const NOWHERE: &str = "nats://127.0.0.1:1";

fn of_the_library(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hypervisor");
    root.join(path).to_str().unwrap().to_owned()
}

fn json(arguments: &[&str]) -> Value {
    let output = bioxen(NOWHERE, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_chassis_is_listed_and_shown_with_the_source_of_each_figure() {
    let list = json(&["chassis", "list", "--json"]);
    let names: Vec<&str> = list.as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["syn3a", "ecoli", "minimal_cell", "weisse2015"]);
    let syn3a = json(&["chassis", "show", "syn3a", "--json"]);
    assert_eq!(syn3a["calibration"]["ribosomes"]["source"], "thornburg2022");
    assert_eq!(syn3a["gene_table"]["genes"].as_array().unwrap().len(), 61);
    let shown = text(&bioxen(NOWHERE, &["chassis", "show", "ecoli"]).stdout);
    assert!(shown.contains("lacZYA") && shown.contains("pBR322") && shown.contains("Bremer"), "{shown}");
    let unknown = bioxen(NOWHERE, &["chassis", "show", "syn4"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("syn3a"));
}

#[test]
fn a_pack_is_built_from_a_record_checked_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let pack: PathBuf = dir.path().join("exemplum");
    let folder = pack.to_str().unwrap();
    let (record, measured, calibration) = (
        of_the_library("tests/packs/record.gb"),
        of_the_library("tests/packs/measured.tsv"),
        of_the_library("tests/packs/calibration.toml"),
    );
    let import = [
        "chassis",
        "import",
        "--genbank",
        &record,
        "--genes",
        &measured,
        "--calibration",
        &calibration,
        "-o",
        folder,
        "--json",
    ];
    let imported = json(&import);
    assert_eq!((&imported["genes_listed"], &imported["complete"]), (&6.into(), &true.into()));
    assert_eq!(imported["unmeasured_genes"], 4);
    let validated = json(&["chassis", "validate", folder, "--json"]);
    assert_eq!(validated["genetic_code"], 11);
    assert_eq!(json(&["chassis", "show", folder, "--json"])["name"], "exemplum");
    let again = bioxen(NOWHERE, &import);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
    let genes = std::fs::read_to_string(pack.join("genes.tsv")).unwrap();
    std::fs::write(pack.join("genes.tsv"), genes.replacen("12.5", "13.5", 1)).unwrap();
    let broken = bioxen(NOWHERE, &["chassis", "validate", folder]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("the sum of proteins_per_cell is 13.5; expected 12.5"));
}
