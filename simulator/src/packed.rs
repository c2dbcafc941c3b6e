//! The store of packed checkpoints: the newest piece of each placement, as its worker put it there last.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bioxen_coordinator::fleet::checkpoint::Taken;
use bioxen_protocol::id::{Generation, VmKey};

use crate::cells::Point;

#[derive(Debug, Clone, Default)]
pub(crate) struct Packed(Rc<RefCell<BTreeMap<(VmKey, Generation), Point>>>);

impl Packed {
    pub(crate) fn put(&self, pieces: Vec<(VmKey, Generation, Point)>) {
        let pieces = pieces.into_iter().map(|(key, generation, point)| ((key, generation), point));
        self.0.borrow_mut().extend(pieces);
    }

    /// The newest of a placement.
    pub(crate) fn newest(&self, key: &VmKey, generation: Generation) -> Option<Taken> {
        let pieces = self.0.borrow();
        let point = pieces.get(&(key.clone(), generation))?;
        Some(Taken::new(point.encode().into(), point.tick, point.applied))
    }
}
