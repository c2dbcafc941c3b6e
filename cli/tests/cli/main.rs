//! The `bioxen` program from outside: what it sends, prints, starts, stops, and exits with.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends where it stands")]

mod chassis;
mod commands;
mod dev;
mod support;
