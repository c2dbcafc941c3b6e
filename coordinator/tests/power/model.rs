//! What a disk holds after a power cut: everything that was synced, and of the rest, block by block, an earlier or a later
//! state, whatever the order in which it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::disk::Event;

/// Written back as a whole, in any order.
const BLOCK_BYTES: u64 = 4_096;
/// In some cuts a block itself is torn.
const SECTOR_BYTES: u64 = 512;

/// Numbers that a seed decides.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate { length: u64 },
}

/// Files by name: as synced, and what was done to them since.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    synced: BTreeMap<PathBuf, Vec<u8>>,
    pending: BTreeMap<PathBuf, Vec<Change>>,
    /// Names given or taken away since their folder was synced.
    names: Vec<Event>,
}

impl Disk {
    /// A folder on which nothing is pending.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        disk.read(folder);
        disk
    }

    fn read(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.read(&path);
            } else {
                self.synced.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }

    pub(crate) fn happen(&mut self, event: &Event, random: &mut Random) {
        match event {
            Event::Write { path, offset, bytes } => {
                let change = Change::Write { offset: *offset, bytes: bytes.clone() };
                self.pending.entry(path.clone()).or_default().push(change);
            }
            Event::Truncate { path, length } => {
                self.pending.entry(path.clone()).or_default().push(Change::Truncate { length: *length });
            }
            Event::Sync { path } if path.is_dir() => self.sync_names(path),
            Event::Sync { path } => {
                let changes = self.pending.remove(path).unwrap_or_default();
                let file = self.synced.entry(path.clone()).or_default();
                changes.iter().for_each(|change| apply(file, change));
            }
            // The kernel has marked the blocks clean: no later sync writes those that the disk did not take.
            Event::FailedSync { path } => self.settle(path, BLOCK_BYTES, random),
            Event::Rename { .. } | Event::Remove { .. } => self.names.push(event.clone()),
            Event::Begun { .. } | Event::Committed { .. } => {}
        }
    }

    fn sync_names(&mut self, folder: &Path) {
        let (here, elsewhere) = std::mem::take(&mut self.names).into_iter().partition(|event| match event {
            Event::Rename { path, .. } | Event::Remove { path } => path.parent() == Some(folder),
            _ => false,
        });
        self.names = elsewhere;
        self.apply_names(here);
    }

    fn apply_names(&mut self, names: Vec<Event>) {
        for event in names {
            match event {
                Event::Rename { path, to } => {
                    if let Some(file) = self.synced.remove(&path) {
                        self.synced.insert(to.clone(), file);
                    }
                    if let Some(changes) = self.pending.remove(&path) {
                        self.pending.insert(to, changes);
                    }
                }
                Event::Remove { path } => {
                    self.synced.remove(&path);
                    self.pending.remove(&path);
                }
                _ => {}
            }
        }
    }

    /// The power goes: what is left is written into `folder`, below which the names lay before.
    pub(crate) fn cut(mut self, random: &mut Random, from: &Path, folder: &Path) {
        let kept = usize::try_from(random.below(self.names.len() as u64 + 1)).unwrap();
        self.names.truncate(kept);
        let names = std::mem::take(&mut self.names);
        self.apply_names(names);
        let torn = random.below(4) == 0;
        let unit = if torn { SECTOR_BYTES } else { BLOCK_BYTES };
        let paths: Vec<PathBuf> = self.pending.keys().cloned().collect();
        for path in paths {
            // A new file that was never synced may not even have its name.
            let is_named = self.synced.contains_key(&path) || random.below(2) == 0;
            if is_named {
                self.settle(&path, unit, random);
            }
        }
        for (path, bytes) in &self.synced {
            let path = folder.join(path.strip_prefix(from).unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Of each unit of a file some state between the synced one and the last becomes the one on the disk.
    fn settle(&mut self, path: &Path, unit: u64, random: &mut Random) {
        let changes = self.pending.remove(path).unwrap_or_default();
        let file = self.synced.entry(path.to_owned()).or_default();
        let mut units = BTreeSet::new();
        for change in &changes {
            match change {
                Change::Write { offset, bytes } => {
                    let end = offset + bytes.len() as u64;
                    units.extend(offset / unit..end.div_ceil(unit));
                }
                Change::Truncate { .. } if random.below(2) == 0 => apply(file, change),
                Change::Truncate { .. } => {}
            }
        }
        for at in units {
            let here = changes.iter().filter_map(|change| part(change, at * unit, unit));
            let here: Vec<Change> = here.collect();
            let kept = random.below(here.len() as u64 + 1);
            here.iter().take(usize::try_from(kept).unwrap()).for_each(|change| apply(file, change));
        }
    }
}

/// What a write does to the unit at `start`.
fn part(change: &Change, start: u64, unit: u64) -> Option<Change> {
    let Change::Write { offset, bytes } = change else { return None };
    let (from, to) = (start.max(*offset), (start + unit).min(offset + bytes.len() as u64));
    if from >= to {
        return None;
    }
    let range = usize::try_from(from - offset).ok()?..usize::try_from(to - offset).ok()?;
    Some(Change::Write { offset: from, bytes: bytes[range].to_vec() })
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate { length } => file.resize(usize::try_from(*length).unwrap(), 0),
        Change::Write { offset, bytes } => {
            let start = usize::try_from(*offset).unwrap();
            let end = start + bytes.len();
            file.resize(file.len().max(end), 0);
            file[start..end].copy_from_slice(bytes);
        }
    }
}
