//! The script form, through a real guest: effects, results, limits that are the cell's.

use bioxen_guest::{Failure, Job, Limits, Value};
use bioxen_hypervisor::{Cell, Change, ChassisName, RibosomeCap};

use crate::support::{Guests, fresh, job};

#[test]
fn a_script_drives_the_cell_as_the_same_changes_would() {
    let guests = Guests::start(1);
    let code = r#"
        cell.add_drug("chloramphenicol", 4)
        cell.advance(10)
        cell.set_nutrient(2000)
        cell.set_allocation{atp_percentage = 50, ribosomes = 8}
        cell.record("growth", cell.metrics().growth_rate_per_min)
        local reached = cell.wait_until(function() return cell.time() >= 12.3 end, 60)
        return {reached = reached, minutes = cell.time(), growth = cell.metrics().growth_rate_per_min}
    "#;
    let outcome = guests.outcome(&job(&fresh(ChassisName::Syn3a), code));
    let done = outcome.result.expect("it works");
    let mut cell = fresh(ChassisName::Syn3a);
    for change in [
        Change { parameters: [("cl".to_owned(), 4.0)].into(), ..Change::default() },
        Change { tick: 100, parameters: [("s0".to_owned(), 2000.0)].into(), ..Change::default() },
        Change {
            tick: 100,
            atp_milli_percent: Some(50_000),
            ribosomes: Some(RibosomeCap::Units(8)),
            ..Change::default()
        },
    ] {
        cell.advance_to(change.tick).expect("advanced");
        cell.apply(&change).expect("applied");
    }
    let growth_at_ten = cell.metrics().growth_rate_per_min;
    cell.advance_to(123).expect("advanced");
    assert_eq!(done.checkpoint.expect("it changed").0, cell.checkpoint());
    assert_eq!(done.changes.iter().map(|change| change.tick).collect::<Vec<_>>(), [0, 100, 100]);
    assert_eq!((done.records[0].tick, done.records[0].value), (100, growth_at_ten));
    assert_eq!(outcome.spent.ticks, 123);
    assert_eq!(done.value.get("reached"), Some(&Value::Bool(true)));
    assert_eq!(done.value.get("growth").and_then(Value::as_f64), Some(cell.metrics().growth_rate_per_min));
}

#[test]
fn a_script_that_fails_leaves_no_trace_and_names_its_line() {
    let guests = Guests::start(1);
    let failure =
        guests.run("cell.set_nutrient(5)\ncell.advance(1)\nlocal x = nil + 1").expect_err("it fails");
    assert!(
        matches!(&failure, Failure::Runtime { line: Some(3), message } if message.contains("nil")),
        "{failure:?}"
    );
    let failure = guests.run("\n\nreturn cell.set_nutrient(-5)").expect_err("it fails");
    assert!(matches!(failure, Failure::BadArgument { .. }), "{failure:?}");
    let failure = guests.run("return cell.dna_replicate()").expect_err("it fails");
    let Failure::UnknownFunction { nearest, .. } = failure else { panic!("{failure:?}") };
    assert_eq!((nearest[0].as_str(), nearest.len()), ("dna_replication", 5));
}

#[test]
fn an_allocation_stays_within_what_is_reserved() {
    let guests = Guests::start(1);
    for code in ["cell.set_allocation{atp_percentage = 60.001}", "cell.set_allocation{ribosomes = 11}"] {
        let failure = guests.run(code).expect_err(code);
        assert!(failure.to_string().contains("reserved"), "{code}: {failure}");
    }
    for code in
        ["cell.set_allocation{atp = 10}", "cell.set_allocation{}", "cell.set_allocation{ribosomes = 'x'}"]
    {
        guests.run(code).expect_err(code);
    }
    let caught = "local ok, e = pcall(cell.set_allocation, {ribosomes = 99}) return {ok, e}";
    let Value::List(caught) = guests.value(caught) else { panic!("a list") };
    assert_eq!(caught[0], Value::Bool(false));
    assert!(matches!(&caught[1], Value::Text(text) if text.contains("reserved")), "{caught:?}");
}

#[test]
fn results_are_data_of_every_kind() {
    let guests = Guests::start(1);
    for (code, expected) in [
        ("return", Value::Null),
        ("return 1.5", Value::Number(1.5)),
        ("return 3", Value::Whole(3)),
        ("return 0 / 0", Value::Null),
        ("return 'é'", Value::Text("é".to_owned())),
        ("return {}", Value::List(Vec::new())),
        ("return 1, true", Value::List(vec![Value::Whole(1), Value::Bool(true)])),
        (
            "return {a = {1, 2}}",
            Value::Table([("a".to_owned(), Value::List(vec![Value::Whole(1), Value::Whole(2)]))].into()),
        ),
        ("return ({1, nil, 3, x = 4}).x", Value::Whole(4)),
        ("local t = {} t[2] = 2 t[1] = 1 return t", Value::List(vec![Value::Whole(1), Value::Whole(2)])),
        ("return {[2] = 'b'}", Value::Table([("2".to_owned(), Value::Text("b".to_owned()))].into())),
        ("return tostring({}) .. `{print}{cell.time}`", Value::Text("tablenilfunction".to_owned())),
    ] {
        assert_eq!(guests.value(code), expected, "{code}");
    }
}

#[test]
fn the_fuel_used_is_the_same_every_time_and_the_limit_is_sharp() {
    let guests = Guests::start(2);
    let code = "local n = 0 for i = 1, 1000 do n += i end cell.advance(5) return n";
    let cell = fresh(ChassisName::Weisse2015);
    let first = guests.outcome(&job(&cell, code));
    for _ in 0..4 {
        assert_eq!(guests.outcome(&job(&cell, code)), first);
    }
    let with_fuel = |fuel| {
        let limits = Limits { fuel, ..Limits::default() };
        guests.outcome(&Job { limits, ..job(&cell, code) }).result
    };
    assert!(with_fuel(first.spent.fuel).is_ok());
    assert_eq!(with_fuel(first.spent.fuel - 1), Err(Failure::Fuel { limit: first.spent.fuel - 1 }));
}

#[test]
fn a_cell_goes_on_from_a_script_as_if_it_had_been_driven_by_hand() {
    let guests = Guests::start(1);
    let mut cell = fresh(ChassisName::Ecoli);
    for _ in 0..3 {
        let done =
            guests.outcome(&job(&cell, "cell.advance(7.7) return cell.time()")).result.expect("it works");
        cell = Cell::restore(&done.checkpoint.expect("it moved").0).expect("a checkpoint");
    }
    let mut straight = fresh(ChassisName::Ecoli);
    straight.advance_to(231).expect("advanced");
    assert_eq!(cell.checkpoint(), straight.checkpoint());
}
