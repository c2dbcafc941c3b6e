//! Archives: the same package has the same bytes, and what is none is refused in words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

mod hostile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bioxen_hypervisor::ChassisName;
use bioxen_package::{Package, PackageError, begin, digest, per_min};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/packages")
}

#[test]
fn the_same_folder_has_the_same_bytes_and_digest_and_they_are_the_package() {
    for name in ["reporter-plasmid", "growth-analysis"] {
        let package = Package::from_folder(&examples().join(name)).unwrap();
        let bytes = package.archive().unwrap();
        let again = Package::from_folder(&examples().join(name)).unwrap().archive().unwrap();
        assert_eq!(bytes, again);
        assert_eq!(Package::open(&bytes).unwrap(), package);
        assert_eq!(package.id().to_string(), format!("{name}@1.0.0"));
        println!("{name}: {} bytes, {}", bytes.len(), digest(&bytes));
    }
    // Known from another implementation: sha256 of nothing.
    assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn what_is_no_package_is_refused_in_words() {
    let archives = hostile::archives();
    assert!(archives.len() >= 30);
    for (what, bytes, said) in archives {
        let refused = Package::open(&bytes).expect_err(what).to_string();
        assert!(refused.contains(said), "{what}: {refused}");
        println!("{what}: {refused}");
    }
}

#[test]
fn no_damage_to_an_archive_makes_it_panic_or_another_package() {
    let bytes = Package::from_folder(&examples().join("growth-analysis")).unwrap().archive().unwrap();
    let whole = digest(&bytes);
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        // What can still be read is another archive by its digest.
        let _ = Package::open(&damaged);
        assert_ne!(digest(&damaged), whole);
        let _ = Package::open(&bytes[..at]);
    }
}

#[test]
fn a_field_is_refused_with_the_nearest_known_one() {
    let text = hostile::manifest("modul = [\"m\"]");
    match Package::new(text, BTreeMap::new()) {
        Err(PackageError::Manifest { nearest, message }) => {
            assert_eq!(nearest.as_deref(), Some("modules"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_package_begun_is_one_and_is_not_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("my-package");
    std::fs::create_dir(&at).unwrap();
    let begun = begin(&at).unwrap();
    assert_eq!(begun.id().to_string(), "my-package@0.1.0");
    assert_eq!(Package::from_folder(&at).unwrap(), begun);
    assert!(matches!(begin(&at), Err(PackageError::Exists(_))));
    std::fs::write(at.join("modules/notes.txt"), "x").unwrap();
    assert!(matches!(Package::from_folder(&at), Err(PackageError::Entry { .. })));
}

#[test]
fn loads_add_up_by_transcription_and_length_and_fit_the_chassis_that_are_named() {
    let more = "[[constructs]]\nname = \"a\"\nlength_aa = 300\ntranscription_per_min = 60\nsource = \"s\"\n\
                [[constructs]]\nname = \"b\"\nlength_aa = 600\ntranscription_per_min = 20\nsource = \"s\"\n\
                [sources]\ns = \"a test\"\n";
    let package = Package::new(hostile::manifest(more), BTreeMap::new()).unwrap();
    for (chassis, expected) in
        [(ChassisName::Weisse2015, 100.0), (ChassisName::Ecoli, 100.0), (ChassisName::Syn3a, 78.431373)]
    {
        let told = package.for_chassis(chassis, "sha256:0").unwrap();
        assert_eq!(per_min(told.load_micro_per_min), expected, "{chassis}");
        assert_eq!(told.constant_micro_per_min, told.load_micro_per_min);
        assert!(told.has_load() && !told.has_modules);
    }
    let reporter = Package::from_folder(&examples().join("reporter-plasmid")).unwrap();
    assert!(reporter.for_chassis(ChassisName::Syn3a, "").is_none());
    let told = reporter.for_chassis(ChassisName::Ecoli, "").unwrap();
    // 11 copies of 12 * 238/300 + .24 * 219/300.
    assert!((per_min(told.load_micro_per_min) - 11.0 * 9.6952).abs() < 0.01, "{told:?}");
    assert_eq!(told.constant_micro_per_min, 0);
}
