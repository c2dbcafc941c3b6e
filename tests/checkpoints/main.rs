//! Checkpoints on a real fleet: taken and restored by name, packed by workers, and what a lost worker costs.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

mod bits;
mod lost;
mod named;
mod support;
