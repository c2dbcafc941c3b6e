//! Random numbers by key and position: ChaCha8 as a counter-based generator.
//!
//! ```text
//!   (seed, replicate, stream) --> key --block 0, 1, 2, ..--> words at positions 0, 1, 2, ..
//! ```
//!
//! The word at a position is a function of the key and the position alone, so a generator is saved as its key and
//! one number, and different keys give independent streams. Everything that is drawn here has the same bits on any
//! machine: whole numbers, `crate::maths`, and sums and products of doubles, nothing else.
//!
//! It must not take a seed from the machine that it runs on.

mod ziggurat;

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Words that are computed at once: the four blocks of 64 bytes that the generator itself makes together.
const BUFFER_WORDS: usize = 32;
/// Of the generator's own counter, which counts 32 bits at a time.
const HALVES_PER_WORD: u128 = 2;
/// 2^-53: the step between uniform numbers.
const UNIFORM_STEP: f64 = 1.0 / (1_u64 << 53) as f64;
/// "BXRN": sets these keys apart from any other use of the same seed.
const KEY_DOMAIN: u32 = u32::from_le_bytes(*b"BXRN");

/// A stream of random numbers. A clone goes on with the same numbers as the original.
#[derive(Clone)]
pub struct Rng {
    cipher: ChaCha8Rng,
    buffer: [u64; BUFFER_WORDS],
    /// The next word in `buffer`; its length where none is left.
    next: usize,
    /// Position of the word that follows the buffer.
    buffer_end: u64,
}

impl Rng {
    /// The stream of this key, from its start.
    #[must_use]
    pub fn new(seed: u64, replicate: u32, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..12].copy_from_slice(&replicate.to_le_bytes());
        key[12..16].copy_from_slice(&KEY_DOMAIN.to_le_bytes());
        let mut cipher = ChaCha8Rng::from_seed(key);
        cipher.set_stream(stream);
        Self { cipher, buffer: [0; BUFFER_WORDS], next: BUFFER_WORDS, buffer_end: 0 }
    }

    /// The stream of this key from `position` on: what another generator's [`Rng::position`] gave.
    #[must_use]
    pub fn at_position(seed: u64, replicate: u32, stream: u64, position: u64) -> Self {
        let mut rng = Self::new(seed, replicate, stream);
        rng.cipher.set_word_pos(u128::from(position) * HALVES_PER_WORD);
        rng.buffer_end = position;
        rng
    }

    /// Words drawn so far: with the key all that is needed to go on from here.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.buffer_end - (BUFFER_WORDS - self.next) as u64
    }

    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        if self.next >= BUFFER_WORDS {
            self.refill();
        }
        let word = self.buffer[self.next];
        self.next += 1;
        word
    }

    /// Uniform among the multiples of 2^-53 above 0 and below 1.
    #[inline]
    pub fn uniform_open(&mut self) -> f64 {
        loop {
            let step = self.next_u64() >> 11;
            if step != 0 {
                return step as f64 * UNIFORM_STEP;
            }
        }
    }

    /// Exponential with mean 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        ziggurat::exponential(self)
    }

    /// How many of `trials` succeed, each with `probability` (0 below 0, all above 1, none where it is no number).
    ///
    /// Each trial compares a uniform number with `probability`, bit by bit from the first, for 64 trials at a time;
    /// only those that agree so far need the next bit. So the distribution is exact, in whole numbers, and costs
    /// about `trials` / 32 words.
    pub fn binomial(&mut self, trials: u64, probability: f64) -> u64 {
        if probability >= 1.0 {
            return trials;
        }
        let mut rest = probability;
        let mut undecided = trials;
        let mut successes = 0;
        // At 0 all further bits of the probability are 0: what is undecided has reached it, and fails.
        while undecided > 0 && rest > 0.0 {
            rest *= 2.0;
            let ones = self.fair_heads(undecided);
            if rest >= 1.0 {
                rest -= 1.0;
                successes += undecided - ones;
                undecided = ones;
            } else {
                undecided -= ones;
            }
        }
        successes
    }

    /// Heads among so many tosses of a fair coin.
    fn fair_heads(&mut self, tosses: u64) -> u64 {
        let mut heads = 0;
        for _ in 0..tosses / 64 {
            heads += u64::from(self.next_u64().count_ones());
        }
        let left = tosses % 64;
        if left > 0 {
            heads += u64::from((self.next_u64() >> (64 - left)).count_ones());
        }
        heads
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        for word in &mut self.buffer {
            *word = self.cipher.next_u64();
        }
        self.next = 0;
        self.buffer_end += BUFFER_WORDS as u64;
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rng").field("position", &self.position()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
