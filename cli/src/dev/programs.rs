//! Where the programs of a fleet are: ours beside this one, nats-server where this machine has one that is new enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exit::Failure;

/// Older servers lack what the journal relies on.
const NATS_OLDEST: (u32, u32) = (2, 12);
/// As deploy/get_nats_server.py names it in the cache.
const NATS_CACHED: &str = "nats-server-2.15.1/nats-server";

#[derive(Debug)]
pub(super) struct Programs {
    pub(super) nats_server: PathBuf,
    pub(super) coordinator: PathBuf,
    pub(super) worker: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Result<Self, Failure> {
        Ok(Self {
            nats_server: nats_server()?,
            coordinator: beside_us("bioxen-coordinator")?,
            worker: beside_us("bioxen-worker")?,
        })
    }
}

fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::other(format!("cannot tell where this program is: {error}")))?;
    let path = own.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure::other(format!(
            "{} is missing: build the whole workspace with `cargo build --release`, or install it beside bioxen",
            path.display()
        ))),
    }
}

fn nats_server() -> Result<PathBuf, Failure> {
    if let Some(given) = std::env::var_os("BIOXEN_NATS_SERVER") {
        let given = PathBuf::from(given);
        return new_enough(&given)
            .map(|()| given)
            .map_err(|why| Failure::other(format!("BIOXEN_NATS_SERVER: {why}; mend or unset it")));
    }
    let cached = cache_dir().map(|dir| dir.join("bioxen").join(NATS_CACHED));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("nats-server"));
    let mut seen = Vec::new();
    for place in on_path.chain(cached).filter(|place| place.is_file()) {
        match new_enough(&place) {
            Ok(()) => return Ok(place),
            Err(why) => seen.push(why),
        }
    }
    let seen = if seen.is_empty() { "none was found".to_owned() } else { seen.join("; ") };
    Err(Failure::other(format!(
        "a nats-server of {}.{} or newer is needed ({seen}): run `python3 deploy/get_nats_server.py`, put one on PATH, or set BIOXEN_NATS_SERVER",
        NATS_OLDEST.0, NATS_OLDEST.1
    )))
}

fn cache_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))
}

fn new_enough(path: &Path) -> Result<(), String> {
    let told = Command::new(path).arg("--version").output();
    let told = told.map_err(|error| format!("{} does not run: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&told.stdout);
    match version_of(&text) {
        Some(version) if version >= NATS_OLDEST => Ok(()),
        Some((major, minor)) => Err(format!("{} is {major}.{minor}", path.display())),
        None => Err(format!("{} does not tell a version of nats-server", path.display())),
    }
}

/// (2, 15) of `nats-server: v2.15.1`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.split_once(": v")?;
    let mut parts = version.trim().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_server_is_read_from_what_it_says() {
        assert_eq!(version_of("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version_of("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(version_of("hello"), None);
    }
}
