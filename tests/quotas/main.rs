//! Limits under many clients at once: what may be held is held exactly, whoever asks first, and everything is given
//! back once. A second fold, written apart, judges every entry of the journal.

#![expect(clippy::expect_used, reason = "a test that is not answered as expected fails there and then")]

mod allocations;
mod creations;
mod lifecycle;
mod race;
