//! The folder of a fleet: who holds it, and the files that are written into it before anything starts.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::config::DevConfig;
use crate::exit::Failure;

/// A folder held by this process; the lock ends with it, however it ends.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder where needed and takes it for this process alone.
    pub(super) fn lock(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let told = |error: std::io::Error| Failure::other(format!("data folder {shown}: {error}"));
        std::fs::create_dir_all(path).map_err(told)?;
        let path = path.canonicalize().map_err(told)?;
        let lock = File::create(path.join("lock")).map_err(told)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::other(format!(
                "data folder {shown} is in use by another `bioxen dev`: stop that one, or choose another with --data"
            ))),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    pub(super) fn write_files(&self, config: &DevConfig, port: u16) -> Result<(), Failure> {
        free(port)?;
        let files = [
            (self.nats_conf(), self.nats_conf_text(port)?),
            (self.coordinator_toml(), config.coordinator_toml()?),
            (self.worker_toml(), config.worker_toml()?),
        ];
        for (path, text) in files {
            std::fs::write(&path, text)
                .map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok(())
    }

    pub(super) fn nats_conf(&self) -> PathBuf {
        self.path.join("nats.conf")
    }

    pub(super) fn coordinator_toml(&self) -> PathBuf {
        self.path.join("coordinator.toml")
    }

    pub(super) fn worker_toml(&self) -> PathBuf {
        self.path.join("worker.toml")
    }

    /// Of the coordinator with this number, from 1.
    pub(super) fn ledger(&self, number: u16) -> PathBuf {
        if number == 1 { self.path.join("ledger") } else { self.path.join(format!("ledger-{number}")) }
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Loopback only, and every accepted message on disk before it is acknowledged.
    fn nats_conf_text(&self, port: u16) -> Result<String, Failure> {
        // nats-server takes -1 for a free port.
        let port = if port == 0 { "-1".to_owned() } else { port.to_string() };
        let store = serde_json::to_string(&self.path.join("jetstream"))?;
        Ok(format!(
            "# Written by `bioxen dev` at each start.\n\
             host: \"127.0.0.1\"\n\
             port: {port}\n\
             http: \"127.0.0.1:-1\"\n\
             server_name: \"bioxen-dev\"\n\
             max_payload: 1MB\n\
             jetstream {{\n  store_dir: {store}\n  sync_interval: always\n}}\n"
        ))
    }
}

/// Tells a port in use before nats-server would, and in words.
fn free(port: u16) -> Result<(), Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(Failure::other(format!(
            "port {port} is in use, by another fleet or NATS server: stop that one, or choose another with --port (0 takes a free one)"
        ))),
        Err(error) => Err(Failure::other(format!("port {port}: {error}; choose another with --port"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_fleet_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(dir.path()).unwrap();
        let refused = format!("{:?}", DataDir::lock(dir.path()).unwrap_err());
        assert!(refused.contains("in use by another `bioxen dev`"), "{refused}");
        drop(held);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn a_port_in_use_is_told_with_the_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let refused = format!("{:?}", free(taken.local_addr().unwrap().port()).unwrap_err());
        assert!(refused.contains("in use") && refused.contains("--port"), "{refused}");
    }
}
