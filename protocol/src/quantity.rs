//! Numbers of the wire, checked where they enter: shares of ATP, simulated time on its grid, paces.
//!
//! Inside the fleet they are whole numbers: thousandths of a percent and ticks of 0.1 simulated minute.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{HORIZON_MINUTES, PACE, TICKS_PER_MINUTE};

/// Share of the energy supply, in thousandths of a percent (60 % is 60,000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AtpPercent(pub u64);

/// A point of the grid of simulated time: a whole number of 0.1 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SimulatedTime {
    pub ticks: u64,
}

/// Simulated seconds per second, or as fast as the worker can.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    Max,
    Ratio(f64),
}

impl AtpPercent {
    pub const FULL: Self = Self(100_000);

    pub fn percent(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl SimulatedTime {
    pub fn minutes(self) -> f64 {
        self.ticks as f64 / TICKS_PER_MINUTE as f64
    }
}

/// `value * scale` where that is a whole number within rounding, else None.
fn scaled(value: f64, scale: f64, most: u64) -> Option<u64> {
    let product = value * scale;
    let whole = product.round();
    let close = (product - whole).abs() <= 1e-6 * scale.max(1.0) && whole >= 0.0 && whole <= most as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative, bounded"
    )]
    close.then_some(whole as u64)
}

impl<'de> Deserialize<'de> for AtpPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Far above any limit, so that sums of many VMs still fit.
        const MOST: u64 = 1_000_000_000_000;
        let value = f64::deserialize(deserializer)?;
        scaled(value, 1000.0, MOST).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{value} is not a share of ATP: expected a percentage of at least 0 with at most three decimals"
            ))
        })
    }
}

impl Serialize for AtpPercent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.percent())
    }
}

impl<'de> Deserialize<'de> for SimulatedTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        let ticks = scaled(value, TICKS_PER_MINUTE as f64, HORIZON_MINUTES * TICKS_PER_MINUTE);
        ticks.map(|ticks| Self { ticks }).ok_or_else(|| {
            D::Error::custom(format!(
                "{value} minutes is not on the grid of simulated time: expected a multiple of 0.1 from 0 to {HORIZON_MINUTES}"
            ))
        })
    }
}

impl Serialize for SimulatedTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.minutes())
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Pace;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a number from {} to {}, or \"max\"", PACE.start(), PACE.end())
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Pace, E> {
                if PACE.contains(&value) {
                    Ok(Pace::Ratio(value))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
                }
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Pace, E> {
                self.visit_f64(value as f64)
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Pace, E> {
                self.visit_f64(value as f64)
            }
            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Pace, E> {
                match value {
                    "max" => Ok(Pace::Max),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Max => serializer.serialize_str("max"),
            Self::Ratio(ratio) => serializer.serialize_f64(*ratio),
        }
    }
}

macro_rules! schema {
    ($name:ident, $($schema:tt)*) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)*)
            }
        }
    };
}

schema!(AtpPercent, { "type": "number", "minimum": 0, "description": "percent, at most three decimals" });
schema!(SimulatedTime, { "type": "number", "minimum": 0, "multipleOf": 0.1, "description": "simulated minutes" });
schema!(Pace, { "anyOf": [{ "type": "number", "minimum": 0.001, "maximum": 1e6 }, { "const": "max" }] });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_and_minutes_are_whole_numbers_inside() {
        let percent: AtpPercent = serde_json::from_str("33.333").unwrap();
        assert_eq!(percent, AtpPercent(33_333));
        let time: SimulatedTime = serde_json::from_str("7.3").unwrap();
        assert_eq!(time, SimulatedTime { ticks: 73 });
        for bad in ["33.33333", "-1", "1e308"] {
            assert!(serde_json::from_str::<AtpPercent>(bad).is_err(), "{bad} was taken");
        }
        for bad in ["0.05", "-0.1", "1e308"] {
            assert!(serde_json::from_str::<SimulatedTime>(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn a_pace_is_a_number_in_its_range_or_max() {
        assert_eq!(serde_json::from_str::<Pace>("60").unwrap(), Pace::Ratio(60.0));
        assert_eq!(serde_json::from_str::<Pace>("\"max\"").unwrap(), Pace::Max);
        for bad in ["0", "-1", "1e7", "\"fast\"", "null"] {
            assert!(serde_json::from_str::<Pace>(bad).is_err(), "{bad} was taken");
        }
    }
}
