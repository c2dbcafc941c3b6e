//! A cell as bytes, and back: what its trajectory depends on from here, the current step by its start and length
//! only, so that a restored cell takes that step again and has every bit. Little-endian, versioned, with a
//! checksum. About 500 bytes, and 20 to 300 for each change still scheduled.
//!
//! Bytes that are not a checkpoint are refused, never trusted: every value is checked as if a user had set it.

mod ahead;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::chassis::ChassisName;
use crate::grid::{MAX_TICK, last_tick_within};
use crate::model::core::{N, Vector};
use crate::ode::OdeCell;
use crate::parameters::{SYMBOLS, Settings, Symbol};
use crate::solver::rosenbrock::Tolerance;
use crate::spec::{Allocation, Change, MAX_LOAD_WP, Regime, RibosomeCap, SpecError, check_tolerance};

const MAGIC: [u8; 4] = *b"BXCL";
/// Raised with every change of the bytes, the equations or the method: an old checkpoint would not go on with
/// the bits that it promises.
const VERSION: u8 = 3;
/// Written where packages are installed, so that all other cells keep their bytes.
const WITH_PACKAGES: u8 = 4;
/// Read as well, each with what it has; of that, every bit goes on as it did: 1 has no genes, operons and plasmids,
/// 2 has no load of what is installed.
const OLDEST: u8 = 1;
const WITH_ORGANISM: u8 = 2;
const WITH_INSTALLED: u8 = 3;
const CHECKSUM_BYTES: usize = 8;
/// Stands for a load that a change leaves as it is.
const NOT_CHANGED: f64 = -1.0;

/// Why bytes are not taken as a checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a checkpoint at all.
    #[error("these bytes are not a cell's checkpoint; give the bytes that a checkpoint was saved as")]
    NotACheckpoint,
    /// From another version.
    #[error(
        "the checkpoint has format {found}, this program reads {oldest} to {newest} of this kind of cell; restore it with the version that wrote it"
    )]
    Version {
        /// Its format.
        found: u8,
        /// The oldest format that is read.
        oldest: u8,
        /// The newest.
        newest: u8,
    },
    /// Damaged.
    #[error(
        "the checkpoint is damaged: its checksum does not fit; take another copy or an earlier checkpoint"
    )]
    Checksum,
    /// The checksum fits, the content does not.
    #[error(
        "the checkpoint is not a cell's: {what} does not fit; take another copy or an earlier checkpoint"
    )]
    Content {
        /// What is wrong.
        what: &'static str,
    },
    /// It belongs to other genes.
    #[error(
        "the checkpoint was written with other genes of {chassis} than these; restore it with the gene table that the cell was made with"
    )]
    OtherGenes {
        /// The chassis.
        chassis: ChassisName,
    },
    /// It belongs to a pack that this process does not have, or has with other content.
    #[error(
        "the checkpoint is of a cell of {name} from the pack {digest}, which is not known here; start the program with that very pack in the folder of --packs"
    )]
    OtherPack {
        /// The chassis.
        name: String,
        /// Digest of its pack.
        digest: String,
    },
    /// It holds values that cannot be.
    #[error("the checkpoint holds values that cannot be: {0}")]
    Spec(#[from] SpecError),
}

impl OdeCell {
    /// The cell as bytes.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(640));
        out.0.extend_from_slice(&MAGIC);
        let has_packages = self.organism.as_ref().is_some_and(|organism| !organism.packages.is_empty());
        out.byte(if has_packages { WITH_PACKAGES } else { VERSION });
        out.chassis(self.regime.chassis);
        out.settings(self.regime.settings.iter());
        out.integer(u64::from(self.regime.allocation.atp_milli_percent));
        out.cap(Some(self.regime.allocation.ribosomes));
        out.number(self.regime.load);
        out.number(self.regime.installed);
        out.number(self.tolerance.relative);
        out.number(self.tolerance.absolute);
        out.integer(self.tick);
        out.vector(&self.state);
        let track = &self.track;
        out.integer(track.origin_tick);
        out.number(track.start_min);
        out.vector(&track.start);
        out.number(track.step.as_ref().map_or(0.0, |step| step.length_min));
        out.number(track.next_length_min);
        out.integer(u64::from(track.steps_since_tick));
        out.integer(self.schedule.len() as u64);
        for change in &self.schedule {
            out.change(change);
        }
        out.organism(self.organism.as_deref());
        seal(out)
    }

    /// The cell that [`OdeCell::checkpoint`] gave these bytes for; it goes on with the same bits.
    ///
    /// # Errors
    /// Bytes that are none of this version's, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut input = open(bytes, MAGIC, OLDEST..=WITH_PACKAGES)?;
        let cell = input.cell()?;
        if !input.rest.is_empty() {
            return Err(content("the length"));
        }
        Ok(cell)
    }
}

/// The bytes with their checksum.
pub(crate) fn seal(mut out: Writer) -> Vec<u8> {
    let checksum = checksum(&out.0);
    out.integer(checksum);
    out.0
}

/// What stands between the version, one of `formats`, and the checksum of bytes that begin with `magic`.
pub(crate) fn open(
    bytes: &[u8],
    magic: [u8; 4],
    formats: RangeInclusive<u8>,
) -> Result<Reader<'_>, CheckpointError> {
    if bytes.len() < magic.len() + 1 + CHECKSUM_BYTES || bytes[..magic.len()] != magic {
        return Err(CheckpointError::NotACheckpoint);
    }
    let found = bytes[magic.len()];
    if !formats.contains(&found) {
        let (oldest, newest) = (*formats.start(), *formats.end());
        return Err(CheckpointError::Version { found, oldest, newest });
    }
    let (body, stored) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if stored != checksum(body).to_le_bytes() {
        return Err(CheckpointError::Checksum);
    }
    // Stochastic cells came after both additions.
    let format = if magic == MAGIC { found } else { VERSION };
    Ok(Reader { rest: &body[magic.len() + 1..], format })
}

/// FNV-1a, 64 bits: any single changed byte changes it.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

pub(crate) fn content(what: &'static str) -> CheckpointError {
    CheckpointError::Content { what }
}

pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn integer(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn number(&mut self, value: f64) {
        self.integer(value.to_bits());
    }

    pub(crate) fn vector(&mut self, values: &Vector) {
        for value in values {
            self.number(*value);
        }
    }

    pub(crate) fn settings(&mut self, settings: impl ExactSizeIterator<Item = (Symbol, f64)>) {
        self.integer(settings.len() as u64);
        for (symbol, value) in settings {
            self.byte(symbol.code());
            self.number(value);
        }
    }

    pub(crate) fn cap(&mut self, cap: Option<RibosomeCap>) {
        match cap {
            None => self.byte(0),
            Some(RibosomeCap::Unlimited) => self.byte(1),
            Some(RibosomeCap::Units(units)) => {
                self.byte(2);
                self.integer(u64::from(units));
            }
            Some(RibosomeCap::Molecules(molecules)) => {
                self.byte(3);
                self.number(molecules);
            }
        }
    }

    pub(crate) fn change(&mut self, change: &Change) {
        self.integer(change.tick);
        // A scheduled change was validated: every name is a symbol.
        let known =
            change.parameters.iter().filter_map(|(name, value)| Some((Symbol::parse(name).ok()?, *value)));
        self.settings(known.collect::<Vec<_>>().into_iter());
        match change.atp_milli_percent {
            None => self.byte(0),
            Some(atp) => {
                self.byte(1);
                self.integer(u64::from(atp));
            }
        }
        self.cap(change.ribosomes);
        self.number(change.installed_load_wp.unwrap_or(NOT_CHANGED));
        self.actions(&change.organism);
    }
}

pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
    /// The format of a mean cell's checkpoint that has the same parts.
    format: u8,
}

impl Reader<'_> {
    /// Whether packages follow genes, operons and plasmids.
    pub(crate) fn has_packages(&self) -> bool {
        self.format >= WITH_PACKAGES
    }

    pub(crate) fn take<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], CheckpointError> {
        let (taken, rest) = self.rest.split_first_chunk::<COUNT>().ok_or_else(|| content("the length"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CheckpointError> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn integer(&mut self) -> Result<u64, CheckpointError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub(crate) fn small(&mut self, what: &'static str) -> Result<u32, CheckpointError> {
        u32::try_from(self.integer()?).map_err(|_| content(what))
    }

    /// A finite number.
    pub(crate) fn number(&mut self, what: &'static str) -> Result<f64, CheckpointError> {
        let value = f64::from_bits(self.integer()?);
        if value.is_finite() { Ok(value) } else { Err(content(what)) }
    }

    pub(crate) fn vector(&mut self, what: &'static str) -> Result<Vector, CheckpointError> {
        let mut values = [0.0; N];
        for value in &mut values {
            *value = self.number(what)?;
        }
        Ok(values)
    }

    pub(crate) fn settings(&mut self) -> Result<Vec<(Symbol, f64)>, CheckpointError> {
        let count = self.small("the number of parameters")?;
        if count as usize > SYMBOLS {
            return Err(content("the number of parameters"));
        }
        (0..count)
            .map(|_| {
                let symbol = Symbol::from_code(self.byte()?).ok_or_else(|| content("a parameter"))?;
                Ok((symbol, self.number("a parameter")?))
            })
            .collect()
    }

    pub(crate) fn cap(&mut self) -> Result<Option<RibosomeCap>, CheckpointError> {
        Ok(match self.byte()? {
            0 => None,
            1 => Some(RibosomeCap::Unlimited),
            2 => Some(RibosomeCap::Units(self.small("the ribosome cap")?)),
            3 => Some(RibosomeCap::Molecules(self.number("the ribosome cap")?)),
            _ => return Err(content("the ribosome cap")),
        })
    }

    pub(crate) fn change(&mut self) -> Result<Change, CheckpointError> {
        let tick = self.integer()?;
        let parameters: BTreeMap<String, f64> =
            self.settings()?.into_iter().map(|(symbol, value)| (symbol.name().to_owned(), value)).collect();
        let atp_milli_percent = match self.byte()? {
            0 => None,
            1 => Some(self.small("the energy supply")?),
            _ => return Err(content("the energy supply")),
        };
        let ribosomes = self.cap()?;
        let mut installed_load_wp = None;
        if self.format >= WITH_INSTALLED {
            installed_load_wp = Some(self.number("the load")?).filter(|load| *load != NOT_CHANGED);
        }
        let organism = if self.format >= WITH_ORGANISM { self.actions()? } else { Vec::new() };
        Ok(Change { tick, parameters, atp_milli_percent, ribosomes, installed_load_wp, organism })
    }

    pub(crate) fn cell(&mut self) -> Result<OdeCell, CheckpointError> {
        let chassis = self.chassis()?;
        let mut settings = Settings::default();
        for (symbol, value) in self.settings()? {
            settings.set(symbol, value)?;
        }
        let allocation = Allocation {
            atp_milli_percent: self.small("the energy supply")?,
            ribosomes: self.cap()?.ok_or_else(|| content("the ribosome cap"))?,
        };
        let (mut regime, _) = Regime::new(chassis, settings, allocation)?;
        let load = if self.format >= WITH_ORGANISM { self.load()? } else { 0.0 };
        let installed = if self.format >= WITH_INSTALLED { self.load()? } else { 0.0 };
        regime.set_loads(load, installed);
        let tolerance =
            Tolerance { relative: self.number("the tolerance")?, absolute: self.number("the tolerance")? };
        check_tolerance(&tolerance)?;
        let tick = self.integer()?;
        let state = self.vector("the state")?;
        let track = self.track(&regime, &tolerance)?;
        let covered = last_tick_within(track.origin_tick, track.end_min());
        // Committed is what the current step or an earlier one covers, and the steps go no further than needed.
        if tick > MAX_TICK || tick < track.origin_tick || tick > covered {
            return Err(content("the tick"));
        }
        let schedule = self.schedule(&regime, tick)?;
        let organism = if self.format >= WITH_ORGANISM { self.organism(&regime)? } else { None };
        Ok(OdeCell { regime, tolerance, schedule, tick, state, track, organism })
    }

    /// A heterologous load.
    pub(crate) fn load(&mut self) -> Result<f64, CheckpointError> {
        let load = self.number("the load")?;
        if (0.0..=MAX_LOAD_WP).contains(&load) { Ok(load) } else { Err(content("the load")) }
    }
}
