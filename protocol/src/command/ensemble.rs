//! `ensemble`: many VMs from one command, each a `create` body with its own values on the axes.
//!
//! Which member gets which values is counted here, from the body and the member's number alone: whoever has the body
//! can write down any member's `create` again. What a member then is, is `create`'s business.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Create;
use crate::codec::{self, DecodeError, Value};
use crate::id::VmId;

/// The body of `ensemble`: that of `create` and what makes it many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ensemble {
    #[serde(flatten)]
    pub many: Many,
    /// What all members have in common. `on_complete` is `release` where absent, for a member that keeps its slot would
    /// hold up those behind it.
    #[serde(flatten)]
    pub create: Create,
}

/// What an `ensemble` body has beside that of `create`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Many {
    /// The ensemble's name; its members are the VMs `<name>-00001` and so on.
    pub name: VmId,
    /// Paths into the `create` body (`parameters.s0`, `allocation.ribosomes`, `schedule.0.parameters.cl`) and their
    /// values. Lists and ranges multiply; all sampled axes are drawn together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, Axis>,
    /// Members for each point of the axes, alike but for their seeds.
    #[serde(default = "one")]
    pub replicates: u64,
}

fn one() -> u64 {
    1
}

/// The values of one axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a list of values, or {from, to, steps}, or {sample: [low, high], n}")]
pub enum Axis {
    Values(Vec<Scalar>),
    Range(Range),
    Sample(Sample),
}

/// Evenly spaced values, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub from: f64,
    pub to: f64,
    pub steps: u64,
}

/// Values drawn evenly between low and high, by the ensemble's seed; `n` is the same for all sampled axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub sample: [f64; 2],
    pub n: u64,
}

/// One value, as it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, a text, true or false")]
pub enum Scalar {
    Whole(u64),
    Number(f64),
    Flag(bool),
    Text(String),
}

/// What one member has of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// From 0.
    pub replicate: u64,
    /// Path and value, in the order of the paths.
    pub values: Vec<(String, Scalar)>,
}

impl Ensemble {
    /// Reads a body; what is absent of `on_complete` becomes `release`.
    ///
    /// # Errors
    /// The first field that is unknown, missing or of the wrong kind.
    pub fn from_value(mut body: Value) -> Result<Self, DecodeError> {
        let mut many = Vec::new();
        for field in ["name", "axes", "replicates"] {
            many.extend(body.remove(field).map(|value| (field.to_owned(), value)));
        }
        let many = codec::from_value(&Value::Map(many))?;
        if let Value::Map(fields) = &mut body
            && !fields.iter().any(|(name, _)| name == "on_complete")
        {
            fields.push(("on_complete".to_owned(), Value::Text("release".to_owned())));
        }
        Ok(Self { many, create: codec::from_value(&body)? })
    }
}

impl Many {
    /// How many members there are; None beyond what can be counted.
    pub fn members(&self) -> Option<u64> {
        let grid = self.axes.values().map(|axis| if axis.is_sampled() { 1 } else { axis.len() });
        let grid = grid.chain([self.draws(), self.replicates]);
        grid.into_iter().try_fold(1u64, u64::checked_mul)
    }

    /// The point of member `number` (from 1) under the ensemble's seed. Replicates count fastest, then draws, then the
    /// axes from the last path to the first.
    pub fn point(&self, number: u64, seed: u64) -> Point {
        let mut rest = number.saturating_sub(1);
        let mut digit = |base: u64| {
            let base = base.max(1);
            let digit = rest % base;
            rest /= base;
            digit
        };
        let replicate = digit(self.replicates);
        let draw = digit(self.draws());
        let mut values: Vec<(String, Scalar)> = Vec::with_capacity(self.axes.len());
        for (path, axis) in self.axes.iter().rev() {
            let value = match axis {
                Axis::Values(values) => {
                    usize::try_from(digit(axis.len())).ok().and_then(|at| values.get(at).cloned())
                }
                Axis::Range(range) => Some(on_grid(path, range.at(digit(range.steps)))),
                Axis::Sample(sample) => Some(on_grid(path, sample.at(share(seed, path, draw)))),
            };
            values.extend(value.map(|value| (path.clone(), value)));
        }
        values.reverse();
        Point { replicate, values }
    }

    /// Points that are sampled together.
    fn draws(&self) -> u64 {
        let sampled = self.axes.values().filter(|axis| axis.is_sampled());
        sampled.map(Axis::len).max().unwrap_or(1)
    }
}

impl Axis {
    pub fn len(&self) -> u64 {
        match self {
            Self::Values(values) => values.len() as u64,
            Self::Range(range) => range.steps,
            Self::Sample(sample) => sample.n,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_sampled(&self) -> bool {
        matches!(self, Self::Sample(_))
    }
}

impl Range {
    fn at(self, step: u64) -> f64 {
        if step + 1 >= self.steps && self.steps > 1 {
            return self.to;
        }
        let share = step as f64 / self.steps.saturating_sub(1).max(1) as f64;
        self.from + (self.to - self.from) * share
    }
}

impl Sample {
    fn at(self, share: f64) -> f64 {
        let [low, high] = self.sample;
        low + (high - low) * share
    }
}

/// A value as its field can hold it: whole units, thousandths of a percent, tenths of a minute. Others stay as they are.
fn on_grid(path: &str, value: f64) -> Scalar {
    let steps_per_unit = match path.rsplit('.').next() {
        Some("ribosomes" | "memory_kb" | "max_ribosomes" | "horizon_generations") => 1.0,
        Some("atp_percentage" | "max_atp") => 1000.0,
        Some("horizon_minutes" | "at_minute" | "every_minutes") => 10.0,
        _ => return Scalar::Number(value),
    };
    Scalar::Number((value * steps_per_unit).round() / steps_per_unit)
}

/// The seed of member `number`: 53 bits, exact in every language that reads JSON numbers as floats.
pub fn member_seed(seed: u64, number: u64) -> u64 {
    mixed(mixed(seed).wrapping_add(number)) >> 11
}

/// A number from 0 up to 1, by seed, path and draw alone.
fn share(seed: u64, path: &str, draw: u64) -> f64 {
    let name = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let bits = mixed(mixed(mixed(seed) ^ name).wrapping_add(draw)) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

/// The finalizer of splitmix64 (Steele, Lea and Flood 2014) after its increment: every bit hangs on every other.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(json: &str) -> Many {
        let body =
            codec::decode_value(codec::Encoding::Json, json.as_bytes(), &codec::DecodeLimits::default());
        Ensemble::from_value(body.unwrap()).unwrap().many
    }

    const GRID: &str = r#"{"name": "e", "biological_type": "syn3a", "replicates": 2, "axes":
        {"parameters.s0": [1, 2.5], "allocation.ribosomes": {"from": 5, "to": 15, "steps": 3}}}"#;

    #[test]
    fn members_are_the_product_of_axes_and_replicates_each_point_once() {
        let many = many(GRID);
        assert_eq!(many.members(), Some(12));
        let mut seen: Vec<String> = (1..=12).map(|number| format!("{:?}", many.point(number, 7))).collect();
        assert_eq!(many.point(1, 7).values[1], ("parameters.s0".to_owned(), Scalar::Whole(1)));
        assert_eq!(many.point(12, 7).values[0], ("allocation.ribosomes".to_owned(), Scalar::Number(15.0)));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn sampled_axes_are_drawn_together_by_the_seed_alone_within_their_bounds() {
        let many = many(
            r#"{"name": "e", "biological_type": "syn3a", "axes": {"parameters.s0": {"sample": [10, 20], "n": 50},
                "allocation.atp_percentage": {"sample": [30, 70], "n": 50}}}"#,
        );
        assert_eq!(many.members(), Some(50));
        for number in 1..=50 {
            let Point { values, .. } = many.point(number, 3);
            assert_eq!(values, many.point(number, 3).values);
            assert_ne!(values, many.point(number, 4).values);
            let Scalar::Number(s0) = values[1].1 else { panic!("{values:?}") };
            assert!((10.0..20.0).contains(&s0));
        }
    }

    #[test]
    fn seeds_differ_between_members_and_between_ensembles() {
        let mut seeds: Vec<u64> =
            (1..=1000).flat_map(|number| [member_seed(1, number), member_seed(2, number)]).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 2000);
        assert!(seeds.iter().all(|seed| *seed < 1 << 53));
    }

    #[test]
    fn a_member_is_released_when_it_completes_unless_the_body_says_otherwise() {
        let body = codec::decode_value(codec::Encoding::Json, GRID.as_bytes(), &Default::default()).unwrap();
        let ensemble = Ensemble::from_value(body).unwrap();
        assert_eq!(ensemble.create.on_complete, super::super::OnComplete::Release);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let body = br#"{"name": "e", "biological_type": "syn3a", "replicate_count": 2}"#;
        let body = codec::decode_value(codec::Encoding::Json, body, &Default::default()).unwrap();
        assert!(Ensemble::from_value(body).unwrap_err().to_string().contains("replicate_count"));
    }
}
