//! The symbols that people may set, with their ranges. It holds no chassis' figures and no equations.

use std::collections::BTreeMap;

use crate::model::core::{CLASSES, Constants};
use crate::spec::SpecError;

/// What values a symbol may take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    /// 0 to `LARGEST`.
    NonNegative,
    /// Above 0, to `LARGEST`.
    Positive,
    /// 0 to 100.
    Exponent,
    /// Above 0, below 1.
    Fraction,
}

/// No quantity of a cell comes near it; products of a few such values are still finite.
const LARGEST: f64 = 1e15;

macro_rules! symbols {
    ($($symbol:ident $name:literal $range:ident $meaning:literal)*) => {
        /// A parameter of the model, by the symbol of the published equations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Symbol { $(#[doc = $meaning] $symbol),* }

        const TABLE: &[(Symbol, &str, Range)] = &[$((Symbol::$symbol, $name, Range::$range)),*];
    };
}

symbols! {
    S0 "s0" NonNegative "external nutrient, molecules"
    Cl "cl" NonNegative "chloramphenicol, uM"
    Ns "ns" NonNegative "energy per nutrient (nutrient quality)"
    Vt "vt" NonNegative "highest import of a transporter, 1/min"
    Kt "Kt" Positive "external nutrient at half of that"
    Vm "vm" NonNegative "highest turnover of a metabolic enzyme, 1/min"
    Km "Km" Positive "internal nutrient at half of that"
    Wr "wr" NonNegative "highest transcription of ribosomal mRNA, 1/min"
    Wt "wt" NonNegative "highest transcription of transport mRNA, 1/min"
    Wm "wm" NonNegative "highest transcription of metabolic mRNA, 1/min"
    Wq "wq" NonNegative "highest transcription of housekeeping mRNA, 1/min"
    Wp "wp" NonNegative "highest transcription of heterologous mRNA (burden), 1/min"
    Thr "thr" Positive "energy at half transcription, ribosomal"
    Thx "thx" Positive "energy at half transcription, others"
    Kq "Kq" Positive "housekeeping protein at half repression"
    Nq "nq" Exponent "Hill exponent of that repression"
    Gmax "gmax" Positive "highest elongation rate, aa/min"
    Kp "Kp" Positive "gmax / Kg: set one of the two"
    Kg "Kg" Positive "energy at half elongation: set it or Kp"
    Nr "nr" Positive "length of a ribosome's protein, aa"
    Nx "nx" Positive "length of any other protein, aa"
    M "M" Positive "cell mass, aa"
    Kb "kb" NonNegative "binding of ribosome and mRNA, 1/min a molecule"
    Ku "ku" NonNegative "unbinding, 1/min"
    Dm "dm" NonNegative "mRNA decay, 1/min"
    KCm "k_cm" NonNegative "chloramphenicol binding, 1/(min uM)"
    Ks "ks" NonNegative "sequestration by a ribosome cap, 1/min"
    Td "td" Positive "doubling time to calibrate to, min"
    R "R" Positive "ribosomes to calibrate to"
    Act "act" Fraction "share of translating ribosomes to calibrate to"
    PhiE "phiE" Fraction "enzyme mass fraction to calibrate to"
}

/// How many symbols there are.
pub(crate) const SYMBOLS: usize = TABLE.len();

impl Symbol {
    /// The symbol written `name`; case counts.
    pub(crate) fn parse(name: &str) -> Result<Self, SpecError> {
        TABLE.iter().find(|(_, known, _)| *known == name).map(|(symbol, ..)| *symbol).ok_or_else(|| {
            SpecError::UnknownParameter { name: name.chars().take(40).collect(), known: known_symbols() }
        })
    }

    /// The symbol with number `code`, as `code()` gives it.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        TABLE.get(usize::from(code)).map(|(symbol, ..)| *symbol)
    }

    /// Its number in a checkpoint.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Whether it is a figure that constants are calibrated to.
    pub(crate) fn calibrates(self) -> bool {
        matches!(self, Self::Td | Self::R | Self::Act | Self::PhiE)
    }

    fn check(self, value: f64) -> Result<(), SpecError> {
        let (fits, expected) = match TABLE[self as usize].2 {
            Range::NonNegative => ((0.0..=LARGEST).contains(&value), "a number from 0 to 1e15"),
            Range::Positive => (value > 0.0 && value <= LARGEST, "a number above 0, up to 1e15"),
            Range::Exponent => ((0.0..=100.0).contains(&value), "a number from 0 to 100"),
            Range::Fraction => (value > 0.0 && value < 1.0, "a number above 0 and below 1"),
        };
        if fits {
            return Ok(());
        }
        Err(SpecError::OutOfRange { symbol: self.name(), value, expected: expected.to_owned() })
    }
}

/// Every symbol as people write it, for messages and help.
#[must_use]
pub fn known_symbols() -> String {
    TABLE.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What a user set, symbol by symbol; the rest is the chassis'.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings(BTreeMap<Symbol, f64>);

impl Settings {
    /// Sets `parameters` on top; each value in its range, Kp and Kg not both.
    pub(crate) fn with(&self, parameters: &BTreeMap<String, f64>) -> Result<Self, SpecError> {
        let mut merged = self.clone();
        for (name, value) in parameters {
            merged.set(Symbol::parse(name)?, *value)?;
        }
        Ok(merged)
    }

    pub(crate) fn set(&mut self, symbol: Symbol, value: f64) -> Result<(), SpecError> {
        symbol.check(value)?;
        self.0.insert(symbol, value);
        if self.0.contains_key(&Symbol::Kp) && self.0.contains_key(&Symbol::Kg) {
            return Err(SpecError::Conflict { first: Symbol::Kp.name(), second: Symbol::Kg.name() });
        }
        Ok(())
    }

    pub(crate) fn get(&self, symbol: Symbol) -> Option<f64> {
        self.0.get(&symbol).copied()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (Symbol, f64)> + '_ {
        self.0.iter().map(|(symbol, value)| (*symbol, *value))
    }
}

/// A value for every symbol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Values([f64; SYMBOLS]);

impl Values {
    pub(crate) fn zero() -> Self {
        Self([0.0; SYMBOLS])
    }

    pub(crate) fn get(&self, symbol: Symbol) -> f64 {
        self.0[symbol as usize]
    }

    pub(crate) fn set(&mut self, symbol: Symbol, value: f64) {
        self.0[symbol as usize] = value;
    }

    /// These values with `settings` on top. Kg follows from gmax and Kp where Kp is what the user set, or what
    /// the chassis is given by (`kp_leads`) and the user did not set Kg.
    pub(crate) fn with(mut self, settings: &Settings, kp_leads: bool) -> Self {
        for (symbol, value) in settings.iter() {
            self.set(symbol, value);
        }
        let kp_leads = kp_leads && settings.get(Symbol::Kg).is_none();
        if kp_leads || settings.get(Symbol::Kp).is_some() {
            self.set(Symbol::Kg, self.get(Symbol::Gmax) / self.get(Symbol::Kp));
        }
        self
    }

    /// The constants of the equations, under an energy supply of `atp` (1 = all of it) and a cap on active
    /// ribosomes in molecules (infinite = none).
    pub(crate) fn constants(&self, atp: f64, cap: f64) -> Constants {
        let of = |symbol| self.get(symbol);
        let transcription: [f64; CLASSES] =
            [Symbol::Wr, Symbol::Wt, Symbol::Wm, Symbol::Wq, Symbol::Wp].map(of);
        Constants {
            transcription,
            per_ribosome: 1.0 / of(Symbol::Nr),
            per_protein: 1.0 / of(Symbol::Nx),
            elongation_max: of(Symbol::Gmax),
            elongation_half: of(Symbol::Kg),
            threshold_ribosomal: of(Symbol::Thr),
            threshold_other: of(Symbol::Thx),
            repression_half: of(Symbol::Kq),
            repression_exponent: of(Symbol::Nq),
            mass: of(Symbol::M),
            binding: of(Symbol::Kb),
            unbinding: of(Symbol::Ku),
            decay: of(Symbol::Dm),
            import: of(Symbol::Vt) * of(Symbol::S0) / (of(Symbol::Kt) + of(Symbol::S0)),
            metabolism: of(Symbol::Vm),
            metabolism_half: of(Symbol::Km),
            energy_yield: of(Symbol::Ns) * atp,
            inhibition: of(Symbol::Cl) * of(Symbol::KCm),
            cap,
            sequestration: of(Symbol::Ks),
        }
    }
}
