//! What is no model, no time, no count and no saved state is refused, and the refusal says what would do.

use super::*;
use bioxen_hypervisor::ssa::{MAX_INITIAL, ModelError};

fn refused(counts: &[(&str, u64)], reactions: &[(&str, f64)]) -> String {
    let counts = counts.iter().map(|(name, initial)| species(name, *initial)).collect();
    let reactions = reactions.iter().map(|(text, rate)| reaction(text, *rate)).collect();
    ReactionModel::new(counts, reactions).unwrap_err().to_string()
}

#[test]
fn a_model_that_cannot_be_is_refused_with_its_reason() {
    let a = [("A", 1)];
    let many = format!("-> {}", ["A"; 101].join(" + "));
    let cases = [
        (refused(&[], &[("->", 1.0)]), "0 species"),
        (refused(&a, &[]), "0 reactions"),
        (refused(&[("A", 1), ("A", 2)], &[("A ->", 1.0)]), "two species are named `A`"),
        (refused(&a, &[("A ->", 1.0), ("A ->", 2.0)]), "two reactions are named `A ->`"),
        (refused(&a, &[("A -> B", 1.0)]), "names `B`, which is no species"),
        (refused(&a, &[("A + A + A + A ->", 1.0)]), "4 reactants"),
        (refused(&a, &[(&many, 1.0)]), "101 products"),
        (refused(&a, &[("A ->", -1.0)]), "the rate -1"),
        (refused(&a, &[("A ->", f64::NAN)]), "the rate NaN"),
        (refused(&a, &[("A ->", f64::INFINITY)]), "the rate inf"),
        (refused(&[("A", MAX_INITIAL + 1)], &[("A ->", 1.0)]), "give at most"),
    ];
    for (error, part) in cases {
        assert!(error.contains(part), "{error} should say {part}");
    }
}

#[test]
fn a_model_is_read_from_text_and_checked_there_too() {
    let text = r#"{"species": [{"name": "A", "initial": 5}, {"name": "B"}],
        "reactions": [{"name": "switch", "reactants": ["A"], "products": ["B"], "rate": 2.5},
                      {"name": "make", "products": ["A"], "rate": 1}]}"#;
    let model: ReactionModel = serde_json::from_str(text).unwrap();
    assert_eq!((model.species().len(), model.reactions().len(), model.index_of("B")), (2, 2, Some(1)));
    assert_eq!(
        serde_json::from_str::<ReactionModel>(&serde_json::to_string(&model).unwrap()).unwrap(),
        model
    );
    for (from, to) in [("\"B\"]", "\"X\"]"), ("2.5", "-2.5"), ("\"rate\": 1}", "\"rate\": 1, \"rte\": 1}")] {
        assert!(serde_json::from_str::<ReactionModel>(&text.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn reactions_that_all_depend_on_each_other_have_a_limit() {
    let hub: Vec<Reaction> =
        (0..5_000).map(|at| Reaction { name: format!("r{at}"), ..reaction("A -> A + A", 1.0) }).collect();
    assert_eq!(ReactionModel::new(vec![species("A", 1)], hub), Err(ModelError::Links));
}

#[test]
fn the_direct_method_says_that_a_model_is_too_large_and_the_other_takes_it() {
    let reactions: Vec<Reaction> =
        (0..300).map(|at| Reaction { name: format!("r{at}"), ..reaction("A ->", 0.01) }).collect();
    let model = Arc::new(ReactionModel::new(vec![species("A", 100)], reactions).unwrap());
    let error = Direct::new(Arc::clone(&model), Rng::new(1, 0, 0)).unwrap_err();
    assert_eq!(error, SsaError::TooLarge { reactions: 300, slots: 2 });
    let mut simulation = Rejection::new(model, Rng::new(1, 0, 0)).unwrap();
    simulation.advance_to(100.0).unwrap();
    assert_eq!(simulation.counts(), [0]);
}

#[test]
fn the_largest_model_of_the_direct_method_runs() {
    let counts = (0..255).map(|at| species(&format!("S{at}"), 1)).collect();
    let reactions =
        (0..256).map(|at| reaction(&format!("S{} -> S{}", at % 255, (at + 1 + at / 255) % 255), 1.0));
    let model = Arc::new(ReactionModel::new(counts, reactions.collect()).unwrap());
    let mut simulation = Direct::new(model, Rng::new(1, 0, 0)).unwrap();
    simulation.advance_to(100.0).unwrap();
    assert_eq!(simulation.counts().iter().sum::<u64>(), 255);
    assert!(simulation.events() > 20_000);
}

#[test]
fn times_species_and_counts_that_cannot_be_are_refused_and_change_nothing() {
    fn run<M: Method>() {
        let mut simulation = M::begin(&vilar(), Rng::new(1, 0, 0));
        simulation.advance_to(1.0).unwrap();
        let before = simulation.save();
        for time in [0.5, f64::NAN, f64::INFINITY, -1.0] {
            assert!(matches!(simulation.advance_to(time), Err(SsaError::Time { .. })), "{time}");
        }
        assert!(matches!(simulation.set_count(9, 1), Err(SsaError::Species { index: 9, species: 9 })));
        assert!(matches!(simulation.set_count(0, MAX_INITIAL + 1), Err(SsaError::Count { .. })));
        assert_eq!(simulation.save(), before);
    }
    run::<Direct>();
    run::<Rejection>();
}

#[test]
fn a_state_of_another_model_is_refused() {
    fn run<M: Method>() {
        let first = model(&[("A", 5), ("B", 0)], &[("A -> B", 1.0), ("B -> A", 1.0)]);
        let mut simulation = M::begin(&first, Rng::new(1, 0, 0));
        simulation.advance_to(1.0).unwrap();
        let saved = simulation.save();
        let others = [
            model(&[("A", 5)], &[("A ->", 1.0), ("-> A", 1.0)]),
            model(&[("A", 5), ("B", 0)], &[("A -> B", 1.0)]),
            model(&[("A", 5), ("B", 0)], &[("A -> B", 2.0), ("B -> A", 2.0)]),
        ];
        for other in others {
            assert!(matches!(M::load(&other, &saved), Err(SsaError::State { .. })));
        }
        for (from, to) in [("\"time\":1.0", "\"time\":-1.0"), ("\"time\":1.0", "\"time\":1e9")] {
            assert!(M::load(&first, &saved.replace(from, to)).is_err(), "{to}");
        }
    }
    run::<Direct>();
    run::<Rejection>();
}
