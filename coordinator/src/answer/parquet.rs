//! A table as a Parquet file: one row group, every column optional, uncompressed. The same table gives the same bytes.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::table::{Column, Table, Values};

/// The file's bytes.
pub(super) fn file(table: &Table) -> Result<Vec<u8>, ParquetError> {
    let fields = table.columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("table").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_created_by("bioxen".to_owned()).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for column in &table.columns {
        let Some(mut out) = group.next_column()? else { break };
        match &column.values {
            Values::Numbers(values) => write::<DoubleType>(&mut out, values.iter().copied())?,
            Values::Wholes(values) => {
                // Seeds and counts have 53 bits at most; a whole number beyond has no place in a signed column.
                let whole = |value: &Option<u64>| value.and_then(|value| i64::try_from(value).ok());
                write::<Int64Type>(&mut out, values.iter().map(whole))?;
            }
            Values::Texts(values) => {
                let text = |value: &Option<String>| value.as_deref().map(ByteArray::from);
                write::<ByteArrayType>(&mut out, values.iter().map(text))?;
            }
        }
        out.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.values {
        Values::Numbers(_) => (Physical::DOUBLE, None),
        Values::Wholes(_) => (Physical::INT64, None),
        Values::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let field = Type::primitive_type_builder(&column.name, physical).with_repetition(Repetition::OPTIONAL);
    field.with_logical_type(logical).build().map(Arc::new)
}

/// Values that are there, and for each row whether it is one.
fn write<T: DataType>(
    out: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    out.typed::<T>().write_batch(&present, Some(&levels), None).map(drop)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;

    #[test]
    fn a_file_reads_back_with_every_bit_and_its_gaps() {
        let column = |name: &str, values: Values| Column { name: name.to_owned(), values };
        let table = Table {
            columns: vec![
                column("member", Values::Wholes(vec![Some(1), Some(9_007_199_254_740_991), None])),
                column("parameters.s0", Values::Numbers(vec![Some(0.1 + 0.2), None, Some(1e-300)])),
                column(
                    "reason",
                    Values::Texts(vec![None, Some("the step fell, \"too small\"".into()), None]),
                ),
            ],
        };
        let bytes = file(&table).unwrap();
        assert_eq!(bytes, file(&table).unwrap(), "the same table gives the same bytes");
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let rows: Vec<String> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                row.unwrap()
                    .get_column_iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(
            rows,
            [
                "member=1 parameters.s0=0.30000000000000004 reason=null",
                "member=9007199254740991 parameters.s0=null reason=\"the step fell, \"too small\"\"",
                "member=null parameters.s0=1E-300 reason=null",
            ]
        );
    }
}
