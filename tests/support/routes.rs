//! The ways between the servers of a cluster, each through a proxy of its own, so that a cluster can be split.

use crate::proxy::{Proxy, Way};

/// A proxy for each server on its way to each other one.
#[derive(Debug)]
pub struct Routes {
    ways: Vec<(usize, usize, Proxy)>,
}

impl Routes {
    /// Between servers that listen for one another on these ports.
    pub(crate) async fn between(ports: &[u16]) -> Self {
        let mut ways = Vec::new();
        for from in 0..ports.len() {
            for (to, port) in ports.iter().enumerate().filter(|(to, _)| *to != from) {
                ways.push((from, to, Proxy::start(*port).await));
            }
        }
        Self { ways }
    }

    /// Where this server finds the others.
    pub(crate) fn of(&self, number: usize) -> Vec<String> {
        self.ways.iter().filter(|(from, ..)| *from == number).map(|(.., proxy)| proxy.address()).collect()
    }

    /// Splits one server off from the others.
    pub fn split_off(&self, number: usize) {
        for (from, to, proxy) in &self.ways {
            if *from == number || *to == number {
                proxy.cut(Way::Both);
            }
        }
    }

    /// Splits every server off from every other.
    pub fn split_all(&self) {
        self.ways.iter().for_each(|(.., proxy)| proxy.cut(Way::Both));
    }

    pub fn mend(&self) {
        self.ways.iter().for_each(|(.., proxy)| proxy.mend());
    }
}
