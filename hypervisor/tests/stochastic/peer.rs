//! One gene simulated by rebop, a simulator by others: the reactions, and the coins of a division as reactions too.
//!
//! ```text
//!   volume -> volume + mRNA      mRNA ->      mRNA -> mRNA + protein        division: molecule -> kept | lost, evenly
//! ```

use rebop::gillespie::{Gillespie, Rate};

use super::oracle::{GENERATION_TICKS, Gene, TICK_MIN};

/// The volume counts as so many molecules at birth, so that its growth within a tick is resolved.
const UNIT: f64 = (1_u64 << 40) as f64;
/// Until then every molecule has met its coin.
const LONG_MIN: f64 = 1e3;

/// mRNA and protein at `ticks`, from those at birth, as `oracle::Gene::follow`.
#[expect(clippy::cast_possible_truncation, reason = "a count below 2^41")]
pub(crate) fn follow<const N: usize>(
    gene: &Gene,
    born: (u64, u64),
    ticks: &[u64; N],
    seed: u64,
) -> [(u64, u64); N] {
    let mut cell = Gillespie::new_with_seed([0, signed(born.0), signed(born.1)], false, seed);
    cell.add_reaction(Rate::lma(gene.transcription / UNIT, [1, 0, 0]), [0, 1, 0]);
    cell.add_reaction(Rate::lma(gene.decay, [0, 1, 0]), [0, -1, 0]);
    cell.add_reaction(Rate::lma(gene.translation, [0, 1, 0]), [0, 0, 1]);
    let mut seen = [(0, 0); N];
    let (mut tick, mut next) = (0_u64, 0);
    while next < N {
        let mut counts = (cell.get_species(1), cell.get_species(2));
        if tick > 0 && tick.is_multiple_of(GENERATION_TICKS) {
            // The stream of the coins is apart from every cell's.
            counts = divided(counts, !(seed * 64 + tick / GENERATION_TICKS));
        }
        if tick == ticks[next] {
            seen[next] = (counts.0.unsigned_abs() as u64, counts.1.unsigned_abs() as u64);
            next += 1;
            if next == N {
                break;
            }
        }
        let age = (tick % GENERATION_TICKS) as f64 / GENERATION_TICKS as f64;
        cell.set_species([(UNIT * age.exp2()) as isize, counts.0, counts.1]);
        tick += 1;
        cell.advance_until(tick as f64 * TICK_MIN);
    }
    seen
}

/// Each molecule is kept or lost at the same rate, until all are the one or the other.
fn divided((mrna, protein): (isize, isize), seed: u64) -> (isize, isize) {
    let mut coins = Gillespie::new_with_seed([mrna, protein, 0, 0], false, seed);
    coins.add_reaction(Rate::lma(1.0, [1, 0, 0, 0]), [-1, 0, 1, 0]);
    coins.add_reaction(Rate::lma(1.0, [1, 0, 0, 0]), [-1, 0, 0, 0]);
    coins.add_reaction(Rate::lma(1.0, [0, 1, 0, 0]), [0, -1, 0, 1]);
    coins.add_reaction(Rate::lma(1.0, [0, 1, 0, 0]), [0, -1, 0, 0]);
    coins.advance_until(LONG_MIN);
    (coins.get_species(2), coins.get_species(3))
}

fn signed(count: u64) -> isize {
    isize::try_from(count).unwrap()
}
