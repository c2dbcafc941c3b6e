//! GenBank flat files, as far as a chassis pack needs them: the length of the genome, its genes and where they lie, the
//! genetic code, and the share of G and C where the sequence is there. Everything else in a record is passed over.
//!
//! ```text
//!   LOCUS       NAME   543379 bp ..        --> name, length
//!   VERSION     CP016816.2                 --> accession
//!   FEATURES             Location/Qualifiers
//!        CDS             complement(1..30) --> location --.
//!                        /locus_tag="A_1"  --> qualifiers +-> Gene
//!   ORIGIN .. //                           --> G and C
//! ```

mod features;
mod location;

use features::Feature;

use super::genes::Gene;

/// A record, as far as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Accession with version, or else the name of the locus.
    pub accession: String,
    /// The organism; empty where the record has none.
    pub organism: String,
    /// Length of the genome.
    pub size_bp: u64,
    /// Share of G and C among A, C, G and T; none where the sequence is not there.
    pub gc_percent: Option<f64>,
    /// The translation table of its coding sequences; none where they name none.
    pub genetic_code: Option<u32>,
    /// By position; without classes and measured copies, of which a record knows nothing.
    pub genes: Vec<Gene>,
}

/// A line of a record that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the GenBank record, line {line}: {found:?}; expected {expected}")]
pub struct RecordError {
    /// Counted from 1.
    pub line: usize,
    /// As it stands there, cut to 60 characters.
    pub found: String,
    /// What would fit.
    pub expected: String,
}

impl RecordError {
    fn new(line: usize, found: &str, expected: impl Into<String>) -> Self {
        Self { line, found: found.trim().chars().take(60).collect(), expected: expected.into() }
    }
}

/// A line with its number.
type Line<'a> = (usize, &'a str);

impl Record {
    /// Reads the one record of `text`.
    ///
    /// # Errors
    /// The first line that does not fit, with what was expected.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let lines: Vec<Line<'_>> = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim_end()))
            .filter(|(_, line)| !line.is_empty())
            .collect();
        let end = lines.iter().position(|(_, line)| *line == "//");
        let end = end.ok_or_else(|| {
            RecordError::new(
                lines.last().map_or(1, |last| last.0),
                "the end of the file",
                "a line // that ends the record",
            )
        })?;
        if let Some((line, more)) = lines.get(end + 1) {
            return Err(RecordError::new(*line, more, "one record; import each on its own"));
        }
        Self::of(&lines[..end])
    }

    fn of(lines: &[Line<'_>]) -> Result<Self, RecordError> {
        let Some(first) = lines.first().filter(|(_, line)| line.starts_with("LOCUS ")) else {
            let (line, found) = lines.first().copied().unwrap_or((1, ""));
            return Err(RecordError::new(line, found, "LOCUS, the first line of a record"));
        };
        let (name, size_bp) = locus(*first)?;
        let features = features::read(section(lines, "FEATURES"))?;
        let last = lines.last().map_or(1, |last| last.0);
        if features.is_empty() {
            return Err(RecordError::new(last, "no feature", "a section FEATURES with genes"));
        }
        let accession = value(lines, "VERSION").unwrap_or(name);
        let genes = features::genes(&features, size_bp)?;
        if genes.is_empty() {
            return Err(RecordError::new(last, "no gene", "features CDS, tRNA or rRNA with a /locus_tag"));
        }
        Ok(Self {
            accession: accession.to_owned(),
            organism: organism(lines),
            size_bp,
            gc_percent: gc_percent(section(lines, "ORIGIN"), size_bp)?,
            genetic_code: genetic_code(&features)?,
            genes,
        })
    }
}

/// Name and length.
fn locus((number, line): Line<'_>) -> Result<(&str, u64), RecordError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let misfit =
        || RecordError::new(number, line, "LOCUS, a name, a length and bp, as in LOCUS X 543379 bp DNA");
    let unit = words.iter().position(|word| *word == "bp").filter(|unit| *unit >= 3).ok_or_else(misfit)?;
    let size = words[unit - 1].parse().ok().filter(|size| (1..=1_000_000_000_000).contains(size));
    Ok((words[1], size.ok_or_else(misfit)?))
}

/// The first word behind a key.
fn value<'a>(lines: &[Line<'a>], key: &str) -> Option<&'a str> {
    let line = lines.iter().find(|(_, line)| line.split_whitespace().next() == Some(key));
    line.and_then(|(_, line)| line.split_whitespace().nth(1))
}

fn organism(lines: &[Line<'_>]) -> String {
    let named = lines.iter().find_map(|(_, line)| line.trim_start().strip_prefix("ORGANISM "));
    named.unwrap_or_default().trim().to_owned()
}

/// The lines of a section, its first aside: sections begin in the first column.
fn section<'a, 'l>(lines: &'l [Line<'a>], key: &str) -> &'l [Line<'a>] {
    let starts = |(_, line): &Line<'_>| !line.starts_with(' ') && line.split_whitespace().next() == Some(key);
    let Some(from) = lines.iter().position(starts) else { return &[] };
    let rest = &lines[from + 1..];
    // Lines of the sequence begin with a number, right-aligned in the first ten columns.
    let ends = |(_, line): &Line<'_>| line.starts_with(|first: char| first.is_ascii_uppercase());
    &rest[..rest.iter().position(ends).unwrap_or(rest.len())]
}

fn genetic_code(features: &[Feature<'_>]) -> Result<Option<u32>, RecordError> {
    let mut code: Option<u32> = None;
    for feature in features.iter().filter(|feature| feature.key == "CDS") {
        let Some(text) = feature.qualifier("transl_table") else { continue };
        let found: u32 = text.parse().map_err(|_| {
            RecordError::new(feature.line, text, "/transl_table and the number of a translation table")
        })?;
        if code.is_some_and(|code| code != found) {
            let expected = format!("/transl_table {}, as before: one genetic code", code.unwrap_or(found));
            return Err(RecordError::new(feature.line, text, expected));
        }
        code = Some(found);
    }
    Ok(code)
}

fn gc_percent(lines: &[Line<'_>], size_bp: u64) -> Result<Option<f64>, RecordError> {
    let (mut bases, mut known, mut gc) = (0_u64, 0_u64, 0_u64);
    for (number, line) in lines {
        for base in line.bytes().filter(|byte| !byte.is_ascii_digit() && *byte != b' ') {
            bases += 1;
            match base.to_ascii_lowercase() {
                b'g' | b'c' => (known, gc) = (known + 1, gc + 1),
                b'a' | b't' | b'u' => known += 1,
                other if other.is_ascii_alphabetic() => {}
                _ => return Err(RecordError::new(*number, line, "a number and letters of the sequence")),
            }
        }
    }
    if bases == 0 {
        return Ok(None);
    }
    if bases != size_bp {
        let line = lines.last().map_or(1, |last| last.0);
        let expected = format!("{size_bp}, the length that LOCUS states");
        return Err(RecordError::new(line, &format!("{bases} bases of sequence"), expected));
    }
    Ok((known > 0).then(|| 100.0 * gc as f64 / known as f64))
}
