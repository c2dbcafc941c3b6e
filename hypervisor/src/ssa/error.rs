//! Why a simulation cannot be made, go on or be restored.

/// What is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SsaError {
    /// The direct method numbers reactions and slots by bytes.
    #[error(
        "the model has {reactions} reactions and needs {slots} slots; the direct method takes up to 256 of each: \
         use the rejection method"
    )]
    TooLarge {
        /// Reactions of the model.
        reactions: usize,
        /// Its species, one more, and one for each further molecule of the same species that a reaction needs.
        slots: usize,
    },
    /// A time that cannot be reached from here.
    #[error(
        "the simulation is at time {now} and cannot go to {asked}; give a finite time that is not before it"
    )]
    Time {
        /// Where it is.
        now: f64,
        /// What was asked.
        asked: f64,
    },
    /// A species that the model does not have.
    #[error(
        "the model has {species} species, so there is none of index {index}; ask the model for the index"
    )]
    Species {
        /// What was asked.
        index: usize,
        /// How many there are.
        species: usize,
    },
    /// Too many molecules.
    #[error("{count} molecules are more than the {most} that can be set")]
    Count {
        /// What was asked.
        count: u64,
        /// The most.
        most: u64,
    },
    /// What is no propensity.
    #[error("reaction {reaction} has the propensity {propensity}; give a number from 0 to 1e300")]
    Propensity {
        /// Its index.
        reaction: usize,
        /// What was given.
        propensity: f64,
    },
    /// A saved state that is none of this model's.
    #[error(
        "the saved state is not of this model: {what} does not fit; restore it with the model that it was of"
    )]
    State {
        /// What is wrong.
        what: &'static str,
    },
}
