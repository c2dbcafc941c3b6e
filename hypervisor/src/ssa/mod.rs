//! Exact stochastic simulation of reaction networks that are defined at run time.
//!
//! ```text
//!   ReactionModel --new--> Direct      up to 255 reactions --advance_to(time)--> counts
//!                     \--> Rejection   any number          --state / restore--> the same again
//! ```
//!
//! Both draw every event: none is leapt over, and no distribution is sampled in the place of events. What they draw
//! depends on the model, the key of the generator and the counts that were set, and on nothing else: where a caller
//! stops, clones, saves or restores changes no bit.
//!
//! It knows no cells: those who have rates of their own use `Selector`.

mod direct;
mod error;
mod model;
mod network;
mod program;
mod rejection;
mod selector;

pub use direct::{Direct, DirectState};
pub use error::SsaError;
pub use model::{
    MAX_INITIAL, MAX_LINKS, MAX_ORDER, MAX_PRODUCTS, MAX_RATE, MAX_REACTIONS, MAX_SPECIES, ModelError,
    Reaction, ReactionModel, Species,
};
pub use rejection::{Rejection, RejectionState};
pub use selector::Selector;
