//! The features of a record, and the genes that they tell of. It reads lines; sequences are not its concern.

use std::collections::BTreeSet;

use super::location::{self, Location};
use super::{Line, RecordError};
use crate::chassis::pack::genes::{Gene, Kind};

/// Columns in which a feature's key and its location begin.
const KEY_COLUMN: usize = 5;
const VALUE_COLUMN: usize = 21;
/// Most features of a record.
const MAX_FEATURES: usize = 1_000_000;
/// Most bytes of one location or qualifier.
const MAX_VALUE_BYTES: usize = 200_000;

/// A feature.
#[derive(Debug)]
pub(super) struct Feature<'a> {
    pub(super) line: usize,
    pub(super) key: &'a str,
    location: String,
    qualifiers: Vec<(String, String)>,
}

impl Feature<'_> {
    /// The value of a qualifier; empty where it has none, as `/pseudo`.
    pub(super) fn qualifier(&self, name: &str) -> Option<&str> {
        self.qualifiers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is_pseudo(&self) -> bool {
        self.qualifier("pseudo").is_some() || self.qualifier("pseudogene").is_some()
    }

    fn locus(&self) -> Result<&str, RecordError> {
        let locus = self.qualifier("locus_tag").or_else(|| self.qualifier("gene"));
        let locus = locus.filter(|locus| !locus.is_empty() && !locus.contains(['\t', '\n']));
        locus.ok_or_else(|| RecordError::new(self.line, self.key, "a /locus_tag or a /gene that names it"))
    }

    fn place(&self) -> Result<Location, RecordError> {
        location::parse(&self.location)
            .map_err(|expected| RecordError::new(self.line, &self.location, expected))
    }
}

/// All features of a section.
pub(super) fn read<'a>(lines: &[Line<'a>]) -> Result<Vec<Feature<'a>>, RecordError> {
    let mut features: Vec<Feature<'a>> = Vec::new();
    for (number, line) in lines {
        let misfit = |expected: &str| RecordError::new(*number, line, expected);
        let column = line.len() - line.trim_start().len();
        if column == KEY_COLUMN {
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or_default();
            let location = words.collect::<String>();
            if location.is_empty() {
                return Err(misfit("a feature's key and its location"));
            }
            if features.len() == MAX_FEATURES {
                return Err(misfit("at most 1,000,000 features"));
            }
            features.push(Feature { line: *number, key, location, qualifiers: Vec::new() });
            continue;
        }
        let feature = features.last_mut().filter(|_| column >= VALUE_COLUMN);
        let feature = feature.ok_or_else(|| misfit("a feature, or a line of it from column 22 on"))?;
        extend(feature, line.trim_start()).map_err(|expected| misfit(&expected))?;
    }
    for feature in &mut features {
        for (_, value) in &mut feature.qualifiers {
            *value = unquoted(value);
        }
    }
    Ok(features)
}

/// Adds a line to what a feature has.
fn extend(feature: &mut Feature<'_>, text: &str) -> Result<(), String> {
    let open = feature.qualifiers.last().is_some_and(|(_, value)| is_open(value));
    match (text.strip_prefix('/').filter(|_| !open), feature.qualifiers.last_mut()) {
        (Some(qualifier), _) => {
            let (name, value) = qualifier.split_once('=').unwrap_or((qualifier, ""));
            feature.qualifiers.push((name.trim().to_owned(), value.trim().to_owned()));
            Ok(())
        }
        (None, Some((_, value))) if value.len() < MAX_VALUE_BYTES => {
            // A name that was broken at the end of a line goes on without a space; other text is of no use here.
            value.push_str(text);
            Ok(())
        }
        (None, None) if feature.location.len() < MAX_VALUE_BYTES => {
            feature.location.extend(text.split_whitespace());
            Ok(())
        }
        _ => Err(format!("values of at most {MAX_VALUE_BYTES} bytes")),
    }
}

/// Whether a value begins with a quotation mark whose partner is still to come.
fn is_open(value: &str) -> bool {
    value.starts_with('"') && value.bytes().filter(|byte| *byte == b'"').count() % 2 == 1
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace("\"\"", "\""))
}

/// The genes that the features tell of: each product, and each broken gene without one.
pub(super) fn genes(features: &[Feature<'_>], size_bp: u64) -> Result<Vec<Gene>, RecordError> {
    let (mut loci, mut genes) = (BTreeSet::new(), Vec::new());
    let mut add = |feature: &Feature<'_>, kind: Kind| -> Result<(), RecordError> {
        let locus = feature.locus()?;
        // A locus with several products, as two coding sequences by a frame shift, is one gene: its first.
        if !loci.insert(locus.to_owned()) {
            return Ok(());
        }
        let place = feature.place()?;
        if place.start > size_bp || place.end > size_bp {
            let expected = format!("positions up to {size_bp}, the length that LOCUS states");
            return Err(RecordError::new(feature.line, &feature.location, expected));
        }
        genes.push(Gene {
            locus: locus.to_owned(),
            symbol: feature.qualifier("gene").unwrap_or_default().replace(['\t', '\n'], " "),
            start: place.start,
            end: place.end,
            strand: place.strand,
            kind,
            class: None,
            proteins_per_cell: None,
            mean_mrna: None,
            length_nt: place.length_nt,
            pseudo: feature.is_pseudo(),
        });
        Ok(())
    };
    for feature in features {
        if let Some(kind) = Kind::parse(feature.key) {
            add(feature, kind)?;
        }
    }
    for feature in features.iter().filter(|feature| feature.key == "gene" && feature.is_pseudo()) {
        add(feature, Kind::Cds)?;
    }
    genes.sort_by_key(|gene| (gene.start, gene.end));
    Ok(genes)
}
