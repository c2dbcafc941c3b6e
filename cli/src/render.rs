//! What is printed: aligned columns for people, JSON for programs. It must not know any message.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

/// One JSON document, or else `text`.
pub(crate) fn show<T: Serialize>(
    json: bool,
    document: &T,
    text: impl FnOnce(&T) -> String,
) -> io::Result<()> {
    if json { line(&serde_json::to_string_pretty(document)?) } else { line(&text(document)) }
}

/// One line on stdout, at once: a pipe may wait for it.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Rows under their titles, each column as wide as its widest cell.
pub(crate) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| width(cell))
                .fold(width(title), usize::max)
        })
        .collect();
    let titles: Vec<String> = titles.iter().map(|title| title.to_uppercase()).collect();
    let lines = std::iter::once(&titles).chain(rows).map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Names and values in two columns; objects inside become `outer.inner`.
pub(crate) fn fields<T: Serialize>(document: &T) -> String {
    let mut rows = Vec::new();
    match serde_json::to_value(document) {
        Ok(value) => flatten("", &value, &mut rows),
        Err(error) => return format!("cannot be shown: {error}"),
    }
    let widest = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<widest$}  {value}")).collect::<Vec<_>>().join("\n")
}

/// A value in a cell: text bare, absent as a dash.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// An optional value in a cell.
pub(crate) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, inner, rows);
            }
        }
        Value::Object(_) => rows.push((prefix.to_owned(), "-".to_owned())),
        leaf => rows.push((prefix.to_owned(), cell(leaf))),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            vec![vec!["c1".to_owned(), "running".to_owned()], vec!["longer".to_owned(), "-".to_owned()]];
        assert_eq!(table(&["vm", "state"], &rows), "VM      STATE\nc1      running\nlonger  -");
    }

    #[test]
    fn objects_inside_are_named_by_their_path() {
        let document = serde_json::json!({ "vm_id": "c1", "usage": { "atp_level": null, "memory_kb": 3 } });
        assert_eq!(fields(&document), "usage.atp_level  -\nusage.memory_kb  3\nvm_id            c1");
    }
}
