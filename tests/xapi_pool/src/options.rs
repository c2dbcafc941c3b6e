//! What a pool is made of.

use std::time::Duration;

/// A pool's make. `Options::default()` is one host with room for everything.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts; the first is the master at first.
    pub hosts: usize,
    /// Who may log in.
    pub username: String,
    /// With what.
    pub password: String,
    /// The name of the template, of which there is a snapshot of the same name, too.
    pub template_name: String,
    /// Whether the template has a VIF on the network with addresses.
    pub template_has_vif: bool,
    /// Memory of a host for VMs, in bytes.
    pub host_memory_bytes: i64,
    /// Size of the storage repository, in bytes.
    pub storage_bytes: i64,
    /// How long an operation takes, such as a clone or a start.
    pub operation_time: Duration,
    /// Sessions that one originator may have open.
    pub sessions_of_originator: usize,
    /// Sessions that all without an originator share.
    pub sessions_without_originator: usize,
    /// Whether VMs that start run an sshd; without it they have addresses at which nobody is.
    pub guests: bool,
    /// The user that guests know besides root.
    pub guest_user: String,
    /// The port of guests' sshds.
    pub ssh_port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: 1,
            username: "root".to_owned(),
            password: "a password".to_owned(),
            template_name: "bioxen-guest".to_owned(),
            template_has_vif: true,
            host_memory_bytes: 1 << 40,
            storage_bytes: 1 << 44,
            operation_time: Duration::from_millis(10),
            sessions_of_originator: 500,
            sessions_without_originator: 400,
            guests: false,
            guest_user: "bioxen".to_owned(),
            ssh_port: 22,
        }
    }
}
