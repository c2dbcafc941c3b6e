//! The oscillator of Vilar et al., PNAS 2002;99:5988, per hour: as a model of ours defined at run time, and as rebop's
//! two kinds of model. Each run goes from 0 to 200 with 201 points.

#![expect(clippy::too_many_arguments, reason = "a constructor that rebop writes")]

use std::hint::black_box;
use std::sync::Arc;

use bioxen_hypervisor::rng::Rng;
use bioxen_hypervisor::ssa::{Direct, Reaction, ReactionModel, Rejection, Species};
use rebop::define_system;
use rebop::gillespie::{Gillespie, Rate};

const SPECIES: [(&str, u64); 9] =
    [("DA", 1), ("DR", 1), ("DAa", 0), ("DRa", 0), ("MA", 0), ("MR", 0), ("A", 0), ("R", 0), ("C", 0)];
const REACTIONS: [(&[&str], &[&str], f64); 16] = [
    (&["DA", "A"], &["DAa"], 1.0),
    (&["DAa"], &["DA", "A"], 50.0),
    (&["DR", "A"], &["DRa"], 1.0),
    (&["DRa"], &["DR", "A"], 100.0),
    (&["DAa"], &["DAa", "MA"], 500.0),
    (&["DA"], &["DA", "MA"], 50.0),
    (&["DRa"], &["DRa", "MR"], 50.0),
    (&["DR"], &["DR", "MR"], 0.01),
    (&["MA"], &["MA", "A"], 50.0),
    (&["MR"], &["MR", "R"], 5.0),
    (&["A", "R"], &["C"], 2.0),
    (&["C"], &["R"], 1.0),
    (&["A"], &[], 1.0),
    (&["R"], &[], 0.2),
    (&["MA"], &[], 10.0),
    (&["MR"], &[], 0.5),
];

define_system! {
    bind_a free_a bind_r free_r make_ma_active make_ma make_mr_active make_mr make_a make_r join split
    decay_a decay_r decay_ma decay_mr;
    Vilar { DA, DR, DAa, DRa, MA, MR, A, R, C }
    r_bind_a: DA + A => DAa @ bind_a
    r_free_a: DAa => DA + A @ free_a
    r_bind_r: DR + A => DRa @ bind_r
    r_free_r: DRa => DR + A @ free_r
    r_make_ma_active: DAa => DAa + MA @ make_ma_active
    r_make_ma: DA => DA + MA @ make_ma
    r_make_mr_active: DRa => DRa + MR @ make_mr_active
    r_make_mr: DR => DR + MR @ make_mr
    r_make_a: MA => MA + A @ make_a
    r_make_r: MR => MR + R @ make_r
    r_join: A + R => C @ join
    r_split: C => R @ split
    r_decay_a: A => @ decay_a
    r_decay_r: R => @ decay_r
    r_decay_ma: MA => @ decay_ma
    r_decay_mr: MR => @ decay_mr
}

/// The end of each of the 200 intervals.
fn hours() -> impl Iterator<Item = f64> {
    (1..=200).map(f64::from)
}

pub(crate) fn model() -> Arc<ReactionModel> {
    let species = SPECIES.map(|(name, initial)| Species { name: name.to_owned(), initial });
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let reactions = REACTIONS.iter().map(|(reactants, products, rate)| Reaction {
        name: format!("{} -> {}", reactants.join(" + "), products.join(" + ")),
        reactants: names(reactants),
        products: names(products),
        rate: *rate,
    });
    Arc::new(ReactionModel::new(species.to_vec(), reactions.collect()).expect("a sound model"))
}

/// How many events there were.
pub(crate) fn direct(model: &Arc<ReactionModel>, replicate: u32) -> u64 {
    let mut simulation = Direct::new(Arc::clone(model), Rng::new(1, replicate, 0)).expect("a small model");
    for hour in hours() {
        simulation.advance_to(hour).expect("it goes on");
        black_box(simulation.count(7));
    }
    simulation.events()
}

pub(crate) fn rejection(model: &Arc<ReactionModel>, replicate: u32) {
    let mut simulation = Rejection::new(Arc::clone(model), Rng::new(1, replicate, 0)).expect("a sound model");
    for hour in hours() {
        simulation.advance_to(hour).expect("it goes on");
        black_box(simulation.count(7));
    }
}

pub(crate) fn rebop_compiled(replicate: u32) {
    let rates = REACTIONS.map(|(_, _, rate)| rate);
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = rates;
    let mut simulation = Vilar::with_parameters(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
    simulation.seed(u64::from(replicate));
    (simulation.DA, simulation.DR) = (1, 1);
    for hour in hours() {
        simulation.advance_until(hour);
        black_box(simulation.R);
    }
}

pub(crate) fn rebop_interpreted(replicate: u32) {
    let index = |wanted: &str| SPECIES.iter().position(|(name, _)| *name == wanted).expect("a species");
    let mut simulation = Gillespie::new_with_seed([1, 1, 0, 0, 0, 0, 0, 0, 0], false, u64::from(replicate));
    for (reactants, products, rate) in REACTIONS {
        let (mut order, mut change) = ([0_u32; 9], [0_isize; 9]);
        for name in reactants {
            order[index(name)] += 1;
            change[index(name)] -= 1;
        }
        for name in products {
            change[index(name)] += 1;
        }
        simulation.add_reaction(Rate::lma(rate, order), change);
    }
    for hour in hours() {
        simulation.advance_until(hour);
        black_box(simulation.get_species(7));
    }
}
