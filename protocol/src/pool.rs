//! The XCP-ng pool that a VM's guest is on.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::UserId;

/// A pool as an order names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum XcpngPool {
    /// One of the workers' files.
    Named(String),
    /// One that the VM brought along.
    Own(Arc<OwnPool>),
}

/// A pool that is in no worker's file. Its user wrote it, so nothing of it is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPool {
    /// `https://HOST[:PORT]`
    pub xapi_url: String,
    pub username: String,
    /// Only workers that hold the key open it, and only about [`OwnPool::about`].
    pub sealed_password: String,
    pub ssh_user: String,
    pub ssh_key_path: String,
    pub template_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_memory_kb: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_vcpus: Option<u32>,
    /// Of the hosts' certificates; none: the worker's file says who signs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_fingerprints: Vec<String>,
    /// Absent: that of the template's first interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_repository: Option<String>,
}

impl OwnPool {
    /// What its password is sealed about: it opens for the user, the address, the account and the certificates that it was
    /// sent with, and for no others.
    #[must_use]
    pub fn about(&self, user: &UserId) -> String {
        about(user, &self.xapi_url, &self.username, &self.tls_fingerprints)
    }

    /// The id of the key that its password is sealed for.
    #[must_use]
    pub fn key(&self) -> &str {
        self.sealed_password.split_once('.').map_or("", |(key, _)| key)
    }
}

/// See [`OwnPool::about`]. How an address ends and how fingerprints are written makes no difference.
#[must_use]
pub fn about(user: &UserId, xapi_url: &str, username: &str, tls_fingerprints: &[String]) -> String {
    let plain = |text: &String| text.replace(':', "").to_ascii_lowercase();
    let mut fingerprints: Vec<String> = tls_fingerprints.iter().map(plain).collect();
    fingerprints.sort();
    format!("{user}\n{}\n{username}\n{}", xapi_url.trim_end_matches('/'), fingerprints.join(","))
}

impl fmt::Display for XcpngPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Own(own) => write!(f, "{}, its VM's own", own.xapi_url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_text_and_a_pool_of_ones_own_an_object() {
        let named = XcpngPool::Named("lab".to_owned());
        assert_eq!(serde_json::to_string(&named).unwrap(), r#""lab""#);
        let own = XcpngPool::Own(Arc::new(OwnPool {
            xapi_url: "https://10.0.0.5".to_owned(),
            username: "root".to_owned(),
            sealed_password: "0123456789abcdef.AAAA".to_owned(),
            ssh_user: "bioxen".to_owned(),
            ssh_key_path: "k".to_owned(),
            template_name: "t".to_owned(),
            vm_memory_kb: Some(4 << 20),
            vm_vcpus: None,
            tls_fingerprints: Vec::new(),
            network_uuid: None,
            storage_repository: None,
        }));
        for pool in [named, own] {
            let bytes = rmp_serde::to_vec_named(&pool).unwrap();
            assert_eq!(rmp_serde::from_slice::<XcpngPool>(&bytes).unwrap(), pool);
            let text = serde_json::to_string(&pool).unwrap();
            assert_eq!(serde_json::from_str::<XcpngPool>(&text).unwrap(), pool);
        }
    }
}
