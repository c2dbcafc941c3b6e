//! Tab-separated tables: a header line with the columns' names, a line a row, `#` lines for people. It reads cells
//! and says where one does not fit; what they mean is for others.

/// Most rows of a table: several times the genes of any bacterium.
pub(crate) const MAX_ROWS: usize = 100_000;

/// Why a table is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableError {
    /// No line besides comments.
    #[error("the table is empty; expected a line with the names of its columns: {expected}")]
    Empty {
        /// The columns.
        expected: String,
    },
    /// A column that has to be there.
    #[error("line {line}: there is no column {column:?}; expected {expected}")]
    NoColumn {
        /// Of the names of the columns.
        line: usize,
        /// Its name.
        column: &'static str,
        /// The columns.
        expected: String,
    },
    /// A column that nobody knows, or that stands there twice.
    #[error("line {line}: the column {column:?} is unknown or stands there twice; expected {expected}")]
    BadColumn {
        /// Of the names of the columns.
        line: usize,
        /// As given.
        column: String,
        /// The columns.
        expected: String,
    },
    /// Another number of cells than columns.
    #[error("line {line}: {found} cells; expected {expected}, one a column, with a tab between them")]
    Cells {
        /// Where.
        line: usize,
        /// How many stand there.
        found: usize,
        /// How many should.
        expected: usize,
    },
    /// A cell that does not fit.
    #[error("line {line}: {column} is {value:?}; expected {expected}")]
    Cell {
        /// Where.
        line: usize,
        /// The column.
        column: &'static str,
        /// As given, cut to 40 characters.
        value: String,
        /// What would fit.
        expected: &'static str,
    },
    /// Two rows for one thing.
    #[error("line {line}: {name:?} stands in the table already; expected each once")]
    Twice {
        /// Of the second.
        line: usize,
        /// The name.
        name: String,
    },
    /// Too many rows.
    #[error("the table has more than {MAX_ROWS} rows")]
    TooLong,
}

/// A table's rows, with its columns found by name.
pub(crate) struct Table<'a> {
    columns: Vec<&'a str>,
    rows: Vec<(usize, Vec<&'a str>)>,
}

impl<'a> Table<'a> {
    /// Reads `text`, which has all of the columns `needed` and may have those of `optional`.
    pub(crate) fn parse(
        text: &'a str,
        needed: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, TableError> {
        let known: Vec<&str> = needed.iter().chain(optional).copied().collect();
        let expected = || known.join(", ");
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.strip_suffix('\r').unwrap_or(line)))
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let (line, header) = lines.next().ok_or_else(|| TableError::Empty { expected: expected() })?;
        let columns: Vec<&str> = header.split('\t').map(str::trim).collect();
        for (at, column) in columns.iter().enumerate() {
            if !known.contains(column) || columns[..at].contains(column) {
                return Err(TableError::BadColumn { line, column: cut(column), expected: expected() });
            }
        }
        if let Some(column) = needed.iter().find(|column| !columns.contains(column)) {
            return Err(TableError::NoColumn { line, column, expected: expected() });
        }
        let mut rows = Vec::new();
        for (line, text) in lines {
            let cells: Vec<&str> = text.split('\t').map(str::trim).collect();
            if cells.len() != columns.len() {
                return Err(TableError::Cells { line, found: cells.len(), expected: columns.len() });
            }
            if rows.len() == MAX_ROWS {
                return Err(TableError::TooLong);
            }
            rows.push((line, cells));
        }
        Ok(Self { columns, rows })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_, 'a>> {
        self.rows.iter().map(|(line, cells)| Row { line: *line, columns: &self.columns, cells })
    }
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'t, 'a> {
    pub(crate) line: usize,
    columns: &'t [&'a str],
    cells: &'t [&'a str],
}

impl<'a> Row<'_, 'a> {
    /// The cell below `column`; empty where the table has no such column.
    pub(crate) fn text(&self, column: &'static str) -> &'a str {
        let at = self.columns.iter().position(|known| *known == column);
        at.and_then(|at| self.cells.get(at)).copied().unwrap_or_default()
    }

    /// The cell below `column`, read by `read`.
    pub(crate) fn value<T>(
        &self,
        column: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, TableError> {
        read(self.text(column)).ok_or_else(|| self.misfit(column, expected))
    }

    /// A finite number from 0 on, or nothing where the cell is empty.
    pub(crate) fn amount(&self, column: &'static str) -> Result<Option<f64>, TableError> {
        if self.text(column).is_empty() {
            return Ok(None);
        }
        self.value(column, "a number from 0 to 1e15, or nothing", |text| {
            text.parse().ok().filter(|value| (0.0..=1e15).contains(value))
        })
        .map(Some)
    }

    pub(crate) fn misfit(&self, column: &'static str, expected: &'static str) -> TableError {
        TableError::Cell { line: self.line, column, value: cut(self.text(column)), expected }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}
