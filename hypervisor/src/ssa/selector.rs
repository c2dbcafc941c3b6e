//! Which of many reactions happens: composition and rejection (Slepoy, Thompson, Plimpton, J. Chem. Phys.
//! 2008;128:205101), so that neither a choice nor an update costs more where there are more reactions.
//!
//! ```text
//!   group of 2^k: the reactions with a propensity from 2^k to below 2^(k+1), and their sum
//!   choose a group by its sum, then members at random until one passes with probability propensity / 2^(k+1)
//! ```
//!
//! It knows propensities only: where they come from, and when an event happens, is the caller's.

use serde::{Deserialize, Serialize};

use super::error::SsaError;
use crate::rng::Rng;

/// Updates between exact sums of the groups. Members of a group are alike, so differences cost it little.
const UPDATES_PER_SUM: u32 = 1 << 16;
/// Highest propensity: sums of as many as there can be stay numbers.
const PROPENSITY_MOST: f64 = 1e300;
/// In place of a group: for propensities of 0.
const NO_GROUP: u32 = u32::MAX;
/// Mantissa bits of a double.
const MANTISSA_BITS: u32 = 52;

/// Propensities that can be chosen from. A clone goes on with the same choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SelectorState", into = "SelectorState")]
pub struct Selector {
    propensities: Vec<f64>,
    places: Vec<Place>,
    /// As they came to be: the index is kept in `places`.
    groups: Vec<Group>,
    /// Groups by falling propensity.
    order: Vec<u32>,
    updates_to_sum: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    group: u32,
    member: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// The exponent of its propensities as a double has it.
    exponent: u32,
    sum: f64,
    members: Vec<u32>,
}

/// What a selector is kept as: the order of members is part of the choices to come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorState {
    propensities: Vec<f64>,
    groups: Vec<Group>,
    updates_to_sum: u32,
}

impl Selector {
    /// For so many reactions, all with propensity 0.
    #[must_use]
    pub fn new(reactions: usize) -> Self {
        Self {
            propensities: vec![0.0; reactions],
            places: vec![Place { group: NO_GROUP, member: 0 }; reactions],
            groups: Vec::new(),
            order: Vec::new(),
            updates_to_sum: UPDATES_PER_SUM,
        }
    }

    /// Reactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.propensities.len()
    }

    /// Whether there is no reaction at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.propensities.is_empty()
    }

    /// The sum of all propensities.
    #[inline]
    #[must_use]
    pub fn total(&self) -> f64 {
        self.order.iter().map(|group| self.groups[*group as usize].sum).sum()
    }

    /// The propensity of a reaction.
    ///
    /// # Panics
    /// Where there is no such reaction.
    #[must_use]
    pub fn propensity(&self, reaction: usize) -> f64 {
        self.propensities[reaction]
    }

    /// Sets the propensity of a reaction. What is below the normal numbers, 2.2e-308, counts as 0.
    ///
    /// # Errors
    /// What is no propensity: negative, beyond 1e300, no number.
    ///
    /// # Panics
    /// Where there is no such reaction.
    #[inline]
    pub fn update(&mut self, reaction: usize, propensity: f64) -> Result<(), SsaError> {
        let old = std::mem::replace(&mut self.propensities[reaction], propensity);
        let group = self.places[reaction].group;
        if let Some(group) = self.groups.get_mut(group as usize)
            && group.exponent == exponent(propensity)
        {
            group.sum += propensity - old;
        } else if (0.0..=PROPENSITY_MOST).contains(&propensity) {
            self.leave(reaction, old);
            self.join(reaction, propensity);
        } else {
            self.propensities[reaction] = old;
            return Err(SsaError::Propensity { reaction, propensity });
        }
        self.updates_to_sum -= 1;
        if self.updates_to_sum == 0 {
            self.sum_anew();
        }
        Ok(())
    }

    /// A reaction, each with probability propensity / total; `None` where all are 0.
    #[inline]
    pub fn select(&self, rng: &mut Rng) -> Option<usize> {
        let mut left = rng.uniform_open() * self.total();
        let mut chosen = None;
        for group in &self.order {
            let group = &self.groups[*group as usize];
            if group.members.is_empty() {
                continue;
            }
            // By rounding the search may come to its end: then it is the last one.
            chosen = Some(group);
            if left < group.sum {
                break;
            }
            left -= group.sum;
        }
        chosen.map(|group| self.select_in(group, rng))
    }

    fn select_in(&self, group: &Group, rng: &mut Rng) -> usize {
        let bound = f64::from_bits(u64::from(group.exponent + 1) << MANTISSA_BITS);
        let members = group.members.len() as f64;
        // A try passes with a half or more.
        loop {
            let place = rng.uniform_open() * members;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to the members"
            )]
            let member = place as u32;
            // The product may round up to the number of members.
            let Some(reaction) = group.members.get(member as usize) else { continue };
            let reaction = *reaction as usize;
            if (place - f64::from(member)) * bound < self.propensities[reaction] {
                return reaction;
            }
        }
    }

    fn leave(&mut self, reaction: usize, old: f64) {
        let Place { group, member } = self.places[reaction];
        let Some(group) = self.groups.get_mut(group as usize) else { return };
        group.members.swap_remove(member as usize);
        group.sum = if group.members.is_empty() { 0.0 } else { group.sum - old };
        if let Some(moved) = group.members.get(member as usize) {
            self.places[*moved as usize].member = member;
        }
        self.places[reaction].group = NO_GROUP;
    }

    #[expect(clippy::cast_possible_truncation, reason = "fewer than 2^32 reactions, 2^11 groups")]
    fn join(&mut self, reaction: usize, propensity: f64) {
        let exponent = exponent(propensity);
        if exponent == 0 {
            return;
        }
        let known =
            self.order.iter().copied().find(|group| self.groups[*group as usize].exponent == exponent);
        let at = known.unwrap_or_else(|| {
            self.groups.push(Group { exponent, sum: 0.0, members: Vec::new() });
            self.sort_groups();
            self.groups.len() as u32 - 1
        });
        let group = &mut self.groups[at as usize];
        self.places[reaction] = Place { group: at, member: group.members.len() as u32 };
        group.members.push(reaction as u32);
        group.sum += propensity;
    }

    #[cold]
    fn sum_anew(&mut self) {
        for group in &mut self.groups {
            group.sum = group.members.iter().map(|reaction| self.propensities[*reaction as usize]).sum();
        }
        self.updates_to_sum = UPDATES_PER_SUM;
    }

    fn sort_groups(&mut self) {
        self.order = (0_u32..).zip(&self.groups).map(|(at, _)| at).collect();
        self.order.sort_unstable_by_key(|group| std::cmp::Reverse(self.groups[*group as usize].exponent));
    }
}

impl From<Selector> for SelectorState {
    fn from(selector: Selector) -> Self {
        let Selector { propensities, groups, updates_to_sum, .. } = selector;
        Self { propensities, groups, updates_to_sum }
    }
}

impl TryFrom<SelectorState> for Selector {
    type Error = SsaError;

    fn try_from(state: SelectorState) -> Result<Self, SsaError> {
        let wrong = |what| SsaError::State { what };
        let SelectorState { propensities, groups, updates_to_sum } = state;
        if !(1..=UPDATES_PER_SUM).contains(&updates_to_sum) {
            return Err(wrong("the updates since the last sum"));
        }
        let mut places = vec![Place { group: NO_GROUP, member: 0 }; propensities.len()];
        for (at, group) in (0_u32..).zip(&groups) {
            for (member, reaction) in (0_u32..).zip(&group.members) {
                let place = places.get_mut(*reaction as usize).ok_or_else(|| wrong("a group's member"))?;
                let fits = exponent(propensities[*reaction as usize]) == group.exponent;
                if place.group != NO_GROUP || !fits || group.exponent == 0 {
                    return Err(wrong("a group's member"));
                }
                *place = Place { group: at, member };
            }
            let sum: f64 = group.members.iter().map(|reaction| propensities[*reaction as usize]).sum();
            // What differences may have cost since the last sum.
            let near = (1.0 - 1e-6) * sum..=(1.0 + 1e-6) * sum;
            if !near.contains(&group.sum) {
                return Err(wrong("a group's sum"));
            }
        }
        let placed = propensities.iter().zip(&places).all(|(propensity, place)| {
            (0.0..=PROPENSITY_MOST).contains(propensity)
                && (exponent(*propensity) == 0) == (place.group == NO_GROUP)
        });
        let mut selector = Self { propensities, places, groups, order: Vec::new(), updates_to_sum };
        selector.sort_groups();
        let twice = selector.order.windows(2).any(|pair| {
            let [a, b] = [pair[0], pair[1]].map(|group| selector.groups[group as usize].exponent);
            a == b
        });
        if !placed || twice {
            return Err(wrong("a group"));
        }
        Ok(selector)
    }
}

/// The exponent as a double has it: 0 for 0, and what is too small to count. -0 is 0.
#[inline]
fn exponent(propensity: f64) -> u32 {
    if propensity == 0.0 { 0 } else { (propensity.to_bits() >> MANTISSA_BITS) as u32 }
}
