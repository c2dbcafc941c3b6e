//! Chassis packs: those that come with the program, and those that are built from a GenBank record.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rows;

use std::fmt::Write as _;

use bioxen_hypervisor::{ChassisName, GeneTable, Kind, Pack, PackTexts, Record, Remainder, import};

use rows::show;

const CALIBRATION: &str = include_str!("packs/calibration.toml");
const RECORD: &str = include_str!("packs/record.gb");
const MEASURED: &str = include_str!("packs/measured.tsv");

fn assert_near(value: f64, expected: f64, relative: f64) {
    assert!((value - expected).abs() <= relative * expected.abs(), "{value} against {expected}");
}

fn row_16(which: &str, size_bp: u64, sums: &Remainder) {
    let what = format!("syn3a, {which}: bp");
    show("16", &what, size_bp, 543_379, "exact", Some(size_bp == 543_379));
    let classes = format!("{}/{}/{}", sums.essential, sums.quasi_essential, sums.non_essential);
    let holds = Some(classes == "270/113/72");
    show("16", &format!("syn3a, {which}: classes"), classes, "270/113/72", "exact", holds);
}

/// The complete table of syn3A, or none with a sentence where it is not at hand.
fn complete_syn3a() -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/facts/syn3a_genes.tsv");
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        let reference = "shared/facts/syn3a_genes.tsv";
        show("16", "needs the full gene table", "skipped", reference, "", None);
    }
    text
}

#[test]
fn every_pack_that_comes_with_the_program_is_whole() {
    for chassis in ChassisName::ALL {
        let pack = chassis.pack();
        assert_eq!(pack.sheet.name, chassis.as_str());
        assert!(!pack.complete, "{chassis}");
    }
    let [ecoli, weisse] = [ChassisName::Ecoli, ChassisName::Weisse2015].map(ChassisName::pack);
    assert_eq!((ecoli.operon_table.len(), ecoli.plasmid_table.len()), (18, 5));
    assert_eq!(ecoli.covered_genes(), None);
    assert!(weisse.gene_table.is_none() && weisse.sheet.genome.is_none());
}

#[test]
fn row_16_the_genes_of_syn3a_balance_to_its_totals() {
    let pack = ChassisName::Syn3a.pack();
    let table = pack.gene_table.as_ref().unwrap();
    let all = table.all();
    row_16("shipped pack", pack.sheet.genome.as_ref().unwrap().size_bp.value, &all);
    assert_eq!((all.genes(), all.cds, all.trna, all.rrna), (496, 458, 29, 6));
    assert_eq!((all.proteins_per_cell, table.genes.len()), (76_687.0, 61));
    assert_near(all.mean_mrna, 139.2436, 1e-9);
    // The mass that the model is calibrated to is that of the measured proteins.
    assert_near(all.protein_mass_aa, 29.64e6, 1e-4);
}

#[test]
fn the_minimal_cell_has_the_essential_and_quasi_essential_genes_of_syn3a() {
    let pack = ChassisName::MinimalCell.pack();
    let all = pack.gene_table.as_ref().unwrap().all();
    assert_eq!((all.genes(), all.essential, all.quasi_essential, all.non_essential), (383, 270, 113, 0));
    assert_eq!(pack.covered_genes(), Some(383));
    assert_eq!(pack.sheet.genome.as_ref().unwrap().genes.as_ref().unwrap().value, 473);
}

#[test]
fn the_shipped_genes_and_their_remainder_are_those_of_the_complete_table() {
    let Some(text) = complete_syn3a() else { return };
    let complete = GeneTable::parse_tsv(&text).unwrap();
    let table = ChassisName::Syn3a.pack().gene_table.as_ref().unwrap();
    for gene in &table.genes {
        assert!(complete.genes.contains(gene), "{}", gene.locus);
    }
    let (all, sums) = (table.all(), complete.sums());
    assert_eq!(
        (all.cds_length_nt, all.length_aa, all.genes()),
        (sums.cds_length_nt, sums.length_aa, sums.genes())
    );
    assert_near(all.mean_mrna, sums.mean_mrna, 1e-9);
    assert_near(all.protein_mass_aa, sums.protein_mass_aa, 1e-12);
}

/// A record with the genes of a table, as a feature each.
fn record_of(table: &GeneTable, size_bp: u64) -> String {
    let mut text = format!(
        "LOCUS       TEST  {size_bp} bp    DNA     circular BCT\nVERSION     TEST.1\nFEATURES             Location/Qualifiers\n"
    );
    for gene in &table.genes {
        let place = format!("{}..{}", gene.start, gene.end);
        let place = if gene.strand.as_str() == "-" { format!("complement({place})") } else { place };
        let key = gene.kind.as_str();
        writeln!(text, "     gene            {place}\n                     /locus_tag=\"{}\"", gene.locus)
            .unwrap();
        writeln!(text, "     {key:<16}{place}\n                     /locus_tag=\"{}\"", gene.locus).unwrap();
        if gene.kind == Kind::Cds {
            writeln!(text, "                     /transl_table=4\n                     /product=\"a /join( of\n                     words\"").unwrap();
        }
    }
    text + "//\n"
}

#[test]
fn row_16_the_complete_syn3a_is_imported_with_every_gene() {
    let Some(text) = complete_syn3a() else { return };
    let table = GeneTable::parse_tsv(&text).unwrap();
    let record = Record::parse(&record_of(&table, 543_379)).unwrap();
    let imported = import(&record, Some(&text), CALIBRATION).unwrap();
    let genes = imported.pack.gene_table.as_ref().unwrap();
    let all = genes.sums();
    assert!(imported.pack.complete && genes.remainder.is_none());
    assert_eq!((all.genes(), all.cds, all.trna, all.rrna, all.other_rna), (496, 458, 29, 6, 3));
    row_16("455 genes imported", imported.pack.sheet.genome.as_ref().unwrap().size_bp.value, &all);
    assert_eq!(genes.genes.iter().filter(|gene| gene.class.is_some()).count(), 455);
    assert_eq!(all.proteins_per_cell, 76_687.0);
    assert_near(all.mean_mrna, 139.2, 5e-4);
    assert_eq!(imported.pack.sheet.genome.as_ref().unwrap().genetic_code.value, 4);
    assert_eq!(imported.unmeasured_genes, 0);
}

#[test]
fn a_record_of_any_organism_becomes_a_pack() {
    let record = Record::parse(RECORD).unwrap();
    assert_eq!(
        (record.accession.as_str(), record.size_bp, record.genetic_code),
        ("TEST0001.2", 120, Some(11))
    );
    assert_eq!(record.organism, "Exemplum minimum");
    assert_near(record.gc_percent.unwrap(), 50.0, 1e-12);
    let imported = import(&record, Some(MEASURED), CALIBRATION).unwrap();
    let genes = &imported.pack.gene_table.as_ref().unwrap().genes;
    let shown: Vec<String> = genes
        .iter()
        .map(|gene| {
            let kind = gene.kind.as_str();
            format!(
                "{} {} {}..{}{} {kind} {}",
                gene.locus,
                gene.symbol,
                gene.start,
                gene.end,
                gene.strand.as_str(),
                gene.length_nt
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "T_1 abcA 4..24+ CDS 21",
            "T_2 abcB 30..50- CDS 15",
            "T_3  52..60+ tRNA 9",
            "T_4 old 62..70- CDS 9",
            "T_5 rrn 80..90+ rRNA 11",
            "T_6 oriA 110..9+ CDS 20"
        ]
    );
    assert!(genes[3].pseudo && !genes[0].pseudo);
    assert_eq!(genes[0].proteins_per_cell, Some(12.5));
    assert_eq!(imported.unmeasured_genes, 4);
    assert!(imported.pack.complete);
    // What was written reads back as the same pack.
    let texts = PackTexts { sheet: &imported.sheet, genes: Some(&imported.genes), ..PackTexts::default() };
    assert_eq!(Pack::parse(texts).unwrap(), imported.pack);
}

#[test]
fn a_record_that_does_not_fit_is_refused_by_line_with_what_was_expected() {
    for (from, to, said) in [
        ("120 bp", "120 aa", "line 1: \"LOCUS"),
        ("LOCUS ", "HEADER", "line 1: \"HEADER"),
        ("4..24", "4..x", "line 9: \"4..x\"; expected a location"),
        ("4..24", "4..240", "line 9: \"4..240\"; expected positions up to 120"),
        ("/locus_tag=\"T_3\"", "/note=\"x\"", "line 19: \"tRNA\"; expected a /locus_tag"),
        ("/transl_table=11", "/transl_table=x", "\"x\"; expected /transl_table and the number"),
        ("\n//", "\nLOCUS", "expected a line // that ends the record"),
        ("\n//", "\n//\nLOCUS two", "\"LOCUS two\"; expected one record"),
        ("        1 gatc", "        1 ga", "expected 120, the length that LOCUS states"),
        ("        1 gatc", "        1 ga?c", "expected a number and letters of the sequence"),
    ] {
        let error = Record::parse(&RECORD.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(said), "{from} -> {to}: {error}");
    }
    assert!(Record::parse("").is_err());
}

#[test]
fn a_table_of_another_genome_is_refused() {
    let record = Record::parse(RECORD).unwrap();
    for (from, to, said) in [
        ("T_2", "T_9", "a locus in the table is T_9; expected a locus of TEST0001.2"),
        ("4\t24", "4\t27", "T_1 in the table is CDS at 4..27 +; expected CDS at 4..24 +"),
        ("12.5", "-1", "the table of genes, line 3: proteins_per_cell is \"-1\""),
    ] {
        let error =
            import(&record, Some(&MEASURED.replacen(from, to, 1)), CALIBRATION).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_pack_that_does_not_fit_is_refused_with_what_was_expected() {
    let sheet = include_str!("../packs/syn3a/pack.toml");
    let genes = include_str!("../packs/syn3a/genes.tsv");
    let parse = |sheet: &str, genes: &str| {
        Pack::parse(PackTexts { sheet, genes: Some(genes), ..PackTexts::default() })
    };
    assert!(parse(sheet, genes).is_ok());
    for (from, to, said) in [
        ("format = 1", "format = 7", "format is 7; expected 1"),
        ("source = \"breuer2019\" }", "source = \"somewhere\" }", "expected one of breuer2019, choice"),
        ("value = 105.0", "value = 5.0", "td = 5 is out of range"),
        ("value = 105.0", "value = -5.0", "doubling_time_min is -5; expected a number above 0"),
        (
            "genetic_code = { value = 4",
            "genetic_code = { value = 7",
            "genetic_code is 7; expected a translation table",
        ),
        (
            "proteins_per_cell = 76687.0",
            "proteins_per_cell = 76688.0",
            "the sum of proteins_per_cell is 76687",
        ),
        ("size_bp = { value = 543379", "size_bp = { value = 1000", "expected positions up to 1000"),
        ("\"ptsG\"", "\"ptsX\"", "a gene of nutrient_import is ptsX"),
        ("name = \"growth\"", "name = \"flight\"", "the function is flight"),
        ("gc_percent", "gc", "pack.toml is not understood"),
        ("name = \"syn3a\"", "name = \"Syn 3a\"", "expected lower case letters"),
    ] {
        let error = parse(&sheet.replacen(from, to, 1), genes).unwrap_err().to_string();
        assert!(error.contains(said), "{from} -> {to}: {error}");
    }
    let error = parse(sheet, &genes.replacen("\t148\t", "\t149\t", 1)).unwrap_err().to_string();
    assert!(error.contains("the sum of proteins_per_cell is 76688; expected 76687"), "{error}");
    let error = Pack::parse(PackTexts { sheet, ..PackTexts::default() }).unwrap_err().to_string();
    assert!(error.contains("genes.tsv is missing"), "{error}");
    let plasmids = include_str!("../packs/ecoli/plasmids.tsv").replacen("\t0.3\t", "\t30\t", 1);
    let sheet = include_str!("../packs/ecoli/pack.toml");
    let operons = include_str!("../packs/ecoli/operons.tsv");
    let texts =
        PackTexts { sheet, operons: Some(operons), plasmids: Some(&plasmids), ..PackTexts::default() };
    let error = Pack::parse(texts).unwrap_err().to_string();
    assert!(error.contains("of F is 149.9") && error.contains("expected 1 to 2"), "{error}");
}
