//! A network laid out for the direct method: 16 bytes a law, those that an event affects side by side, and slots
//! numbered by bytes, so that no index into 256 slots can be out of range.

use super::network::Network;

/// Slots and propensities: what a byte can number.
pub(super) const SLOTS: usize = 256;

/// One value a slot or reaction.
pub(super) type Table = [f64; SLOTS];

/// The formula of a propensity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    rate: f64,
    slots: [u8; 3],
    pub(super) reaction: u8,
}

/// What an event adds to a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) by: f64,
    pub(super) slot: u8,
}

/// Where in `changes` and `affected` a reaction's begin and end.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    changes: (u32, u32),
    affected: (u32, u32),
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) reactions: usize,
    spans: Box<[Span; SLOTS]>,
    changes: Vec<Change>,
    affected: Vec<Law>,
    laws: Vec<Law>,
}

impl Law {
    #[inline(always)]
    pub(super) fn propensity(&self, slots: &Table) -> f64 {
        let [a, b, c] = self.slots;
        self.rate * slots[usize::from(a)] * (slots[usize::from(b)] * slots[usize::from(c)])
    }
}

impl Program {
    /// `None` where a byte cannot number the reactions or the slots.
    pub(super) fn new(network: &Network) -> Option<Self> {
        if network.slots() > SLOTS {
            return None;
        }
        let byte = |number: u32| u8::try_from(number).ok();
        let mut laws = Vec::new();
        for law in network.laws() {
            let [a, b, c] = law.slots;
            let slots = [byte(a)?, byte(b)?, byte(c)?];
            laws.push(Law { rate: law.rate, slots, reaction: byte(law.reaction)? });
        }
        let reactions = laws.len();
        let mut program = Self {
            reactions,
            spans: Box::new([Span::default(); SLOTS]),
            changes: Vec::new(),
            affected: Vec::new(),
            laws,
        };
        for reaction in 0..reactions {
            let from = program.ends()?;
            for change in network.changes(reaction) {
                program.changes.push(Change { by: change.by, slot: byte(change.slot)? });
            }
            for affected in network.affected(reaction) {
                program.affected.push(program.laws[*affected as usize]);
            }
            let to = program.ends()?;
            program.spans[reaction] = Span { changes: (from.0, to.0), affected: (from.1, to.1) };
        }
        Some(program)
    }

    /// Every byte, in order.
    pub(super) fn bytes() -> [u8; SLOTS] {
        let mut next = 0..=u8::MAX;
        std::array::from_fn(|_| next.next().unwrap_or(u8::MAX))
    }

    pub(super) fn laws(&self) -> &[Law] {
        &self.laws
    }

    /// What an event of this reaction changes, and whose propensities.
    #[inline(always)]
    pub(super) fn event(&self, reaction: u8) -> (&[Change], &[Law]) {
        let span = &self.spans[usize::from(reaction)];
        (
            &self.changes[span.changes.0 as usize..span.changes.1 as usize],
            &self.affected[span.affected.0 as usize..span.affected.1 as usize],
        )
    }

    fn ends(&self) -> Option<(u32, u32)> {
        Some((u32::try_from(self.changes.len()).ok()?, u32::try_from(self.affected.len()).ok()?))
    }
}
