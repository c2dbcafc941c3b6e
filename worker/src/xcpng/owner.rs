//! Whose a guest is, written on the pool itself: in its name, and in its `other_config`. Pure.
//!
//! A clone's name has fleet, VM and generation, so that it is found again when the answer to the clone was lost. Claims
//! on a guest are keys that are only ever added, one for each generation: two workers that claim at once cannot
//! overwrite each other, and both then read that the higher one has it.

use std::collections::BTreeMap;

use bioxen_protocol::id::{Generation, UserId, VmKey, WorkerId};

/// Every name that we give begins so.
pub(crate) const NAME_PREFIX: &str = "bioxen/";
/// Stands behind the name of a guest in that of its snapshot.
pub(crate) const SNAPSHOT: &str = "/snapshot/";
pub(crate) const FLEET: &str = "bioxen:fleet";
/// Written last: the guest has everything that it needs.
pub(crate) const VM: &str = "bioxen:vm";
/// The guest's public host key, for workers that adopt it.
pub(crate) const HOST_KEY: &str = "bioxen:host_key";
const GENERATION: &str = "bioxen:generation:";

/// Whose a guest is, as far as its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    pub fleet: String,
    pub key: VmKey,
    /// In which it was made; claims may have come since.
    pub made_in: Generation,
}

/// The placement that a guest serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub generation: Generation,
    pub worker: WorkerId,
}

impl Owner {
    pub(crate) fn name(&self) -> String {
        format!("{}{}/{}/{}/{}", NAME_PREFIX, self.fleet, self.key.user, self.key.vm, self.made_in)
    }

    /// None for a name that is not a guest's.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(NAME_PREFIX)?.split('/');
        let fleet = parts.next().filter(|fleet| !fleet.is_empty())?.to_owned();
        let key = VmKey { user: parts.next()?.parse().ok()?, vm: parts.next()?.parse().ok()? };
        let made_in = generation_of(parts.next()?)?;
        parts.next().is_none().then_some(Self { fleet, key, made_in })
    }

    /// Whether a name is that of a guest or snapshot of this VM, whatever its generation.
    pub(crate) fn prefix(fleet: &str, key: &VmKey) -> String {
        format!("{NAME_PREFIX}{fleet}/{}/{}/", key.user, key.vm)
    }
}

impl Claim {
    /// The key and value that state it.
    pub(crate) fn entry(&self) -> (String, String) {
        (format!("{GENERATION}{}", self.generation), self.worker.to_string())
    }

    /// The highest one stated.
    pub(crate) fn highest(other_config: &BTreeMap<String, String>) -> Option<Self> {
        let claims = other_config.iter().filter_map(|(key, value)| {
            let generation = generation_of(key.strip_prefix(GENERATION)?)?;
            Some(Self { generation, worker: value.parse().ok()? })
        });
        claims.max()
    }
}

/// Whether a name is that of a guest or snapshot of this user's VMs.
pub(crate) fn is_of(fleet: &str, user: &UserId, name: &str) -> bool {
    name.starts_with(&format!("{NAME_PREFIX}{fleet}/{user}/"))
}

/// The keys by which a template that was made of a guest would pass for one.
pub(crate) fn ours(other_config: &BTreeMap<String, String>) -> impl Iterator<Item = &String> {
    other_config.keys().filter(|key| key.starts_with("bioxen:"))
}

fn generation_of(text: &str) -> Option<Generation> {
    let (incarnation, index) = text.split_once('.')?;
    Some(Generation { incarnation: incarnation.parse().ok()?, index: index.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        let key = VmKey { user: "ada".parse().unwrap(), vm: "cell-1".parse().unwrap() };
        Owner { fleet: "f00d".to_owned(), key, made_in: Generation { incarnation: 1, index: 42 } }
    }

    #[test]
    fn a_name_says_whose_the_guest_is() {
        assert_eq!(owner().name(), "bioxen/f00d/ada/cell-1/1.42");
        assert_eq!(Owner::of(&owner().name()), Some(owner()));
        for other in [
            "web server",
            "bioxen/f00d/ada/cell-1",
            "bioxen/f00d/ada/cell-1/1.42/snapshot/7",
            "bioxen//a/b/1.2",
        ] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
        assert!(owner().name().starts_with(&Owner::prefix("f00d", &owner().key)));
    }

    #[test]
    fn a_name_is_of_one_user_alone() {
        let snapshot = format!("{}{SNAPSHOT}7", owner().name());
        let is_of = |user: &str, name: &str| is_of("f00d", &user.parse().unwrap(), name);
        assert!(is_of("ada", &owner().name()) && is_of("ada", &snapshot));
        assert!(
            !is_of("ad", &owner().name()) && !is_of("adal", &owner().name()) && !is_of("cell-1", &snapshot)
        );
    }

    #[test]
    fn the_highest_claim_holds_in_whatever_order_they_were_added() {
        let claim = |index, worker: &str| Claim {
            generation: Generation { incarnation: 1, index },
            worker: worker.parse().unwrap(),
        };
        let written: BTreeMap<_, _> =
            [claim(9, "w9"), claim(10, "w1"), claim(2, "w2")].iter().map(Claim::entry).collect();
        assert_eq!(Claim::highest(&written), Some(claim(10, "w1")));
        assert_eq!(Claim::highest(&BTreeMap::new()), None);
    }
}
