//! `bioxen chassis`: shows, checks and makes chassis packs, here and without a fleet. What a pack is, the cell library
//! says; this reads and writes files.

use std::fs;
use std::path::{Path, PathBuf};

use bioxen_hypervisor::{ChassisName, PACK_FILES, Pack, PackTexts, Record, import};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::exit::Failure;
use crate::render;

/// No file of a pack is longer; a GenBank record of the largest bacterium is a tenth of it.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct ChassisArgs {
    #[command(subcommand)]
    command: ChassisCommand,
}

#[derive(Debug, Subcommand)]
enum ChassisCommand {
    /// The chassis that come with the program
    List,
    /// All that is known of a chassis, each figure with its source
    Show {
        /// A chassis' name, or the folder of a pack
        name: String,
    },
    /// Check that the parts of a pack fit each other
    Validate {
        /// Folder with pack.toml and, where the pack has them, genes.tsv, operons.tsv, plasmids.tsv
        dir: PathBuf,
    },
    /// Build a pack from a GenBank record of any organism
    Import {
        /// GenBank flat file with one record
        #[arg(long, value_name = "FILE")]
        genbank: PathBuf,
        /// What was measured of genes: tab-separated, with locus, symbol, start, end, strand, type, class,
        /// proteins_per_cell, mean_mrna
        #[arg(long, value_name = "TSV")]
        genes: Option<PathBuf>,
        /// What the model is calibrated to: a pack.toml without [genome]
        #[arg(long, value_name = "FILE")]
        calibration: PathBuf,
        /// Folder to write; it must not hold a pack yet
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
}

pub(crate) fn run(args: ChassisArgs, json: bool) -> Result<(), Failure> {
    match args.command {
        ChassisCommand::List => list(json),
        ChassisCommand::Show { name } => show(&name, json),
        ChassisCommand::Validate { dir } => report(&read(&dir)?, json),
        ChassisCommand::Import { genbank, genes, calibration, output } => {
            let record = Record::parse(&text(&genbank)?)
                .map_err(|error| Failure::other(format!("{}: {error}", genbank.display())))?;
            let genes = genes.as_deref().map(text).transpose()?;
            let imported = import(&record, genes.as_deref(), &text(&calibration)?)
                .map_err(|error| Failure::other(error.to_string()))?;
            write(&output, &[("pack.toml", &imported.sheet), ("genes.tsv", &imported.genes)])?;
            let mut written = summary(&imported.pack);
            written["unmeasured_genes"] = imported.unmeasured_genes.into();
            render::show(json, &written, render::fields)?;
            Ok(())
        }
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let summaries: Vec<_> = ChassisName::ALL.into_iter().map(|name| summary(name.pack())).collect();
    render::show(json, &summaries, |summaries| {
        let titles =
            ["name", "organism", "doubling min", "genes", "listed", "operons", "plasmids", "complete"];
        let keys = [
            "name",
            "organism",
            "doubling_time_min",
            "genome_genes",
            "genes_listed",
            "operons",
            "plasmids",
            "complete",
        ];
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let rows: Vec<Vec<String>> =
            summaries.iter().map(|summary| keys.iter().map(|key| cell(&summary[*key])).collect()).collect();
        render::table(&titles, &rows)
    })?;
    Ok(())
}

fn show(name: &str, json: bool) -> Result<(), Failure> {
    let folder = Path::new(name);
    let pack = match name.parse::<ChassisName>() {
        Ok(chassis) => chassis.pack().clone(),
        Err(_) if folder.is_dir() => read(folder)?,
        Err(error) => return Err(Failure::usage(format!("{error}, or the folder of a pack"))),
    };
    if json {
        render::show(true, &pack, |_| String::new())?;
    } else {
        render::line(&described(&pack))?;
    }
    Ok(())
}

/// Says that a pack fits, and what it holds.
fn report(pack: &Pack, json: bool) -> Result<(), Failure> {
    render::show(json, &summary(pack), render::fields)?;
    Ok(())
}

fn summary(pack: &Pack) -> serde_json::Value {
    let sheet = &pack.sheet;
    let all = pack.gene_table.as_ref().map(|table| table.all());
    json!({
        "name": sheet.name,
        "organism": sheet.organism,
        "doubling_time_min": sheet.calibration.as_ref().map(|figures| figures.doubling_time_min.value),
        "genome_size_bp": sheet.genome.as_ref().map(|genome| genome.size_bp.value),
        "gc_percent": sheet.genome.as_ref().and_then(|genome| genome.gc_percent.as_ref()).map(|gc| gc.value),
        "genetic_code": sheet.genome.as_ref().map(|genome| genome.genetic_code.value),
        "genome_genes": sheet.genome.as_ref().and_then(|genome| genome.genes.as_ref()).map(|genes| genes.value),
        "genes_listed": pack.gene_table.as_ref().map(|table| table.genes.len()),
        "genes_covered": pack.covered_genes(),
        "essential": all.as_ref().map(|all| all.essential),
        "quasi_essential": all.as_ref().map(|all| all.quasi_essential),
        "non_essential": all.as_ref().map(|all| all.non_essential),
        "proteins_per_cell": all.as_ref().map(|all| all.proteins_per_cell),
        "mean_mrna": all.as_ref().map(|all| (all.mean_mrna * 1e4).round() / 1e4),
        "operons": pack.operon_table.len(),
        "plasmids": pack.plasmid_table.len(),
        "complete": pack.complete,
    })
}

/// A pack for people: what it holds, its figures and where they come from, its tables.
fn described(pack: &Pack) -> String {
    let mut parts = vec![
        render::fields(&summary(pack)),
        render::table(&["figure", "value", "source", "note"], &figures(pack)),
    ];
    let sources: Vec<_> =
        pack.sheet.sources.iter().map(|(key, text)| vec![key.clone(), text.clone()]).collect();
    parts.push(render::table(&["source", "citation"], &sources));
    if let Some(table) = &pack.gene_table {
        let amount = |amount: Option<f64>| amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        let rows: Vec<Vec<String>> = table
            .genes
            .iter()
            .map(|gene| {
                vec![
                    gene.locus.clone(),
                    gene.symbol.clone(),
                    format!("{}..{} {}", gene.start, gene.end, gene.strand.as_str()),
                    gene.kind.as_str().to_owned(),
                    gene.class.map_or("-", |class| class.as_str()).to_owned(),
                    amount(gene.proteins_per_cell),
                    amount(gene.mean_mrna),
                ]
            })
            .collect();
        parts.push(render::table(&["locus", "symbol", "place", "type", "class", "proteins", "mrna"], &rows));
    }
    if !pack.operon_table.is_empty() {
        let rows = pack.operon_table.iter().map(|operon| {
            let changes: Vec<String> = operon
                .fold_changes
                .iter()
                .map(|change| format!("{} {:+}", change.regulator, change.log2))
                .collect();
            let genes: Vec<&str> = operon.genes.iter().map(|gene| gene.symbol.as_str()).collect();
            vec![operon.name.clone(), genes.join(" "), changes.join(", "), operon.regulation.clone()]
        });
        parts.push(render::table(
            &["operon", "genes", "log2 fold change", "regulation"],
            &rows.collect::<Vec<_>>(),
        ));
    }
    if !pack.plasmid_table.is_empty() {
        let rows = pack.plasmid_table.iter().map(|plasmid| {
            let range = format!("{} to {}", plasmid.copies_low, plasmid.copies_high);
            vec![plasmid.name.clone(), range, plasmid.k0_per_min.to_string(), plasmid.half_copies.to_string()]
        });
        parts.push(render::table(
            &["plasmid", "copies", "k0 per min", "half copies"],
            &rows.collect::<Vec<_>>(),
        ));
    }
    parts.join("\n\n")
}

fn figures(pack: &Pack) -> Vec<Vec<String>> {
    pack.sheet
        .figures()
        .into_iter()
        .map(|figure| {
            vec![figure.name, figure.value.to_string(), figure.source, figure.note.unwrap_or_default()]
        })
        .collect()
}

fn read(dir: &Path) -> Result<Pack, Failure> {
    let file = |name: &str| {
        let path = dir.join(name);
        path.exists().then(|| text(&path)).transpose()
    };
    let [sheet, genes, operons, plasmids] = PACK_FILES.map(file);
    let sheet = sheet?.ok_or_else(|| {
        Failure::usage(format!("{} has no pack.toml: give the folder of a pack", dir.display()))
    })?;
    let (genes, operons, plasmids) = (genes?, operons?, plasmids?);
    let texts = PackTexts {
        sheet: &sheet,
        genes: genes.as_deref(),
        operons: operons.as_deref(),
        plasmids: plasmids.as_deref(),
    };
    Pack::parse(texts).map_err(|error| Failure::other(format!("{}: {error}", dir.display())))
}

fn text(path: impl AsRef<Path>) -> Result<String, Failure> {
    let path = path.as_ref();
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE_BYTES {
        return Err(Failure::usage(format!(
            "{} has {length} bytes; expected at most 512 MiB",
            path.display()
        )));
    }
    fs::read_to_string(path).map_err(failed)
}

fn write(dir: &Path, files: &[(&str, &str)]) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::other(format!("cannot write {}: {error}", path.display()))
    };
    if let Some(name) = PACK_FILES.into_iter().find(|name| dir.join(name).exists()) {
        return Err(Failure::usage(format!("{} holds {name} already: choose another folder", dir.display())));
    }
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}
