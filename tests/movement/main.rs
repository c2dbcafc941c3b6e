//! VMs that change their worker on a real fleet: their worker was killed, an operator moves them, workers are drained. None of it is lost, and no cell comes out different.

mod drained;
mod lost;
mod moved;
mod support;
