//! The test pool, held against callers that are not ours and against what is known of XAPI.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

mod caller;
mod clients;
mod faults;
mod guests;
mod protocol;
