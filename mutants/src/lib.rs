//! A gallery of bugs: deliberate faults at the places where nothing may go wrong, one at a time, so that it can be seen
//! that a check catches each of them.
//!
//! ```text
//!   feature `on` + BIOXEN_MUTANT=name --> is_on(that one) is true for the life of the process
//!   otherwise                         --> is_on() is the constant false: no code, no cost
//! ```
//!
//! `make mutants` builds with the feature and runs every check. Nothing else may turn it on.

mod gallery;

pub use gallery::{Catcher, Fault, GALLERY, Mutant};

/// Names the fault that a process has.
pub const VARIABLE: &str = "BIOXEN_MUTANT";

/// Whether this process has the fault.
#[cfg(not(feature = "on"))]
#[inline(always)]
pub const fn is_on(_: Mutant) -> bool {
    false
}

/// Whether this process has the fault.
///
/// # Panics
/// Where the variable names none: a check that caught nothing would say nothing.
#[cfg(feature = "on")]
pub fn is_on(mutant: Mutant) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Mutant>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
        let fault = GALLERY.iter().find(|fault| fault.name == name);
        Some(fault.unwrap_or_else(|| panic!("{VARIABLE}={name} names no fault of the gallery")).mutant)
    });
    *chosen == Some(mutant)
}
