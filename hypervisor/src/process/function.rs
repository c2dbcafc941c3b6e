//! The functions of process code by name, the same in plain calls and in scripts (there as `cell.NAME`). It runs none.

use super::ProcessError;
use crate::nearest::nearest;

macro_rules! functions {
    ($($variant:ident $name:literal $usage:literal $meaning:literal)*) => {
        /// A function that a plain call can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function { $(#[doc = $meaning] $variant),* }

        impl Function {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As people write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// How it is called.
            #[must_use]
            pub const fn usage(self) -> &'static str {
                match self { $(Self::$variant => $usage),* }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

functions! {
    Status "get_biological_status" "get_biological_status()" "All figures of the state, and what the cell is given."
    Metabolism "minimal_metabolism_analysis" "minimal_metabolism_analysis()" "Fluxes, yields and the energy budget."
    Replication "dna_replication" "dna_replication()" "Replication of the chromosome at the present growth rate."
    OperonExpression "operon_expression_analysis" "operon_expression_analysis()" "Transcription of each operon at the present state."
    TestProcess "test_process" "test_process()" "Checks both closures and one simulated minute on a copy."
    TestEcoliProcess "test_ecoli_process" "test_ecoli_process()" "The same checks, for E. coli only, and its replication."
    StartTranscription "start_transcription" "start_transcription(['GENE', ..])" "Starts transcription of genes."
    ManageOperons "manage_operons" "manage_operons(['OPERON', ..], 'activate' | 'repress' | 'derepress')" "Regulates operons."
    InsertPlasmid "insert_plasmid" "insert_plasmid('PLASMID')" "Puts one copy of a plasmid in; it costs the cell and copies itself."
    RemovePlasmid "remove_plasmid" "remove_plasmid('PLASMID')" "Takes all copies of a plasmid out."
    SetNutrient "set_nutrient" "set_nutrient(MOLECULES)" "Sets the external nutrient s0."
    AddDrug "add_drug" "add_drug('chloramphenicol', MICROMOLAR)" "Adds a drug to what is there."
    Advance "advance" "advance(MINUTES)" "Lets simulated time pass, in tenths of a minute."
}

impl Function {
    /// The function of that name; letter case counts.
    ///
    /// # Errors
    /// An unknown one, with the nearest five.
    pub fn find(name: &str) -> Result<Self, ProcessError> {
        let found = Self::ALL.iter().copied().find(|function| function.name() == name);
        found.ok_or_else(|| ProcessError::UnknownFunction {
            name: name.chars().take(64).collect(),
            nearest: nearest(name, Self::ALL.iter().map(|function| function.name())),
        })
    }

    /// An error about this function's arguments.
    #[must_use]
    pub fn misused(self, problem: impl Into<String>) -> ProcessError {
        ProcessError::Argument { function: self.name(), problem: problem.into(), usage: self.usage() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_function_is_refused_with_the_nearest_five() {
        assert_eq!(Function::find("dna_replication").unwrap(), Function::Replication);
        let Err(ProcessError::UnknownFunction { nearest, .. }) = Function::find("dna_replicate") else {
            panic!("it is unknown");
        };
        assert_eq!((nearest[0].as_str(), nearest.len()), ("dna_replication", 5));
    }
}
