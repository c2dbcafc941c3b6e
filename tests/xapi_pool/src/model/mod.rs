//! What XAPI's calls are called, take and give, and what its objects have: the table `model.txt`, read once. Whether a
//! call does as the table says is decided here and nowhere else; it knows no objects.

mod official;
mod types;

use std::collections::BTreeMap;

pub use official::{OfficialError, official};
pub use types::Type;

use crate::value::{Failure, Value};

const TABLE: &str = include_str!("../../model.txt");

/// A parameter of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether it must be there.
    pub required: bool,
}

/// What a call takes and gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Whether its first parameter is a session, which is not among `parameters`.
    pub session: bool,
    /// The others, in order.
    pub parameters: Vec<Parameter>,
    /// What it gives.
    pub result: Type,
    /// Whether it reads or writes one field or reads whole objects, and nothing else.
    pub plain: bool,
}

/// A field of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its type.
    pub kind: Type,
    /// Whether it may stand in a record that creates an object.
    pub in_records: bool,
    /// What it is where nothing was said.
    pub default: Option<String>,
}

/// Names, types and orders.
#[derive(Debug, Default)]
pub struct Model {
    /// By class, then name.
    pub fields: BTreeMap<String, BTreeMap<String, Field>>,
    /// By `Class.name`.
    pub calls: BTreeMap<String, Signature>,
    /// By name: what they may be.
    pub enums: BTreeMap<String, Vec<String>>,
    /// By code: what parameters are called.
    pub errors: BTreeMap<String, Vec<String>>,
}

impl Model {
    /// The table of what the pool serves.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn served() -> Result<Self, String> {
        let mut model = Self::default();
        let mut class = String::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let understood = match line.split_once(' ') {
                Some(("class", rest)) => {
                    let mut words = rest.split(' ');
                    class = words.next().unwrap_or_default().to_owned();
                    model.add_class(&class, words);
                    Some(())
                }
                Some(("call", rest)) => model.add_call(rest),
                Some(("enum", rest)) => rest.split_once(": ").map(|(name, values)| {
                    model.enums.insert(name.to_owned(), values.split(' ').map(str::to_owned).collect());
                }),
                Some(("error", rest)) => rest.split_once(':').map(|(code, names)| {
                    model.errors.insert(code.to_owned(), quoted_words(names));
                }),
                _ => model.add_field(&class, line.trim_start()),
            };
            understood.ok_or_else(|| format!("model.txt: {line}"))?;
        }
        Ok(model)
    }

    /// What `method`, of `Class.name` or `Async.Class.name`, takes and gives.
    #[must_use]
    pub fn signature(&self, method: &str) -> Option<&Signature> {
        match method.strip_prefix("Async.") {
            Some(name) => self.calls.get(name).filter(|signature| !signature.plain && signature.session),
            None => self.calls.get(method),
        }
    }

    /// Whether a call is as `signature` says.
    ///
    /// # Errors
    /// What XAPI would say of it.
    pub fn check(&self, method: &str, signature: &Signature, params: &[Value]) -> Result<(), Failure> {
        let session = usize::from(signature.session);
        let most = session + signature.parameters.len();
        let least = session + signature.parameters.iter().filter(|parameter| parameter.required).count();
        if params.len() < least || params.len() > most {
            let (expected, received) = (most.to_string(), params.len().to_string());
            let params = [method, expected.as_str(), received.as_str()];
            return Err(Failure::new("MESSAGE_PARAMETER_COUNT_MISMATCH", &params));
        }
        if signature.session && !Type::Ref("session".to_owned()).holds(&params[0], self) {
            return Err(Failure::new("FIELD_TYPE_ERROR", &["session_id"]));
        }
        for (parameter, value) in signature.parameters.iter().zip(&params[session..]) {
            if !parameter.kind.holds(value, self) {
                return Err(Failure::new("FIELD_TYPE_ERROR", &[&parameter.name]));
            }
        }
        Ok(())
    }

    fn add_class<'a>(&mut self, class: &str, calls: impl Iterator<Item = &'a str>) {
        self.fields.insert(class.to_owned(), BTreeMap::new());
        let (one, record) = (Type::Ref(class.to_owned()), Type::Record(class.to_owned()));
        for call in calls {
            let (parameters, result) = match call {
                "get_all" => (vec![], Type::Set(Box::new(one.clone()))),
                "get_all_records" => (vec![], Type::Map(Box::new(one.clone()), Box::new(record.clone()))),
                "get_record" => (vec![("self", one.clone())], record.clone()),
                "get_by_uuid" => (vec![("uuid", Type::Text)], one.clone()),
                _ => (vec![("label", Type::Text)], Type::Set(Box::new(one.clone()))),
            };
            self.add_plain(class, call, parameters, result);
        }
    }

    fn add_field(&mut self, class: &str, line: &str) -> Option<()> {
        let (flags, rest) = line.split_once(' ')?;
        let (name, rest) = rest.split_once(": ")?;
        let (kind, default) = match rest.split_once(" = ") {
            Some((kind, default)) => (Type::parse(kind), Some(default.trim_matches('"').to_owned())),
            None => (Type::parse(rest), None),
        };
        let this = || ("self", Type::Ref(class.to_owned()));
        if flags.contains('g') {
            self.add_plain(class, &format!("get_{name}"), vec![this()], kind.clone());
        }
        if flags.contains('s') {
            let parameters = vec![this(), ("value", kind.clone())];
            self.add_plain(class, &format!("set_{name}"), parameters, Type::Void);
        }
        match &kind {
            Type::Map(key, value) if flags.contains('a') => {
                let parameters = vec![this(), ("key", (**key).clone()), ("value", (**value).clone())];
                self.add_plain(class, &format!("add_to_{name}"), parameters, Type::Void);
                let parameters = vec![this(), ("key", (**key).clone())];
                self.add_plain(class, &format!("remove_from_{name}"), parameters, Type::Void);
            }
            Type::Set(item) if flags.contains('a') => {
                for verb in ["add", "remove"] {
                    let parameters = vec![this(), ("value", (**item).clone())];
                    self.add_plain(class, &format!("{verb}_{name}"), parameters, Type::Void);
                }
            }
            _ => {}
        }
        let field = Field { kind, in_records: flags.contains('c'), default };
        self.fields.get_mut(class)?.insert(name.to_owned(), field);
        Some(())
    }

    fn add_plain(&mut self, class: &str, call: &str, parameters: Vec<(&str, Type)>, result: Type) {
        let parameter =
            |(name, kind): (&str, Type)| Parameter { name: name.to_owned(), kind, required: true };
        let parameters = parameters.into_iter().map(parameter).collect();
        let signature = Signature { session: true, parameters, result, plain: true };
        self.calls.insert(format!("{class}.{call}"), signature);
    }

    fn add_call(&mut self, line: &str) -> Option<()> {
        let (head, rest) = line.split_once('(')?;
        let (parameters, result) = rest.rsplit_once(") ")?;
        let (name, session) =
            head.strip_suffix(" without session").map_or((head, true), |name| (name, false));
        let parameter = |text: &str| {
            let (name, kind) = text.split_once(": ")?;
            let (name, required) = name.strip_suffix('?').map_or((name, true), |name| (name, false));
            Some(Parameter { name: name.to_owned(), kind: Type::parse(kind), required })
        };
        let listed = parameters.split(", ").filter(|text| !text.is_empty());
        let parameters = listed.map(parameter).collect::<Option<_>>()?;
        let signature = Signature { session, parameters, result: Type::parse(result), plain: false };
        self.calls.insert(name.to_owned(), signature);
        Some(())
    }
}

/// Words, of which those with spaces stand in quotes.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in text.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests;
