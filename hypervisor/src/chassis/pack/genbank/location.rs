//! Where a feature lies: `12..345`, `complement(..)`, `join(..)`, `order(..)`, with `<` and `>` where an end is open.

use crate::chassis::pack::genes::{MAX_POSITION_BP, Strand};

/// Most parts of one location, and how deep they may be nested.
const MAX_PARTS: usize = 1_000;
const MAX_DEPTH: usize = 8;
const FORM: &str = "a location, as in 12..345, complement(12..345) or join(12..34,56..78)";

/// A location: from its first to its last base along the forward strand, `end` before `start` where it crosses the
/// origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) strand: Strand,
    /// The sum of its parts.
    pub(super) length_nt: u64,
}

/// First and last base, and strand.
type Part = (u64, u64, Strand);

/// Reads a location; the error says what was expected.
pub(super) fn parse(text: &str) -> Result<Location, String> {
    let parts = in_reading_order(text, 0)?;
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Err(FORM.to_owned());
    };
    let strand = first.2;
    if parts.iter().any(|part| part.2 != strand) {
        return Err("parts on one strand".to_owned());
    }
    let (start, end) = match strand {
        Strand::Forward => (first.0, last.1),
        Strand::Reverse => (last.0, first.1),
    };
    Ok(Location { start, end, strand, length_nt: parts.iter().map(|(start, end, _)| end - start + 1).sum() })
}

fn in_reading_order(text: &str, depth: usize) -> Result<Vec<Part>, String> {
    let too_much = || format!("at most {MAX_PARTS} parts, nested at most {MAX_DEPTH} deep");
    if depth > MAX_DEPTH {
        return Err(too_much());
    }
    if let Some(inner) = inside(text, "complement(") {
        let mut parts = in_reading_order(inner, depth + 1)?;
        parts.reverse();
        for part in &mut parts {
            part.2 = match part.2 {
                Strand::Forward => Strand::Reverse,
                Strand::Reverse => Strand::Forward,
            };
        }
        return Ok(parts);
    }
    if let Some(inner) = inside(text, "join(").or_else(|| inside(text, "order(")) {
        let mut parts = Vec::new();
        for part in split(inner) {
            parts.extend(in_reading_order(part, depth + 1)?);
            if parts.len() > MAX_PARTS {
                return Err(too_much());
            }
        }
        return Ok(parts);
    }
    if text.contains(':') {
        return Err("a location in this record, not in another".to_owned());
    }
    let (start, end) = text.split_once("..").unwrap_or((text, text));
    let position = |text: &str| {
        let at = text.trim_start_matches(['<', '>']).parse().ok();
        at.filter(|at| (1..=MAX_POSITION_BP).contains(at))
    };
    match (position(start), position(end)) {
        (Some(start), Some(end)) if start <= end => Ok(vec![(start, end, Strand::Forward)]),
        _ => Err(FORM.to_owned()),
    }
}

fn inside<'a>(text: &'a str, open: &str) -> Option<&'a str> {
    text.strip_prefix(open)?.strip_suffix(')')
}

/// Splits at the commas that stand outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_every_form_are_read() {
        let place = |start, end, strand, length_nt| Location { start, end, strand, length_nt };
        for (text, expected) in [
            ("12..345", place(12, 345, Strand::Forward, 334)),
            ("<12..>345", place(12, 345, Strand::Forward, 334)),
            ("7", place(7, 7, Strand::Forward, 1)),
            ("complement(12..345)", place(12, 345, Strand::Reverse, 334)),
            ("join(10..19,21..30)", place(10, 30, Strand::Forward, 20)),
            ("complement(join(10..19,21..30))", place(10, 30, Strand::Reverse, 20)),
            ("join(complement(21..30),complement(10..19))", place(10, 30, Strand::Reverse, 20)),
            ("join(90..100,1..9)", place(90, 9, Strand::Forward, 20)),
            ("complement(join(90..100,1..9))", place(90, 9, Strand::Reverse, 20)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in
            ["", "x..3", "5..3", "0..3", "join(1..2", "J00194.1:3..5", "join(1..5,complement(7..9))", "1^2"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{}1..2{}", "complement(".repeat(500), ")".repeat(500))).is_err());
    }
}
