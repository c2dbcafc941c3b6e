//! A stochastic cell as bytes, and back: counts, environment, lineage, and where the random numbers stand. What the
//! counts determine is computed again. Whole numbers take as many bytes as they need: some 2 kB with 455 genes.
//!
//! Bytes that are not a checkpoint are refused, never trusted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::actions::is_by_gene;
use super::carried::{self, Carried, OperonCounts};
use super::core_layer::CoreLayer;
use super::draw;
use super::environment::Environment;
use super::gene_layer::{Counts, GeneLayer};
use super::genes::{Genes, Reference};
use super::{DIVISIONS, Layer, Lineage, REACTIONS, StochasticCell, served, shared};
use crate::chassis::ChassisName;
use crate::chassis::pack::genes::GeneTable;
use crate::checkpoint::{CheckpointError, Reader, Writer, content, open, seal};
use crate::grid::MAX_TICK;
use crate::model::core::CLASSES;
use crate::organism::state::Regulation;
use crate::parameters::Settings;
use crate::rng::Rng;
use crate::spec::{Allocation, Regime};

pub(crate) const MAGIC: [u8; 4] = *b"BXCS";
/// Raised with every change of the bytes, the reactions or the method: an older checkpoint would not go on with the
/// bits that it promises, and is refused.
const VERSION: u8 = 3;
/// No cell has more of anything; sums of so many still fit.
const MOST_MOLECULES: u64 = 1 << 48;
/// No cell draws more.
const MOST_WORDS: u64 = 1 << 62;

/// What the cell carries beside its core.
const NOTHING: u8 = 0;
const CARRIED: u8 = 1;
const WITH_PACKAGES: u8 = 2;

const LAYER_GENES: u8 = 1;
const LAYER_CORE: u8 = 2;

impl StochasticCell {
    /// The cell as bytes.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(4096));
        out.0.extend_from_slice(&MAGIC);
        out.byte(VERSION);
        out.chassis(self.regime.chassis);
        out.settings(self.calibration.iter());
        out.settings(self.regime.settings.iter());
        out.integer(u64::from(self.regime.allocation.atp_milli_percent));
        out.cap(Some(self.regime.allocation.ribosomes));
        out.number(self.regime.installed);
        out.integer(self.seed);
        varint(&mut out, u64::from(self.replicate));
        for value in [self.tick, self.lineage.generation, self.lineage.birth_tick, self.events] {
            varint(&mut out, value);
        }
        varint(&mut out, self.reactions.position());
        varint(&mut out, self.divisions.position());
        let Environment { energy, nutrient, growth } = self.environment;
        for value in [self.lineage.birth_mass_aa, energy, nutrient, growth, self.held_volume.unwrap_or(0.0)] {
            out.number(value);
        }
        carried(&mut out, self.carried.as_deref());
        match &self.layer {
            Layer::Genes(layer) => {
                out.byte(LAYER_GENES);
                out.integer(digest(&layer.genes));
                let Counts { mrna, proteins, bound } = &layer.counts;
                for count in mrna.iter().chain(proteins).chain([bound]) {
                    varint(&mut out, *count);
                }
            }
            Layer::Core(layer) => {
                out.byte(LAYER_CORE);
                layer.counts().for_each(|count| varint(&mut out, count));
            }
        }
        out.integer(self.schedule.len() as u64);
        for change in &self.schedule {
            out.change(change);
        }
        seal(out)
    }

    /// The cell that [`StochasticCell::checkpoint`] gave these bytes for, with the genes that it was made with; it
    /// goes on with the same bits.
    ///
    /// # Errors
    /// Bytes that are none of this version's, or damaged, or belong to other genes.
    pub fn restore(bytes: &[u8], genes: &GeneTable) -> Result<Self, CheckpointError> {
        Self::restore_with(bytes, Some(genes))
    }

    /// The same with the genes of the chassis' pack.
    pub(crate) fn restore_of_pack(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::restore_with(bytes, None)
    }

    fn restore_with(bytes: &[u8], genes: Option<&GeneTable>) -> Result<Self, CheckpointError> {
        let mut input = open(bytes, MAGIC, VERSION..=VERSION)?;
        let cell = read(&mut input, genes)?;
        if !input.rest.is_empty() {
            return Err(content("the length"));
        }
        Ok(cell)
    }
}

/// Whether the bytes say that they are a stochastic cell's.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

fn read(input: &mut Reader<'_>, table: Option<&GeneTable>) -> Result<StochasticCell, CheckpointError> {
    let chassis = input.chassis()?;
    let calibration = settings(input)?;
    let settings = settings(input)?;
    let allocation = Allocation {
        atp_milli_percent: input.small("the energy supply")?,
        ribosomes: input.cap()?.ok_or_else(|| content("the ribosome cap"))?,
    };
    let (mut regime, _) = Regime::new(chassis, settings, allocation)?;
    regime.set_loads(0.0, input.load()?);
    let seed = input.integer()?;
    let replicate = u32::try_from(read_varint(input)?).map_err(|_| content("the replicate"))?;
    let [tick, generation, birth_tick, events, reactions, divisions] = {
        let mut values = [0; 6];
        for value in &mut values {
            *value = read_varint(input)?;
        }
        values
    };
    if tick > MAX_TICK || birth_tick > tick || generation > tick {
        return Err(content("the tick"));
    }
    if reactions.max(divisions).max(events) > MOST_WORDS {
        return Err(content("the random numbers' position"));
    }
    let [birth_mass_aa, energy, nutrient, growth, volume] = {
        let mut values = [0.0; 5];
        for value in &mut values {
            *value = input.number("the environment")?;
            if *value < 0.0 {
                return Err(content("the environment"));
            }
        }
        values
    };
    let reference = Reference::of(chassis, &calibration)?;
    let genes = match table {
        Some(table) => Genes::new(table, reference).map(Arc::new),
        None => shared::genes(chassis, &calibration, reference),
    };
    let carried = read_carried(input, &regime, genes.as_deref(), (seed, replicate))?;
    let layer = layer(input, chassis, genes, reference)?;
    let schedule = input.schedule(&regime, tick)?;
    schedule.iter().try_for_each(|change| served(chassis, change))?;
    let mut cell = StochasticCell {
        regime,
        calibration,
        schedule,
        tick,
        lineage: Lineage { generation, birth_tick, birth_mass_aa },
        environment: Environment { energy, nutrient, growth },
        layer,
        carried,
        held_volume: (volume > 0.0).then_some(volume),
        seed,
        replicate,
        reactions: Rng::at_position(seed, replicate, REACTIONS, reactions),
        divisions: Rng::at_position(seed, replicate, DIVISIONS, divisions),
        events,
    };
    cell.regulate();
    cell.carry_plasmids();
    Ok(cell)
}

fn layer(
    input: &mut Reader<'_>,
    chassis: ChassisName,
    genes: Option<Arc<Genes>>,
    reference: Reference,
) -> Result<Layer, CheckpointError> {
    match (input.byte()?, genes) {
        (LAYER_GENES, Some(genes)) => {
            if input.integer()? != digest(&genes) {
                return Err(CheckpointError::OtherGenes { chassis });
            }
            let count = genes.count();
            let mrna = counts(input, count)?;
            let proteins = counts(input, count)?;
            let bound = molecules(input)?;
            let counts = Counts { mrna, proteins, bound };
            Ok(Layer::Genes(Box::new(GeneLayer::new(genes, counts))))
        }
        (LAYER_CORE, None) => {
            let mut layer = CoreLayer::at(&reference.state, 0.0);
            for count in layer.counts_mut() {
                *count = molecules(input)?;
            }
            Ok(Layer::Core(layer))
        }
        (LAYER_GENES | LAYER_CORE, _) => Err(CheckpointError::OtherGenes { chassis }),
        _ => Err(content("the kind of counts")),
    }
}

fn carried(out: &mut Writer, carried: Option<&Carried>) {
    let Some(carried) = carried else { return out.byte(NOTHING) };
    out.byte(if carried.packages.is_empty() { CARRIED } else { WITH_PACKAGES });
    varint(out, carried.rng.position());
    for counts in carried.operons.values() {
        out.byte(counts.regulation as u8);
        for count in counts.proteins.iter().chain([&counts.mrna]) {
            varint(out, *count);
        }
    }
    varint(out, carried.plasmids.len() as u64);
    for (at, copies) in &carried.plasmids {
        varint(out, *at as u64);
        varint(out, *copies);
    }
    if !carried.packages.is_empty() {
        out.packages(&carried.packages);
    }
}

/// How many proteins an operon has follows from its genes.
fn read_carried(
    input: &mut Reader<'_>,
    regime: &Regime,
    genes: Option<&Genes>,
    key: (u64, u32),
) -> Result<Option<Box<Carried>>, CheckpointError> {
    let pack = regime.chassis.pack();
    let kind = input.byte()?;
    match kind {
        NOTHING if pack.operon_table.is_empty() => return Ok(None),
        CARRIED | WITH_PACKAGES => {}
        _ => return Err(content("what the cell carries")),
    }
    let position = read_varint(input)?;
    if position > MOST_WORDS {
        return Err(content("the random numbers' position"));
    }
    let mut operons = BTreeMap::new();
    for (place, operon) in pack.operon_table.iter().enumerate() {
        let regulation = Regulation::ALL.get(usize::from(input.byte()?)).copied();
        let regulation = regulation.ok_or_else(|| content("a regulation"))?;
        let count = if is_by_gene(regime.chassis, genes, place) { 0 } else { operon.genes.len() };
        let proteins = counts(input, count)?;
        let mrna = molecules(input)?;
        operons.insert(place, OperonCounts { regulation, mrna, proteins });
    }
    let mut plasmids = BTreeMap::new();
    for _ in 0..read_varint(input)?.min(pack.plasmid_table.len() as u64 + 1) {
        let place = usize::try_from(read_varint(input)?).map_err(|_| content("a place in the pack"))?;
        let behind = plasmids.last_key_value().is_none_or(|(last, _)| place > *last);
        if place >= pack.plasmid_table.len() || !behind {
            return Err(content("a place in the pack"));
        }
        plasmids.insert(place, molecules(input)?);
    }
    let packages = if kind == WITH_PACKAGES { input.packages()? } else { BTreeMap::new() };
    let copies = packages.values().flat_map(|package| &package.plasmids).map(|(_, copies)| *copies);
    if copies.clone().any(|copies| draw::whole(copies) as f64 != copies || copies > MOST_MOLECULES as f64) {
        return Err(content("a number of molecules"));
    }
    let rng = Rng::at_position(key.0, key.1, carried::STREAM, position);
    Ok(Some(Box::new(Carried { operons, plasmids, packages, rng })))
}

fn settings(input: &mut Reader<'_>) -> Result<Settings, CheckpointError> {
    let mut settings = Settings::default();
    for (symbol, value) in input.settings()? {
        settings.set(symbol, value)?;
    }
    Ok(settings)
}

fn counts(input: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, CheckpointError> {
    (0..count).map(|_| molecules(input)).collect()
}

fn molecules(input: &mut Reader<'_>) -> Result<u64, CheckpointError> {
    let count = read_varint(input)?;
    if count > MOST_MOLECULES { Err(content("a number of molecules")) } else { Ok(count) }
}

/// What the genes' rates come to: counts make sense with the same ones only.
fn digest(genes: &Genes) -> u64 {
    let classes = genes.class.iter().map(|class| (class % CLASSES) as u64);
    let rates = [&genes.share, &genes.decay, &genes.demand, &genes.mass, &genes.completions];
    let bits = rates.into_iter().flatten().map(|rate| rate.to_bits());
    let mut bytes = Writer(Vec::new());
    classes.chain(bits).for_each(|word| bytes.integer(word));
    crate::checkpoint::checksum(&bytes.0)
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(out: &mut Writer, mut value: u64) {
    while value >= 0x80 {
        out.byte((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.byte((value & 0x7f) as u8);
}

fn read_varint(input: &mut Reader<'_>) -> Result<u64, CheckpointError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = u64::from(input.byte()?);
        if shift == 63 && byte > 1 {
            break;
        }
        value |= (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(content("a whole number"))
}
