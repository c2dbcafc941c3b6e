//! Networks of mass-action reactions, defined at run time by the names of their species.
//!
//! ```text
//!   text --serde--> ReactionModel (checked) --network--> Network (flat arrays) --> an engine
//! ```
//!
//! A rate constant c is stochastic: the propensity of a reaction is c times the number of distinct sets of its
//! reactant molecules, so c x for A ->, c x y for A + B ->, c x (x-1)/2 for 2 A -> (Gillespie, J. Phys. Chem.
//! 1977;81:2340). Units are molecules, and one unit of time throughout: BioXen takes minutes.
//!
//! It does not simulate.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::SsaError;
use super::network::Network;

/// Highest order of a reaction: more than three molecules do not meet at once.
pub const MAX_ORDER: usize = 3;
/// Most species of a model: with the next two, its memory stays below some hundred megabytes.
pub const MAX_SPECIES: usize = 100_000;
/// Most reactions of a model.
pub const MAX_REACTIONS: usize = 100_000;
/// Most pairs of reactions of which one changes the propensity of the other.
pub const MAX_LINKS: usize = 20_000_000;
/// Most molecules that one event makes: with it and `MAX_INITIAL`, a count stays below 2^53, where doubles are
/// exact, for 10^12 events.
pub const MAX_PRODUCTS: usize = 100;
/// Most molecules of a species at the start.
pub const MAX_INITIAL: u64 = 1 << 52;
/// Highest rate constant: with three counts below 2^53 a propensity stays below 1e150, far from the end of doubles.
pub const MAX_RATE: f64 = 1e100;

/// A kind of molecule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Species {
    /// Its name, unlike the others'.
    pub name: String,
    /// Molecules at the start.
    #[serde(default)]
    pub initial: u64,
}

/// A mass-action reaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reaction {
    /// Its name, unlike the others'.
    pub name: String,
    /// Names of the species whose molecules meet, one that takes part twice twice; at most three.
    #[serde(default)]
    pub reactants: Vec<String>,
    /// Names of the species that it leaves, as often as it does.
    #[serde(default)]
    pub products: Vec<String>,
    /// Stochastic rate constant, per time and distinct set of reactant molecules.
    pub rate: f64,
}

/// Species and reactions that belong together: every name is known and every figure possible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Definition", into = "Definition")]
pub struct ReactionModel {
    definition: Definition,
    network: Network,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    species: Vec<Species>,
    reactions: Vec<Reaction>,
}

/// Why a model is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// Nothing to count, or more than can be.
    #[error("the model has {found} {what}; give between 1 and {most}")]
    Size {
        /// Species or reactions.
        what: &'static str,
        /// How many.
        found: usize,
        /// The most.
        most: usize,
    },
    /// Two of one name.
    #[error("two {what} are named `{name}`; give each a name of its own")]
    Twice {
        /// Species or reactions.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A name that stands for nothing.
    #[error(
        "reaction `{reaction}` names `{name}`, which is no species of this model; add it or correct the name"
    )]
    UnknownSpecies {
        /// The reaction.
        reaction: String,
        /// The name.
        name: String,
    },
    /// Too many molecules meet.
    #[error(
        "reaction `{reaction}` has {found} reactants; at most {MAX_ORDER} molecules meet: split it into steps"
    )]
    Order {
        /// The reaction.
        reaction: String,
        /// How many.
        found: usize,
    },
    /// It makes too much at once.
    #[error("reaction `{reaction}` has {found} products; give at most {MAX_PRODUCTS}")]
    Products {
        /// The reaction.
        reaction: String,
        /// How many.
        found: usize,
    },
    /// Too many that depend on each other.
    #[error(
        "the reactions change each other's propensities in more than {MAX_LINKS} pairs; use fewer that share a species"
    )]
    Links,
    /// A rate that cannot be.
    #[error("reaction `{reaction}` has the rate {rate}; give a number from 0 to {MAX_RATE:e}")]
    Rate {
        /// The reaction.
        reaction: String,
        /// The rate.
        rate: f64,
    },
    /// Too many molecules.
    #[error("species `{species}` starts with {initial} molecules; give at most {MAX_INITIAL}")]
    Initial {
        /// The species.
        species: String,
        /// How many.
        initial: u64,
    },
}

impl ReactionModel {
    /// A model of these species and reactions.
    ///
    /// # Errors
    /// Names that are unknown or given twice, and figures out of range.
    pub fn new(species: Vec<Species>, reactions: Vec<Reaction>) -> Result<Self, ModelError> {
        Definition { species, reactions }.try_into()
    }

    /// The species, in the order of their counts.
    #[must_use]
    pub fn species(&self) -> &[Species] {
        &self.definition.species
    }

    /// The reactions, in order.
    #[must_use]
    pub fn reactions(&self) -> &[Reaction] {
        &self.definition.reactions
    }

    /// Where a species stands among the counts.
    #[must_use]
    pub fn index_of(&self, species: &str) -> Option<usize> {
        self.definition.species.iter().position(|one| one.name == species)
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }
}

impl TryFrom<Definition> for ReactionModel {
    type Error = ModelError;

    fn try_from(definition: Definition) -> Result<Self, ModelError> {
        let network = definition.network()?;
        Ok(Self { definition, network })
    }
}

impl From<ReactionModel> for Definition {
    fn from(model: ReactionModel) -> Self {
        model.definition
    }
}

impl Definition {
    fn network(&self) -> Result<Network, ModelError> {
        check_size("species", self.species.len(), MAX_SPECIES)?;
        check_size("reactions", self.reactions.len(), MAX_REACTIONS)?;
        let mut index = BTreeMap::new();
        for (at, species) in (0_u32..).zip(&self.species) {
            if species.initial > MAX_INITIAL {
                return Err(ModelError::Initial { species: species.name.clone(), initial: species.initial });
            }
            if index.insert(species.name.as_str(), at).is_some() {
                return Err(ModelError::Twice { what: "species", name: species.name.clone() });
            }
        }
        let mut names = BTreeSet::new();
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let mut network = Network::empty(self.species.len() as u32);
        for reaction in &self.reactions {
            if !names.insert(reaction.name.as_str()) {
                return Err(ModelError::Twice { what: "reactions", name: reaction.name.clone() });
            }
            reaction.check()?;
            let reactants = reaction.indexes(&reaction.reactants, &index)?;
            let products = reaction.indexes(&reaction.products, &index)?;
            network.push(reaction.rate, &reactants, &products);
        }
        network.link(MAX_LINKS).ok_or(ModelError::Links)
    }
}

impl Reaction {
    fn check(&self) -> Result<(), ModelError> {
        let reaction = || self.name.clone();
        if self.reactants.len() > MAX_ORDER {
            return Err(ModelError::Order { reaction: reaction(), found: self.reactants.len() });
        }
        if self.products.len() > MAX_PRODUCTS {
            return Err(ModelError::Products { reaction: reaction(), found: self.products.len() });
        }
        if !(0.0..=MAX_RATE).contains(&self.rate) {
            return Err(ModelError::Rate { reaction: reaction(), rate: self.rate });
        }
        Ok(())
    }

    fn indexes(&self, names: &[String], index: &BTreeMap<&str, u32>) -> Result<Vec<u32>, ModelError> {
        let unknown =
            |name: &String| ModelError::UnknownSpecies { reaction: self.name.clone(), name: name.clone() };
        names.iter().map(|name| index.get(name.as_str()).copied().ok_or_else(|| unknown(name))).collect()
    }
}

fn check_size(what: &'static str, found: usize, most: usize) -> Result<(), ModelError> {
    if found == 0 || found > most {
        return Err(ModelError::Size { what, found, most });
    }
    Ok(())
}

/// `counts` with that of one species set.
pub(super) fn with_count(mut counts: Vec<u64>, species: usize, count: u64) -> Result<Vec<u64>, SsaError> {
    if count > MAX_INITIAL {
        return Err(SsaError::Count { count, most: MAX_INITIAL });
    }
    let known = counts.len();
    *counts.get_mut(species).ok_or(SsaError::Species { index: species, species: known })? = count;
    Ok(counts)
}
