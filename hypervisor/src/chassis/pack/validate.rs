//! Whether the parts of a pack fit each other: every figure has a source, sums balance, the model takes the figures.

use super::Pack;
use super::error::PackError;
use super::genes::{GeneTable, Remainder};
use crate::chassis;
use crate::parameters::Settings;

/// NCBI's translation tables.
const GENETIC_CODES: [std::ops::RangeInclusive<u32>; 3] = [1..=6, 9..=16, 21..=33];
/// Sums of measured figures are written with up to four decimals.
const ROUNDING: f64 = 1e-6;
/// What the fluxes of the model may stand for.
const FUNCTIONS: [&str; 5] = ["nutrient_import", "metabolism", "transcription", "translation", "growth"];

pub(super) fn check(pack: &Pack) -> Result<(), PackError> {
    check_name(&pack.sheet.name)?;
    check_sources(pack)?;
    check_model(pack)?;
    check_genome(pack)?;
    if let Some(table) = &pack.gene_table {
        check_genes(pack, table)?;
    }
    check_operons(pack)?;
    check_plasmids(pack)?;
    check_functions(pack)
}

fn check_name(name: &str) -> Result<(), PackError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(PackError::misfit(
        "name",
        format!("{name:?}"),
        "lower case letters, digits and _, a letter first, at most 63",
    ))
}

fn check_sources(pack: &Pack) -> Result<(), PackError> {
    let sheet = &pack.sheet;
    let check = |figure: &str, source: &str| {
        if sheet.sources.get(source).is_some_and(|citation| !citation.trim().is_empty()) {
            return Ok(());
        }
        let known = sheet.sources.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(PackError::Source { figure: figure.to_owned(), source_key: source.to_owned(), known })
    };
    for figure in sheet.figures() {
        check(&figure.name, &figure.source)?;
    }
    if let Some(operons) = &sheet.operons {
        check("operons.position_source", &operons.position_source)?;
        check("operons.regulation_source", &operons.regulation_source)?;
    }
    if let Some(plasmids) = &sheet.plasmids {
        check("plasmids.copy_number_source", &plasmids.copy_number_source)?;
        check("plasmids.replication_source", &plasmids.replication_source)?;
        check("plasmids.load_source", &plasmids.load_source)?;
    }
    let (Some(stated), Some(table)) = (&sheet.genes, &pack.gene_table) else { return Ok(()) };
    let listed = &table.genes;
    for (name, source, used) in [
        ("genes.position_source", &stated.position_source, true),
        ("genes.class_source", &stated.class_source, listed.iter().any(|gene| gene.class.is_some())),
        (
            "genes.protein_source",
            &stated.protein_source,
            listed.iter().any(|gene| gene.proteins_per_cell.is_some()),
        ),
        ("genes.mrna_source", &stated.mrna_source, listed.iter().any(|gene| gene.mean_mrna.is_some())),
    ] {
        match source {
            Some(source) => check(name, source)?,
            None if used => {
                return Err(PackError::Missing {
                    what: name,
                    hint: "a key of [sources] for that column of genes.tsv",
                });
            }
            None => {}
        }
    }
    Ok(())
}

/// The model takes the figures or the parameters, of which there is one kind.
fn check_model(pack: &Pack) -> Result<(), PackError> {
    let sheet = &pack.sheet;
    if sheet.allocation.most_ribosome_units.value == 0 {
        return Err(PackError::misfit("most_ribosome_units", 0, "a number from 1 on"));
    }
    match &sheet.calibration {
        Some(_) if !sheet.parameters.is_empty() => {
            Err(PackError::misfit("[parameters]", "given", "nothing beside [calibration]"))
        }
        Some(calibration) => {
            for (name, figure) in calibration.figures() {
                if !(figure.value > 0.0 && figure.value <= 1e15) {
                    return Err(PackError::misfit(name, figure.value, "a number above 0, up to 1e15"));
                }
            }
            chassis::calibrated(&calibration.values(), &Settings::default())?;
            Ok(())
        }
        None if sheet.parameters.is_empty() => {
            Err(PackError::Missing { what: "[calibration]", hint: "or [parameters] of the published model" })
        }
        None => Ok(chassis::weisse2015::values(&sheet.parameters).map(|_| ())?),
    }
}

fn check_genome(pack: &Pack) -> Result<(), PackError> {
    let Some(genome) = &pack.sheet.genome else {
        let needs = pack.gene_table.is_some() || !pack.operon_table.is_empty();
        return if needs {
            Err(PackError::Missing { what: "[genome]", hint: "which genes and operons lie on" })
        } else {
            Ok(())
        };
    };
    let code = genome.genetic_code.value;
    if !GENETIC_CODES.iter().any(|codes| codes.contains(&code)) {
        return Err(PackError::misfit(
            "genetic_code",
            code,
            "a translation table of NCBI: 1 to 6, 9 to 16, 21 to 33",
        ));
    }
    if genome.size_bp.value == 0 {
        return Err(PackError::misfit("size_bp", 0, "base pairs from 1 on"));
    }
    match &genome.gc_percent {
        Some(gc) if !(0.0..=100.0).contains(&gc.value) => {
            Err(PackError::misfit("gc_percent", gc.value, "0 to 100"))
        }
        _ => Ok(()),
    }
}

fn check_genes(pack: &Pack, table: &GeneTable) -> Result<(), PackError> {
    let Some(genome) = &pack.sheet.genome else { return Ok(()) };
    let size_bp = genome.size_bp.value;
    let subset = pack.sheet.genes.as_ref().is_some_and(|genes| genes.subset_of.is_some());
    // The positions of a subset are those of the genome that it was taken from.
    for gene in table.genes.iter().filter(|_| !subset) {
        if gene.start > size_bp || gene.end > size_bp {
            let expected = format!("positions up to {size_bp}, the genome's size_bp");
            return Err(PackError::misfit(
                &gene.locus,
                format!("at {} to {}", gene.start, gene.end),
                expected,
            ));
        }
    }
    let all = table.all();
    if let Some(totals) = pack.sheet.genes.as_ref().and_then(|genes| genes.totals.as_ref()) {
        balance(&all, totals)?;
    }
    let covered = all.genes();
    match &genome.genes {
        Some(genes)
            if covered > genes.value || (!subset && table.remainder.is_some() && covered < genes.value) =>
        {
            Err(PackError::misfit(
                "genome.genes",
                genes.value,
                format!("{covered}, as many as the pack covers"),
            ))
        }
        _ => Ok(()),
    }
}

/// Listed genes and the remainder give the totals.
fn balance(all: &Remainder, totals: &Remainder) -> Result<(), PackError> {
    let whole = |name: &str, found: u64, expected: u64| match found == expected {
        true => Ok(()),
        false => Err(PackError::misfit(
            format!("the sum of {name}"),
            found,
            format!("{expected}, the total stated"),
        )),
    };
    whole("cds", all.cds.into(), totals.cds.into())?;
    whole("trna", all.trna.into(), totals.trna.into())?;
    whole("rrna", all.rrna.into(), totals.rrna.into())?;
    whole("other_rna", all.other_rna.into(), totals.other_rna.into())?;
    whole("essential", all.essential.into(), totals.essential.into())?;
    whole("quasi_essential", all.quasi_essential.into(), totals.quasi_essential.into())?;
    whole("non_essential", all.non_essential.into(), totals.non_essential.into())?;
    whole("cds_length_nt", all.cds_length_nt, totals.cds_length_nt)?;
    whole("length_aa", all.length_aa, totals.length_aa)?;
    for (name, found, expected) in [
        ("proteins_per_cell", all.proteins_per_cell, totals.proteins_per_cell),
        ("protein_mass_aa", all.protein_mass_aa, totals.protein_mass_aa),
        ("mean_mrna", all.mean_mrna, totals.mean_mrna),
    ] {
        if (found - expected).abs() > ROUNDING {
            let expected = format!("{expected}, the total stated");
            return Err(PackError::misfit(format!("the sum of {name}"), found, expected));
        }
    }
    Ok(())
}

fn check_operons(pack: &Pack) -> Result<(), PackError> {
    let size_bp = pack.sheet.genome.as_ref().map_or(0, |genome| genome.size_bp.value);
    for operon in &pack.operon_table {
        let span = operon.right - operon.left + 1;
        // Neighbouring genes of an operon often overlap by a few bases.
        if operon.right > size_bp || operon.length_nt() > span + span / 10 {
            let found = format!("{} nt of genes at {} to {}", operon.length_nt(), operon.left, operon.right);
            return Err(PackError::misfit(&operon.name, found, format!("genes within it, below {size_bp}")));
        }
    }
    Ok(())
}

/// In balanced growth at the calibrated doubling time each plasmid has a published number of copies.
fn check_plasmids(pack: &Pack) -> Result<(), PackError> {
    if pack.plasmid_table.is_empty() {
        return Ok(());
    }
    if pack.sheet.genome.is_none() {
        return Err(PackError::Missing {
            what: "[genome]",
            hint: "whose average gene a plasmid's load is stated in",
        });
    }
    let Some(calibration) = &pack.sheet.calibration else {
        return Err(PackError::Missing {
            what: "[calibration]",
            hint: "whose doubling time plasmids keep up with",
        });
    };
    let growth = std::f64::consts::LN_2 / calibration.doubling_time_min.value;
    for plasmid in &pack.plasmid_table {
        let copies = plasmid.balanced_copies(growth);
        if copies < plasmid.copies_low || copies > plasmid.copies_high {
            return Err(PackError::misfit(
                format!("the balanced copy number K (k0/lambda - 1) of {}", plasmid.name),
                copies,
                format!("{} to {}", plasmid.copies_low, plasmid.copies_high),
            ));
        }
    }
    Ok(())
}

fn check_functions(pack: &Pack) -> Result<(), PackError> {
    for (at, function) in pack.sheet.functions.iter().enumerate() {
        let name = function.name.as_str();
        if !FUNCTIONS.contains(&name) || pack.sheet.functions[..at].iter().any(|other| other.name == name) {
            return Err(PackError::misfit(
                "the function",
                name,
                format!("each once: {}", FUNCTIONS.join(", ")),
            ));
        }
        if let Some(gene) = function.genes.iter().find(|gene| !pack.knows_gene(gene)) {
            return Err(PackError::misfit(
                format!("a gene of {name}"),
                gene,
                "a symbol or locus that the pack lists",
            ));
        }
    }
    Ok(())
}
