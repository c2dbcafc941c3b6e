//! Numerical methods for the core model: steps in time, and steady states.
pub(crate) mod rosenbrock;
pub(crate) mod steady;
