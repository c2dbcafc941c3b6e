//! Sessions: those with an originator have a pool of their own each, those without share one; the one that was not used
//! for longest is evicted where a pool is full.

use crate::options::Options;

#[derive(Debug)]
struct Session {
    reference: String,
    originator: String,
    used: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Vec<Session>,
    /// Counts uses, which orders them.
    uses: u64,
}

impl Sessions {
    /// Opens `reference`; which one was evicted for it, if any.
    pub(crate) fn open(&mut self, reference: &str, originator: &str, options: &Options) -> Option<String> {
        let most = if originator.is_empty() {
            options.sessions_without_originator
        } else {
            options.sessions_of_originator
        };
        self.uses += 1;
        let of_pool = || self.open.iter().filter(|session| session.originator == originator);
        let full = of_pool().count() >= most;
        let oldest = of_pool().min_by_key(|session| session.used).map(|session| session.reference.clone());
        let evicted = oldest.filter(|_| full);
        if let Some(evicted) = &evicted {
            self.close(evicted);
        }
        let (reference, originator) = (reference.to_owned(), originator.to_owned());
        self.open.push(Session { reference, originator, used: self.uses });
        evicted
    }

    /// Whether `reference` is open; it counts as used.
    pub(crate) fn touch(&mut self, reference: &str) -> bool {
        self.uses += 1;
        let session = self.open.iter_mut().find(|session| session.reference == reference);
        session.is_some_and(|session| {
            session.used = self.uses;
            true
        })
    }

    pub(crate) fn close(&mut self, reference: &str) {
        self.open.retain(|session| session.reference != reference);
    }

    /// Closes all, and gives their references.
    pub(crate) fn close_all(&mut self) -> Vec<String> {
        self.open.drain(..).map(|session| session.reference).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_unused_for_longest_is_evicted_and_only_within_its_originator() {
        let options =
            Options { sessions_of_originator: 2, sessions_without_originator: 1, ..Options::default() };
        let mut sessions = Sessions::default();
        assert_eq!(sessions.open("a", "bioxen", &options), None);
        assert_eq!(sessions.open("b", "bioxen", &options), None);
        assert_eq!(sessions.open("x", "", &options), None);
        assert!(sessions.touch("a"));
        assert_eq!(sessions.open("c", "bioxen", &options).as_deref(), Some("b"));
        assert_eq!(sessions.open("y", "", &options).as_deref(), Some("x"));
        assert!(!sessions.touch("b") && sessions.touch("a"));
    }
}
