//! The choice among many propensities, by itself.

use super::*;
use bioxen_hypervisor::ssa::Selector;

fn selector(propensities: &[f64]) -> Selector {
    let mut selector = Selector::new(propensities.len());
    for (reaction, propensity) in propensities.iter().enumerate() {
        selector.update(reaction, *propensity).unwrap();
    }
    selector
}

#[test]
fn reactions_are_chosen_as_often_as_their_propensities_say() {
    // Both ends of a group, groups far apart, two of a kind, and one that cannot happen.
    let propensities = [1.0, 1.999, 2.0, 0.0, 100.0, 0.7, 1e-9, 33.3, 2.0];
    let selector = selector(&propensities);
    let total: f64 = propensities.iter().sum();
    assert!((selector.total() / total - 1.0).abs() < 1e-12);
    let mut rng = Rng::new(4, 0, 0);
    let draws = 200_000;
    let mut chosen = [0_u32; 9];
    for _ in 0..draws {
        chosen[selector.select(&mut rng).unwrap()] += 1;
    }
    for (reaction, (chosen, propensity)) in chosen.into_iter().zip(propensities).enumerate() {
        let share = propensity / total;
        let error = 4.0 * (share * (1.0 - share) / f64::from(draws)).sqrt() + 1e-5;
        let found = f64::from(chosen) / f64::from(draws);
        assert!((found - share).abs() < error, "reaction {reaction}: {found} against {share}");
    }
    assert_eq!(chosen[3], 0);
}

#[test]
fn nothing_is_chosen_where_nothing_can_happen() {
    let mut selector = selector(&[3.0, 0.5]);
    selector.update(0, 0.0).unwrap();
    selector.update(1, -0.0).unwrap();
    assert_eq!((selector.total(), selector.select(&mut Rng::new(1, 0, 0))), (0.0, None));
    assert_eq!((Selector::new(0).is_empty(), Selector::new(0).select(&mut Rng::new(1, 0, 0))), (true, None));
}

#[test]
fn what_is_no_propensity_is_refused_and_changes_nothing() {
    let mut selector = selector(&[3.0, 0.5]);
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e301, -3.0] {
        let error = selector.update(0, wrong).unwrap_err();
        assert!(error.to_string().contains("give a number from 0"), "{error}");
        assert_eq!((selector.propensity(0), selector.total()), (3.0, 3.5));
    }
}

/// Many updates, then the same again after it was saved in between: sums, order of members, choices.
#[test]
fn a_selector_goes_on_the_same_after_it_was_saved() {
    fn walk(selector: &mut Selector, rng: &mut Rng, steps: u32) -> usize {
        (0..steps).fold(0, |digest, _| {
            let chosen = selector.select(rng).unwrap();
            selector.update(chosen, 50.0 * rng.exponential()).unwrap();
            digest.wrapping_mul(31).wrapping_add(chosen)
        })
    }
    let mut first = selector(&(1..=300).map(f64::from).collect::<Vec<_>>());
    let mut rng = Rng::new(2, 0, 0);
    walk(&mut first, &mut rng, 70_000);
    let mut second: Selector = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
    assert_eq!(first, second);
    let mut again = rng.clone();
    assert_eq!(walk(&mut first, &mut rng, 70_000), walk(&mut second, &mut again, 70_000));
    assert_eq!(first, second);
    let exact: f64 = (0..300).map(|reaction| first.propensity(reaction)).sum();
    assert!((first.total() / exact - 1.0).abs() < 1e-9);
}

#[test]
fn a_saved_selector_that_does_not_fit_is_refused() {
    let saved = serde_json::to_value(selector(&[1.0, 1.5, 8.0])).unwrap();
    let changes: [(&str, serde_json::Value); 8] = [
        ("/propensities/0", 9.0.into()),
        ("/propensities/0", 0.0.into()),
        ("/propensities/2", (-8.0).into()),
        ("/groups/0/members/0", 1.into()),
        ("/groups/0/members/0", 77.into()),
        ("/groups/0/exponent", 4_000_000_000_u32.into()),
        ("/groups/1/sum", 9.0.into()),
        ("/updates_to_sum", 0.into()),
    ];
    for (at, value) in changes {
        let mut changed = saved.clone();
        *changed.pointer_mut(at).unwrap() = value;
        let error = serde_json::from_value::<Selector>(changed).unwrap_err().to_string();
        assert!(error.contains("does not fit"), "{at}: {error}");
    }
}
