//! An exact simulation of one gene by the direct method, written apart from the engine: its own random numbers, one
//! list of reactions, std's logarithm. The volume doubles within 105 minutes, by steps of a tenth of a minute.

use bioxen_hypervisor::GeneCounts;

pub(crate) const TICK_MIN: f64 = 0.1;
pub(crate) const GENERATION_TICKS: u64 = 1_050;

/// Rates of one gene, per minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gene {
    /// At birth; it grows with the volume.
    pub(crate) transcription: f64,
    pub(crate) decay: f64,
    pub(crate) translation: f64,
}

impl Gene {
    /// The rates of a cell that was just born.
    pub(crate) fn of(counts: &GeneCounts<'_>) -> Self {
        Self {
            transcription: counts.transcription_per_min,
            decay: counts.decay_per_min,
            translation: counts.translation_per_min,
        }
    }

    /// mRNA and protein at `ticks`, from those at birth.
    pub(crate) fn follow<const N: usize>(
        &self,
        born: (u64, u64),
        ticks: &[u64; N],
        seed: u64,
    ) -> [(u64, u64); N] {
        // Far from the step of the generator, so that no two seeds give the same stream shifted.
        let mut random = SplitMix(seed.wrapping_mul(0xd134_2543_de82_ef95));
        let (mut mrna, mut protein) = born;
        let mut seen = [(0, 0); N];
        let (mut tick, mut next) = (0, 0);
        while next < N {
            if tick == ticks[next] {
                seen[next] = (mrna, protein);
                next += 1;
                continue;
            }
            let age = (tick % GENERATION_TICKS) as f64 / GENERATION_TICKS as f64;
            (mrna, protein) = self.one_tick(age.exp2(), mrna, protein, &mut random);
            tick += 1;
            if tick.is_multiple_of(GENERATION_TICKS) {
                mrna = (0..mrna).filter(|_| random.uniform() < 0.5).count() as u64;
                protein = (0..protein).filter(|_| random.uniform() < 0.5).count() as u64;
            }
        }
        seen
    }

    fn one_tick(&self, volume: f64, mut mrna: u64, mut protein: u64, random: &mut SplitMix) -> (u64, u64) {
        let mut left_min = TICK_MIN;
        loop {
            let made = self.transcription * volume;
            let lost = self.decay * mrna as f64;
            let completed = self.translation * mrna as f64;
            left_min += random.uniform().ln() / (made + lost + completed);
            if left_min < 0.0 {
                return (mrna, protein);
            }
            let point = random.uniform() * (made + lost + completed);
            if point < made {
                mrna += 1;
            } else if point < made + lost {
                mrna -= 1;
            } else {
                protein += 1;
            }
        }
    }
}

struct SplitMix(u64);

impl SplitMix {
    /// Above 0, at most 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((word ^ (word >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
