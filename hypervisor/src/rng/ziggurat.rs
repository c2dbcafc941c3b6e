//! Exponential numbers by the ziggurat of Marsaglia and Tsang (J. Stat. Softw. 2000;5(8)): the area under exp(-x)
//! cut into 256 layers of one size, so that 98.9 % of the draws cost one word, a product and a comparison.
//!
//! The layer comes from the word's low 8 bits, the place in it from the high 53, so they are independent.

use std::sync::LazyLock;

use super::Rng;
use crate::maths;

const LAYERS: usize = 256;
/// Where the tail begins, for 256 layers (ibid.). The layers' area follows from it.
const TAIL: f64 = 7.697_117_470_131_05;
const PLACES: f64 = (1_u64 << 53) as f64;

/// Of each layer, from the tail's up.
#[derive(Clone, Copy)]
struct Layer {
    /// Places below it lie under the curve whatever their height.
    sure: u64,
    /// From a place to x.
    scale: f64,
    /// exp(-x) at the layer's right end, and that of the layer above.
    low: f64,
    high: f64,
}

static TABLE: LazyLock<[Layer; LAYERS]> = LazyLock::new(table);

pub(super) fn exponential(rng: &mut Rng) -> f64 {
    let table: &[Layer; LAYERS] = &TABLE;
    let mut shift = 0.0;
    loop {
        let word = rng.next_u64();
        let at = (word & 0xff) as usize;
        let layer = &table[at];
        let place = word >> 11;
        let x = place as f64 * layer.scale;
        if place < layer.sure {
            return shift + x;
        }
        if at == 0 {
            // Beyond the tail's begin the distribution is the same again.
            shift += TAIL;
        } else if layer.low + rng.uniform_open() * (layer.high - layer.low) < maths::exp(-x) {
            return shift + x;
        }
    }
}

fn table() -> [Layer; LAYERS] {
    let at_tail = maths::exp(-TAIL);
    let area = (TAIL + 1.0) * at_tail;
    // The lowest layer is as wide as a box of that area would be: places beyond the tail's begin stand for the tail.
    let mut right = area / at_tail;
    let mut next = TAIL;
    let mut low = at_tail;
    std::array::from_fn(|layer| {
        if layer > 0 {
            let high = low + area / right;
            next = if layer + 1 == LAYERS { 0.0 } else { -maths::ln(high) };
            let made = Layer { sure: places(next / right), scale: right / PLACES, low, high };
            (right, low) = (next, high);
            return made;
        }
        let made = Layer { sure: places(next / right), scale: right / PLACES, low: 0.0, high: at_tail };
        right = next;
        made
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the places")]
fn places(share: f64) -> u64 {
    (share * PLACES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_close_at_the_top_of_the_curve() {
        let top = table()[LAYERS - 1];
        assert!((top.high - 1.0).abs() < 1e-12, "the last layer ends at {}", top.high);
        assert_eq!(top.sure, 0);
    }
}
