//! The plain form, through a real guest.

use bioxen_guest::{Failure, Value};
use bioxen_hypervisor::{Change, ChassisName};

use crate::support::{Guests, fresh, job};

#[test]
fn every_named_analysis_answers_from_the_state_and_changes_with_it() {
    let guests = Guests::start(1);
    let mut answered = Vec::new();
    for chassis in ChassisName::ALL {
        let mut later = fresh(chassis);
        later
            .apply(&Change { parameters: [("s0".to_owned(), 200.0)].into(), ..Change::default() })
            .expect("applied");
        later.advance_to(600).expect("advanced");
        for call in [
            "get_biological_status()",
            "minimal_metabolism_analysis()",
            "dna_replication()",
            "operon_expression_analysis()",
            "test_process()",
            "test_ecoli_process()",
        ] {
            match guests.run_on(chassis, call) {
                Ok(done) => {
                    let other = guests.outcome(&job(&later, call)).result.expect("it answers later too");
                    assert_ne!(done.value, other.value, "{chassis} {call}");
                    assert_eq!(
                        (done.checkpoint, done.changes.len()),
                        (None, 0),
                        "{chassis} {call} only reads"
                    );
                    assert_ne!(done.value.get("passed"), Some(&Value::Bool(false)), "{chassis} {call}");
                    answered.push(format!("{chassis} {call}"));
                }
                Err(Failure::Unsupported { .. }) => {}
                Err(other) => panic!("{chassis} {call}: {other:?}"),
            }
        }
    }
    for call in [
        "syn3a test_process()",
        "ecoli test_ecoli_process()",
        "minimal_cell dna_replication()",
        "ecoli operon_expression_analysis()",
    ] {
        assert!(answered.iter().any(|one| one == call), "{call} is not among {answered:?}");
    }
}

#[test]
fn plasmids_come_and_go_by_calls_and_scripts_where_the_chassis_has_them() {
    let guests = Guests::start(1);
    let ecoli = |code: &str| guests.run_on(ChassisName::Ecoli, code);
    let inserted = ecoli("insert_plasmid('pBR322')").expect("it is taken");
    assert_eq!((inserted.changes.len(), inserted.checkpoint.is_some()), (1, true));
    let script =
        "cell.insert_plasmid('pBR322') cell.advance(30) cell.remove_plasmid('pBR322') return cell.time()";
    let scripted = ecoli(script).expect("it runs");
    assert_eq!((scripted.value, scripted.changes.len()), (Value::Whole(30), 2));
    let unknown = ecoli("insert_plasmid('pBR323')").expect_err("there is none of that name");
    assert!(matches!(&unknown, Failure::UnknownGene { what, .. } if what == "plasmid"), "{unknown:?}");
    let without = guests.run("insert_plasmid('pBR322')").expect_err("syn3a has none");
    assert!(matches!(without, Failure::Unsupported { .. }), "{without:?}");
}

#[test]
fn what_cannot_be_called_is_refused_and_says_why() {
    let guests = Guests::start(1);
    let failure = |code: &str| guests.run(code).expect_err(code);
    match failure("dna_replicate()") {
        Failure::UnknownFunction { name, nearest } => {
            assert_eq!((name.as_str(), nearest.len()), ("dna_replicate", 5));
            assert_eq!(nearest[0], "dna_replication");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(failure("test_process(1, 2)"), Failure::BadArgument { .. }));
    assert!(matches!(failure("set_nutrient('much')"), Failure::BadArgument { .. }));
    assert!(matches!(failure("set_nutrient(-1)"), Failure::BadArgument { .. }));
    assert!(matches!(failure("start_transcription('dnaA')"), Failure::BadArgument { .. }));
    assert!(matches!(failure("test_process(x)"), Failure::BadCall { column: 14, .. }));
    assert!(matches!(failure("test_ecoli_process()"), Failure::Unsupported { .. }));
    assert!(matches!(failure("advance(0.05)"), Failure::BadArgument { .. }));
}

#[test]
fn genes_and_operons_answer_as_they_stand_and_unknown_ones_with_the_nearest() {
    let guests = Guests::start(1);
    let mrna = |value: &Value, at: usize| match value {
        Value::List(list) => list[at].get("mrna").and_then(Value::as_f64).expect("mRNA"),
        other => panic!("{other:?}"),
    };
    let done = guests.run("start_transcription(['dnaA', 'dnaN'])").expect("it works");
    assert_eq!(done.changes[0].organism.len(), 1);
    let before = guests.value("return cell.genes({'dnaA', 'dnaN'})");
    assert!(mrna(&done.value, 0) > mrna(&before, 0) && mrna(&done.value, 1) > mrna(&before, 1));
    match guests.run("start_transcription(['dnaA', 'dnaQQ'])").expect_err("it is unknown") {
        Failure::UnknownGene { what, name, nearest, .. } => {
            assert_eq!((what.as_str(), name.as_str(), nearest.len()), ("gene", "dnaQQ", 5));
        }
        other => panic!("{other:?}"),
    }
    let before = guests.run_on(ChassisName::Ecoli, "operon_expression_analysis()").expect("it works").value;
    let Some(Value::List(operons)) = before.get("operons") else { panic!("{before:?}") };
    let Some(Value::Text(lac)) = operons[0].get("operon") else { panic!("{operons:?}") };
    let regulated = format!(
        "cell.manage_operons({{'{lac}'}}, 'repress') cell.advance(30) return cell.operon_expression_analysis()"
    );
    let after = guests.run_on(ChassisName::Ecoli, &regulated).expect("it works").value;
    assert_eq!(
        (before.get("regulated"), after.get("regulated")),
        (Some(&Value::Whole(0)), Some(&Value::Whole(1)))
    );
    assert_ne!(before.get("mrna"), after.get("mrna"));
    for code in ["manage_operons(['no'], 'activate')", "start_transcription(['dnaA'])"] {
        let failure = guests.run_on(ChassisName::Ecoli, code).expect_err("ecoli lacks it");
        assert!(matches!(failure, Failure::UnknownGene { .. } | Failure::Unsupported { .. }), "{failure:?}");
    }
    let failure = guests
        .run_on(ChassisName::Ecoli, &format!("manage_operons(['{lac}'], 'warm')"))
        .expect_err("no action");
    assert!(matches!(failure, Failure::BadArgument { .. }), "{failure:?}");
}

#[test]
fn a_plain_call_that_changes_the_cell_says_how() {
    let guests = Guests::start(1);
    let done = guests.run("add_drug('chloramphenicol', 4)").expect("it works");
    assert_eq!(done.changes, [Change { parameters: [("cl".to_owned(), 4.0)].into(), ..Change::default() }]);
    assert!(done.checkpoint.is_some());
    let done = guests.run("advance(12.5)").expect("it works");
    assert_eq!(done.value, Value::Number(12.5));
}
