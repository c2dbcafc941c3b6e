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

/// A file, whatever its name: as synced, and what was done to it since.
#[derive(Debug, Default, Clone)]
struct Inode {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

/// What happened to a name.
#[derive(Debug, Clone)]
enum Naming {
    Given { path: PathBuf, inode: usize },
    Moved { path: PathBuf, to: PathBuf, inode: usize },
    Taken { path: PathBuf },
}

/// Files and their names: as processes see them, and as the disk has them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    seen: BTreeMap<PathBuf, usize>,
    named: BTreeMap<PathBuf, usize>,
    /// Since their folders were synced.
    namings: Vec<Naming>,
}

impl Disk {
    /// A folder on which nothing is pending.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        disk.read(folder);
        disk.seen = disk.named.clone();
        disk
    }

    fn read(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.read(&path);
            } else {
                self.named.insert(path.clone(), self.inodes.len());
                self.inodes.push(Inode { synced: std::fs::read(&path).unwrap(), pending: Vec::new() });
            }
        }
    }

    pub(crate) fn happen(&mut self, event: &Event, random: &mut Random) {
        match event {
            Event::Write { path, offset, bytes } => {
                let change = Change::Write { offset: *offset, bytes: bytes.clone() };
                let inode = self.inode(path);
                self.inodes[inode].pending.push(change);
            }
            Event::Truncate { path, length } => {
                let inode = self.inode(path);
                self.inodes[inode].pending.push(Change::Truncate { length: *length });
            }
            Event::Sync { path } if path.is_dir() => self.sync_names(path),
            Event::Sync { path } => {
                let inode = self.inode(path);
                self.sync_name(inode);
                let Inode { synced, pending } = &mut self.inodes[inode];
                pending.drain(..).for_each(|change| apply(synced, &change));
            }
            Event::FailedSync { path } if path.is_dir() => {}
            // The kernel has marked the blocks clean: no later sync writes those that the disk did not take.
            Event::FailedSync { path } => {
                let inode = self.inode(path);
                self.inodes[inode].settle(BLOCK_BYTES, random);
            }
            Event::Rename { path, to } => {
                let inode = self.inode(path);
                self.seen.remove(path);
                self.seen.insert(to.clone(), inode);
                self.namings.push(Naming::Moved { path: path.clone(), to: to.clone(), inode });
            }
            Event::Remove { path } => {
                self.seen.remove(path);
                self.namings.push(Naming::Taken { path: path.clone() });
            }
            Event::Begun { .. } | Event::Committed { .. } => {}
        }
    }

    /// The file that has this name now, made where there is none.
    fn inode(&mut self, path: &Path) -> usize {
        if let Some(inode) = self.seen.get(path) {
            return *inode;
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.seen.insert(path.to_owned(), inode);
        self.namings.push(Naming::Given { path: path.to_owned(), inode });
        inode
    }

    fn sync_names(&mut self, folder: &Path) {
        let (here, elsewhere) = std::mem::take(&mut self.namings).into_iter().partition(|naming| {
            let (Naming::Given { path, .. } | Naming::Moved { path, .. } | Naming::Taken { path }) = naming;
            path.parent() == Some(folder)
        });
        self.namings = elsewhere;
        self.name(here);
    }

    /// A file that is synced has its name, and so whatever was named before.
    fn sync_name(&mut self, inode: usize) {
        let names_it = |naming: &Naming| match naming {
            Naming::Given { inode: named, .. } | Naming::Moved { inode: named, .. } => *named == inode,
            Naming::Taken { .. } => false,
        };
        if let Some(at) = self.namings.iter().rposition(names_it) {
            let namings = self.namings.drain(..=at).collect();
            self.name(namings);
        }
    }

    fn name(&mut self, namings: Vec<Naming>) {
        for naming in namings {
            match naming {
                Naming::Given { path, inode } => drop(self.named.insert(path, inode)),
                Naming::Moved { path, to, inode } => {
                    self.named.remove(&path);
                    self.named.insert(to, inode);
                }
                Naming::Taken { path } => drop(self.named.remove(&path)),
            }
        }
    }

    /// The power goes: what is left is written into `folder`, below which the names lay before.
    pub(crate) fn cut(mut self, random: &mut Random, from: &Path, folder: &Path) {
        let kept = usize::try_from(random.below(self.namings.len() as u64 + 1)).unwrap();
        self.namings.truncate(kept);
        let namings = std::mem::take(&mut self.namings);
        self.name(namings);
        let unit = if random.below(4) == 0 { SECTOR_BYTES } else { BLOCK_BYTES };
        for (path, inode) in &self.named {
            let inode = &mut self.inodes[*inode];
            inode.settle(unit, random);
            let path = folder.join(path.strip_prefix(from).unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &inode.synced).unwrap();
        }
    }
}

impl Inode {
    /// Of each unit some state between the synced one and the last becomes the one on the disk.
    fn settle(&mut self, unit: u64, random: &mut Random) {
        let changes = std::mem::take(&mut self.pending);
        let mut units = BTreeSet::new();
        for change in &changes {
            match change {
                Change::Write { offset, bytes } => {
                    let end = offset + bytes.len() as u64;
                    units.extend(offset / unit..end.div_ceil(unit));
                }
                Change::Truncate { .. } if random.below(2) == 0 => apply(&mut self.synced, change),
                Change::Truncate { .. } => {}
            }
        }
        for at in units {
            let here: Vec<Change> =
                changes.iter().filter_map(|change| part(change, at * unit, unit)).collect();
            let kept = random.below(here.len() as u64 + 1);
            let kept = here.iter().take(usize::try_from(kept).unwrap());
            kept.for_each(|change| apply(&mut self.synced, change));
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
