//! What `bioxen simulate` relies on: settings as text, figures, and a trajectory that reads back to the bit.

use bioxen_hypervisor::simulate::{Options, SimulateError, run, steady, trajectory_csv};
use bioxen_hypervisor::{Cell, ChassisName};

fn options(chassis: ChassisName, set: &[&str], at: &[&str]) -> Options {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Options { set: texts(set), at: texts(at), ..Options::new(chassis) }
}

#[test]
fn every_number_of_a_trajectory_reads_back_to_the_bit() {
    let options =
        Options { every_minutes: 0.7, ..options(ChassisName::Weisse2015, &["cl=4"], &["30:ns=0.2"]) };
    let csv = trajectory_csv(&options).unwrap();
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut cell = Cell::new(&bioxen_hypervisor::simulate::spec(&options).unwrap()).unwrap();
    let mut rows = 0;
    for line in lines {
        let values: Vec<f64> = line.split(',').map(|value| value.parse().unwrap()).collect();
        assert_eq!(values.len(), header.len());
        cell.advance_to(bioxen_hypervisor::tick_at(values[0]).unwrap()).unwrap();
        for (column, (name, value)) in cell.variables().enumerate() {
            assert_eq!((header[column + 1], values[column + 1].to_bits()), (name, value.to_bits()));
        }
        rows += 1;
    }
    assert_eq!((rows, cell.tick()), (87, 600));
}

#[test]
fn the_figures_are_those_of_the_last_minute() {
    let options = Options {
        minutes: 10.0,
        atp_percent: Some(33.3333),
        ..options(ChassisName::Syn3a, &[], &["4:ribosomes=5"])
    };
    let outcome = serde_json::to_value(run(&options).unwrap()).unwrap();
    assert_eq!(outcome["chassis"], "syn3a");
    assert_eq!(outcome["simulated_minutes"], 10.0);
    assert_eq!(outcome["atp_percentage"], 33.333);
    assert!((outcome["ribosome_cap"].as_f64().unwrap() - 503.0 / 3.0).abs() < 1e-9);
    assert_eq!(outcome["state"].as_object().unwrap().len(), 19);
    assert_eq!(outcome["gene_count"], 496);
    assert_eq!(outcome["function_status"]["growth"], "reduced");
}

#[test]
fn a_recalibrated_cell_starts_at_its_own_steady_state() {
    for (setting, doubling_time_min) in
        [("td=150", 150.0), ("R=600", 105.0), ("act=0.7", 105.0), ("phiE=0.3", 105.0)]
    {
        let outcome = run(&options(ChassisName::Syn3a, &[setting], &[])).unwrap();
        assert!(
            (outcome.metrics.doubling_time_min.unwrap() / doubling_time_min - 1.0).abs() < 1e-9,
            "{setting}"
        );
    }
    let changed =
        run(&Options { minutes: 3_000.0, ..options(ChassisName::Syn3a, &[], &["5:td=150"]) }).unwrap();
    assert!((changed.metrics.doubling_time_min.unwrap() / 150.0 - 1.0).abs() < 1e-4);
}

#[test]
fn a_cell_that_stops_growing_has_no_steady_state_but_a_trajectory() {
    for chassis in ChassisName::ALL {
        let starved = Options { atp_percent: Some(0.0), ..Options::new(chassis) };
        assert!(steady(&starved).is_err(), "{chassis}");
        assert!(run(&starved).is_ok(), "{chassis}");
    }
}

#[test]
fn settings_that_are_not_understood_say_what_is_expected() {
    for (set, at, expected) in [
        (&["s0"][..], &[][..], "NAME=VALUE"),
        (&["s0=ten"], &[], "NAME=VALUE"),
        (&[], &["s0=10"], "MINUTE:NAME=VALUE"),
        (&[], &["5:ribosomes=1.5"], "MINUTE:NAME=VALUE"),
        (&[], &["0.05:s0=10"], "multiple of 0.1"),
        (&[], &["61:s0=10"], "simulate longer"),
        (&[], &["6:atp=-1"], "0 to 100000 percent"),
        (&["s1=10"], &[], "expected one of s0, cl"),
    ] {
        let error = run(&options(ChassisName::Syn3a, set, at)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let both = Options { ribosomes: Some(3), ribosome_cap: Some(9.0), ..Options::new(ChassisName::Syn3a) };
    assert_eq!(run(&both).unwrap_err(), SimulateError::TwoCaps);
    let long = Options { minutes: 1e9, every_minutes: 0.1, ..Options::new(ChassisName::Syn3a) };
    assert!(matches!(trajectory_csv(&long), Err(SimulateError::TooManyRows { .. })));
    assert_eq!(
        steady(&options(ChassisName::Syn3a, &[], &["5:cl=1"])).unwrap_err(),
        SimulateError::SteadyWithChanges
    );
}
