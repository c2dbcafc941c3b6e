//! The model of a growing cell: its equations, their linear algebra, and how a chassis' figures give its constants.
pub(crate) mod calibrate;
pub(crate) mod core;
pub(crate) mod factor;
