//! A table, column by column, and a window of it as CSV or JSON. Numbers are written in the shortest form that reads back
//! as the same number. It knows neither VMs nor where the values come from.

use std::fmt::Write as _;

use serde_json::Value;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: Values,
}

/// All of one kind; None where a row has no value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Numbers(Vec<Option<f64>>),
    Wholes(Vec<Option<u64>>),
    Texts(Vec<Option<String>>),
}

impl Column {
    /// Numbers or whole numbers where all are, else text.
    pub(crate) fn of_json(name: String, values: Vec<Option<Value>>) -> Self {
        let given = || values.iter().flatten();
        let values = if given().all(Value::is_u64) {
            Values::Wholes(values.iter().map(|value| value.as_ref()?.as_u64()).collect())
        } else if given().all(Value::is_number) {
            Values::Numbers(values.iter().map(|value| value.as_ref()?.as_f64()).collect())
        } else {
            let text = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Values::Texts(values.into_iter().map(|value| value.map(text)).collect())
        };
        Self { name, values }
    }

    fn json(&self, row: usize) -> Value {
        let value = match &self.values {
            Values::Numbers(values) => values.get(row).copied().flatten().map(Value::from),
            Values::Wholes(values) => values.get(row).copied().flatten().map(Value::from),
            Values::Texts(values) => values.get(row).cloned().flatten().map(Value::from),
        };
        value.unwrap_or(Value::Null)
    }

    fn csv(&self, row: usize, line: &mut String) {
        // Writing to a String cannot fail.
        match &self.values {
            Values::Numbers(values) => {
                let value = values.get(row).copied().flatten().filter(|value| value.is_finite());
                let _ = value.map(|value| write!(line, "{value:?}"));
            }
            Values::Wholes(values) => {
                let _ = values.get(row).copied().flatten().map(|value| write!(line, "{value}"));
            }
            Values::Texts(values) => {
                if let Some(text) = values.get(row).and_then(Option::as_ref) {
                    line.push_str(&quoted(text));
                }
            }
        }
    }
}

impl Table {
    pub(crate) fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| match &column.values {
            Values::Numbers(values) => values.len(),
            Values::Wholes(values) => values.len(),
            Values::Texts(values) => values.len(),
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Rows as lists of values.
    pub(crate) fn json(&self, rows: std::ops::Range<usize>) -> Value {
        rows.map(|row| self.columns.iter().map(|column| column.json(row)).collect::<Value>()).collect()
    }

    /// Rows as lines; before the first one the names.
    pub(crate) fn csv(&self, rows: std::ops::Range<usize>) -> String {
        let mut text = String::new();
        if rows.start == 0 {
            let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
            text = names.join(",") + "\n";
        }
        for row in rows {
            for (place, column) in self.columns.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                column.csv(row, &mut text);
            }
            text.push('\n');
        }
        text
    }
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, values: Vec<Option<Value>>| Column::of_json(name.to_owned(), values);
        Table {
            columns: vec![
                column("n", vec![Some(1.into()), Some(2.into())]),
                column("x", vec![Some(0.1.into()), None]),
                column("why, then", vec![None, Some("a \"b\"".into())]),
            ],
        }
    }

    #[test]
    fn csv_names_its_columns_once_and_leaves_absent_values_empty() {
        assert_eq!(table().csv(0..2), "n,x,\"why, then\"\n1,0.1,\n2,,\"a \"\"b\"\"\"\n");
        assert_eq!(table().csv(1..2), "2,,\"a \"\"b\"\"\"\n");
    }

    #[test]
    fn json_rows_are_lists_of_values() {
        assert_eq!(table().json(0..2).to_string(), r#"[[1,0.1,null],[2,null,"a \"b\""]]"#);
    }
}
