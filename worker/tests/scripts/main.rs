//! Process code through a pool of real guests: what it can do, and what it cannot. Needs `bioxen-guest` built beside
//! the tests.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

mod calls;
mod cases;
mod escapes;
mod packages;
mod pool;
mod scripts;
mod support;
