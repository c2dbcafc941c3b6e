//! Typed decoding of a [`Value`]: one serde deserializer for both encodings, so that one type reads the same
//! from either, and errors keep serde's structure and the field's path.
//!
//! Numbers follow the contract: integers stand for floats, whole floats for integers, nothing is rounded.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{Fault, listed};
use super::path::Path;
use super::value::Value;

/// The largest magnitude at which every whole float is one integer and no other: 2^53.
const WHOLE_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads the value that stands at `path`.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a, 'de> {
    pub(super) value: &'de Value,
    pub(super) path: &'a Path<'a>,
}

impl<'de> Reader<'_, 'de> {
    fn not(self, expected: &str) -> Fault {
        Fault::mismatch(self.value.to_string(), expected).at(self.path)
    }

    fn located<T>(self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| fault.at(self.path))
    }

    fn visit_list<V: Visitor<'de>>(self, items: &'de [Value], visitor: V) -> Result<V::Value, Fault> {
        let mut list = ListReader { items: items.iter().enumerate(), path: self.path };
        let value = visitor.visit_seq(&mut list)?;
        match list.items.len() {
            0 => Ok(value),
            left => Err(Fault::mismatch(
                format!("{} items", items.len()),
                format!("a list of {}", items.len() - left),
            )),
        }
    }

    fn visit_fields<V: Visitor<'de>>(
        self,
        fields: &'de [(String, Value)],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_map(FieldsReader { fields: fields.iter(), value: None, path: self.path })
    }

    /// The number as a float, where it is a number.
    fn as_float(self) -> Option<f64> {
        match *self.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.located(match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visit_int(*value, visitor),
            Value::Float(value) => match whole(*value) {
                Some(value) => visit_int(value, visitor),
                None if value.is_finite() => visitor.visit_f64(*value),
                None => Err(self.not("a finite number")),
            },
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => self.visit_list(items, visitor),
            Value::Map(fields) => self.visit_fields(fields, visitor),
        })
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.as_float() {
            Some(value) if value.is_finite() => self.located(visitor.visit_f64(value)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.as_float() {
            Some(value) if value.abs() > f32::MAX.into() => {
                Err(self.not("a number of at most 3.4e38 in magnitude"))
            }
            _ => self.deserialize_f64(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => self.located(visitor.visit_none()),
            _ => self.located(visitor.visit_some(self)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.located(visitor.visit_newtype_struct(self))
    }

    /// A list is refused: fields go by name, never by position.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Map(fields) => self.located(self.visit_fields(fields, visitor)),
            _ => Err(self.not("an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let (variant, content) = match self.value {
            Value::Text(variant) => (variant, None),
            Value::Map(fields) if fields.len() == 1 => (&fields[0].0, Some(&fields[0].1)),
            _ => {
                return Err(self.not(&format!("one of {}", listed(known))));
            }
        };
        self.located(visitor.visit_enum(VariantReader { variant, content, path: self.path }))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

fn visit_int<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, Fault> {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(value), _) => visitor.visit_u64(value),
        (_, Ok(value)) => visitor.visit_i64(value),
        _ => visitor.visit_i128(value),
    }
}

/// The integer that a whole float means, where it can mean only one.
fn whole(value: f64) -> Option<i128> {
    if value.fract() != 0.0 || value.abs() > WHOLE_FLOAT_MAX {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole, and at most 2^53 in magnitude")]
    Some(value as i128)
}

struct ListReader<'a, 'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
    path: &'a Path<'a>,
}

impl<'de> SeqAccess<'de> for ListReader<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        let path = Path::Item(self.path, index);
        seed.deserialize(Reader { value, path: &path }).map(Some).map_err(|fault| fault.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct FieldsReader<'a, 'de> {
    fields: std::slice::Iter<'de, (String, Value)>,
    value: Option<(&'de str, &'de Value)>,
    path: &'a Path<'a>,
}

impl<'de> MapAccess<'de> for FieldsReader<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some((name, value));
        seed.deserialize(NameReader { name }).map(Some).map_err(|fault| match fault {
            Fault::UnknownField { .. } => fault.at(self.path),
            other => other.at(&Path::Field(self.path, name)),
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((name, value)) = self.value.take() else {
            return Err(Fault::custom("a field's value was asked for before its name"));
        };
        let path = Path::Field(self.path, name);
        seed.deserialize(Reader { value, path: &path }).map_err(|fault| fault.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// Reads the name of a field or of a variant: text, an id around text, or an enum of names.
struct NameReader<'de> {
    name: &'de str,
}

impl<'de> Deserializer<'de> for NameReader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.name)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(de::value::BorrowedStrDeserializer::new(self.name))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// An enum: a bare name, or an object of one field that is the name with its content.
struct VariantReader<'a, 'de> {
    variant: &'de str,
    content: Option<&'de Value>,
    path: &'a Path<'a>,
}

impl<'a, 'de> VariantReader<'a, 'de> {
    fn content(&self) -> Result<&'de Value, Fault> {
        self.content.ok_or_else(|| {
            let name = self.variant;
            Fault::mismatch(format!("`{name}` alone"), format!("an object {{\"{name}\": its content}}"))
        })
    }
}

impl<'a, 'de> EnumAccess<'de> for VariantReader<'a, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(NameReader { name: self.variant })?, self))
    }
}

impl<'de> VariantAccess<'de> for VariantReader<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(Fault::mismatch("an object", format!("the text \"{}\"", self.variant))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let path = Path::Field(self.path, self.variant);
        seed.deserialize(Reader { value: self.content()?, path: &path }).map_err(|fault| fault.at(&path))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        let path = Path::Field(self.path, self.variant);
        Reader { value: self.content()?, path: &path }.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = Path::Field(self.path, self.variant);
        Reader { value: self.content()?, path: &path }.deserialize_struct("", fields, visitor)
    }
}
