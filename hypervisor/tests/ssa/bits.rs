//! Where a caller stops, clones, saves or restores changes no bit; and the bits are the same on every machine.

use super::*;
use bioxen_hypervisor::rng::Rng;
use proptest::prelude::*;

const END: f64 = 10.0;

fn straight<M: Method>(model: &Arc<ReactionModel>, end: f64) -> String {
    let mut simulation = M::begin(model, Rng::new(5, 1, 2));
    simulation.advance_to(end).unwrap();
    simulation.save()
}

/// What a caller does at one of its stops.
#[derive(Clone, Copy, Debug)]
enum Stop {
    At(f64),
    After(u64),
    Clone,
    Save,
}

fn a_stop() -> impl Strategy<Value = Stop> {
    prop_oneof![
        (0.0..END).prop_map(Stop::At),
        (0_u64..6_000).prop_map(Stop::After),
        Just(Stop::Clone),
        Just(Stop::Save),
    ]
}

fn driven<M: Method>(model: &Arc<ReactionModel>, stops: &[Stop]) -> String {
    let mut simulation = M::begin(model, Rng::new(5, 1, 2));
    for stop in stops {
        match stop {
            // One that lies behind is refused, and changes nothing.
            Stop::At(time) => drop(simulation.advance_to(*time)),
            Stop::After(events) => drop(simulation.advance_within(END, *events).unwrap()),
            Stop::Clone => {
                let cloned = simulation.clone();
                simulation.advance_to(END).unwrap();
                simulation = cloned;
            }
            Stop::Save => simulation = M::load(model, &simulation.save()).unwrap(),
        }
    }
    simulation.advance_to(END).unwrap();
    simulation.save()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn stops_clones_and_saves_change_no_bit(stops in prop::collection::vec(a_stop(), 1..8)) {
        let model = vilar();
        prop_assert_eq!(driven::<Direct>(&model, &stops), straight::<Direct>(&model, END));
        prop_assert_eq!(driven::<Rejection>(&model, &stops), straight::<Rejection>(&model, END));
    }
}

/// FNV-1a of what is saved: every count, time, sum and position.
fn digest(saved: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    saved.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[test]
fn the_bits_are_the_same_on_every_machine() {
    let model = vilar();
    let digests = [digest(&straight::<Direct>(&model, 60.0)), digest(&straight::<Rejection>(&model, 60.0))];
    assert_eq!(digests, [9374978858516571701, 5354493311545191323]);
}

#[test]
fn replicates_differ_and_repeat() {
    fn run<M: Method>(replicate: u32) -> String {
        let mut simulation = M::begin(&vilar(), Rng::new(9, replicate, 0));
        simulation.advance_to(5.0).unwrap();
        serde_json::to_string(&simulation.counts()).unwrap()
    }
    assert_eq!(run::<Direct>(1), run::<Direct>(1));
    assert_ne!(run::<Direct>(1), run::<Direct>(2));
    assert_ne!(run::<Rejection>(1), run::<Rejection>(2));
}

#[test]
fn a_network_that_has_come_to_rest_wakes_with_new_molecules() {
    fn run<M: Method>() {
        let model = model(&[("A", 40), ("B", 0)], &[("A -> B", 3.0)]);
        let mut simulation = M::begin(&model, Rng::new(1, 0, 0));
        simulation.advance_to(1e6).unwrap();
        assert_eq!((simulation.counts(), simulation.events()), (vec![0, 40], 40));
        simulation = M::load(&model, &simulation.save()).unwrap();
        simulation.set_count(0, 7).unwrap();
        assert_eq!(simulation.counts(), [7, 40]);
        simulation.advance_to(2e6).unwrap();
        assert_eq!((simulation.counts(), simulation.events()), (vec![0, 47], 47));
    }
    run::<Direct>();
    run::<Rejection>();
}

/// The fast species vanishes, and with it ten decades of the sum: what is left must still have its own rate.
#[test]
fn what_is_slow_keeps_its_rate_when_what_is_fast_has_gone() {
    fn waiting_time<M: Method>() -> f64 {
        let model = model(&[("A", 300), ("B", 1)], &[("A ->", 1e10), ("B ->", 1.0)]);
        let replicates = 400;
        let waits = (0..replicates).map(|replicate| {
            let mut simulation = M::begin(&model, Rng::new(8, replicate, 0));
            let (mut low, mut high) = (0.0, 64.0);
            let start = simulation.clone();
            // When it happened, to a thousandth, by asking earlier and later.
            while high - low > 1e-3 {
                let middle = (low + high) / 2.0;
                simulation = start.clone();
                simulation.advance_to(middle).unwrap();
                if simulation.counts()[1] == 1 { low = middle } else { high = middle }
            }
            low
        });
        waits.sum::<f64>() / f64::from(replicates)
    }
    for wait in [waiting_time::<Direct>(), waiting_time::<Rejection>()] {
        assert!((wait - 1.0).abs() < 4.0 / 400.0_f64.sqrt(), "{wait} against 1");
    }
}
