//! The pool's objects: records by class and reference, and which of them changed since when. It knows fields and their
//! types, and nothing of what objects do.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::model::Model;
use crate::value::{Answer, Failure, Value};

/// The reference to nothing.
pub(crate) const NULL: &str = "OpaqueRef:NULL";

pub(crate) type Fields = BTreeMap<String, Value>;

/// A class and a reference.
pub(crate) type Key = (String, String);

#[derive(Debug)]
struct Object {
    fields: Fields,
    created: u64,
    modified: u64,
}

/// A change as `event.from` tells it.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) generation: u64,
    pub(crate) class: String,
    pub(crate) reference: String,
    pub(crate) operation: &'static str,
    pub(crate) snapshot: Option<Value>,
}

#[derive(Debug)]
pub(crate) struct Store {
    model: &'static Model,
    objects: BTreeMap<Key, Object>,
    /// Objects that are no more: when they came and went.
    gone: Vec<(Key, u64, u64)>,
    generation: u64,
    seed: String,
    made: u64,
}

impl Store {
    /// `seed` makes references and UUIDs differ between pools.
    pub(crate) fn new(model: &'static Model, seed: String) -> Self {
        Self { model, objects: BTreeMap::new(), gone: Vec::new(), generation: 1, seed, made: 0 }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Makes an object with `given` fields, the others as the model has them; `uuid` is made where it is not given.
    pub(crate) fn create(&mut self, class: &str, given: Fields) -> String {
        let reference = format!("OpaqueRef:{}", self.fresh_uuid());
        let mut fields = Fields::new();
        for (name, field) in self.model.fields.get(class).into_iter().flatten() {
            fields.insert(name.clone(), field.kind.initial(field.default.as_deref(), self.model));
        }
        fields.insert("uuid".to_owned(), Value::text(self.fresh_uuid()));
        fields.extend(given);
        self.generation += 1;
        let object = Object { fields, created: self.generation, modified: self.generation };
        self.objects.insert((class.to_owned(), reference.clone()), object);
        reference
    }

    pub(crate) fn destroy(&mut self, class: &str, reference: &str) {
        let key = (class.to_owned(), reference.to_owned());
        if let Some(object) = self.objects.remove(&key) {
            self.generation += 1;
            self.gone.push((key, object.created, self.generation));
        }
    }

    pub(crate) fn has(&self, class: &str, reference: &str) -> bool {
        self.objects.contains_key(&(class.to_owned(), reference.to_owned()))
    }

    /// # Errors
    /// HANDLE_INVALID.
    pub(crate) fn record(&self, class: &str, reference: &str) -> Result<&Fields, Failure> {
        let object = self.objects.get(&(class.to_owned(), reference.to_owned()));
        object.map(|object| &object.fields).ok_or_else(|| Failure::handle_invalid(class, reference))
    }

    /// # Errors
    /// HANDLE_INVALID.
    pub(crate) fn field(&self, class: &str, reference: &str, field: &str) -> Answer {
        let value = self.record(class, reference)?.get(field).cloned();
        value.ok_or_else(|| Failure::new("INTERNAL_ERROR", &[&format!("no field {class}.{field}")]))
    }

    /// The text of a field; nothing where there is none.
    pub(crate) fn text(&self, class: &str, reference: &str, field: &str) -> String {
        let record = self.record(class, reference).ok();
        record
            .and_then(|fields| fields.get(field))
            .map_or_else(String::new, |value| value.as_text().to_owned())
    }

    /// Sets a field; of an object that is no more, nothing.
    pub(crate) fn set(&mut self, class: &str, reference: &str, field: &str, value: Value) {
        let generation = self.generation + 1;
        if let Some(object) = self.objects.get_mut(&(class.to_owned(), reference.to_owned()))
            && object.fields.get(field) != Some(&value)
        {
            object.fields.insert(field.to_owned(), value);
            object.modified = generation;
            self.generation = generation;
        }
    }

    /// Counts an object as changed.
    pub(crate) fn touch(&mut self, class: &str, reference: &str) {
        let generation = self.generation + 1;
        if let Some(object) = self.objects.get_mut(&(class.to_owned(), reference.to_owned())) {
            object.modified = generation;
            self.generation = generation;
        }
    }

    /// Changes the entries of a map.
    pub(crate) fn change_map(
        &mut self,
        class: &str,
        reference: &str,
        field: &str,
        change: impl FnOnce(&mut Fields),
    ) {
        if let Ok(Value::Map(mut entries)) = self.field(class, reference, field) {
            change(&mut entries);
            self.set(class, reference, field, Value::Map(entries));
        }
    }

    /// Adds a reference to a field that lists them.
    pub(crate) fn link(&mut self, class: &str, reference: &str, field: &str, other: &str) {
        let mut items = self.list(class, reference, field);
        items.push(other.to_owned());
        self.set(class, reference, field, Value::texts(items));
    }

    /// Takes it out.
    pub(crate) fn unlink(&mut self, class: &str, reference: &str, field: &str, other: &str) {
        let mut items = self.list(class, reference, field);
        items.retain(|item| item != other);
        self.set(class, reference, field, Value::texts(items));
    }

    /// The texts that a field lists.
    pub(crate) fn list(&self, class: &str, reference: &str, field: &str) -> Vec<String> {
        let value = self.field(class, reference, field).unwrap_or(Value::Null);
        value.items().iter().map(|item| item.as_text().to_owned()).collect()
    }

    pub(crate) fn all(&self, class: &str) -> Vec<(String, &Fields)> {
        let of_class = self.objects.iter().filter(|((of, _), _)| of == class);
        of_class.map(|((_, reference), object)| (reference.clone(), &object.fields)).collect()
    }

    pub(crate) fn classes(&self) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for (class, _) in self.objects.keys() {
            *counts.entry(class.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// What changed after `since`, each object once, in the order of its last change.
    pub(crate) fn changes(&self, since: u64, wanted: impl Fn(&str, &str) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((class, reference), object) in &self.objects {
            if object.modified > since && wanted(class, reference) {
                let operation = if object.created > since { "add" } else { "mod" };
                let snapshot = Some(Value::Map(object.fields.clone()));
                let (class, reference) = (class.clone(), reference.clone());
                changes.push(Change { generation: object.modified, class, reference, operation, snapshot });
            }
        }
        for ((class, reference), created, gone) in &self.gone {
            if *gone > since && *created <= since && wanted(class, reference) {
                let (class, reference) = (class.clone(), reference.clone());
                let change = Change { generation: *gone, class, reference, operation: "del", snapshot: None };
                changes.push(change);
            }
        }
        changes.sort_by_key(|change| change.generation);
        changes
    }

    /// A UUID that nobody has.
    pub(crate) fn fresh_uuid(&mut self) -> String {
        self.made += 1;
        let digest = Sha256::digest(format!("{} {}", self.seed, self.made));
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let model = Box::leak(Box::new(Model::served().expect("the table reads")));
        Store::new(model, "a seed".to_owned())
    }

    #[test]
    fn an_object_that_changed_twice_is_told_once_and_one_that_came_and_went_never() {
        let mut store = store();
        let vm = store.create("VM", Fields::new());
        let before = store.generation();
        store.set("VM", &vm, "name_label", Value::text("a"));
        store.set("VM", &vm, "name_label", Value::text("b"));
        let passing = store.create("task", Fields::new());
        store.destroy("task", &passing);
        let changes = store.changes(before, |_, _| true);
        let told: Vec<_> =
            changes.iter().map(|change| (change.operation, change.reference.as_str())).collect();
        assert_eq!(told, [("mod", vm.as_str())]);
        assert_eq!(store.changes(0, |_, _| true)[0].operation, "add");
        store.destroy("VM", &vm);
        assert_eq!(store.changes(before, |_, _| true)[0].operation, "del");
    }

    #[test]
    fn a_new_object_has_every_field_of_its_class() {
        let mut store = store();
        let vdi = store.create("VDI", Fields::new());
        assert_eq!(store.field("VDI", &vdi, "on_boot"), Ok(Value::text("persist")));
        assert_eq!(store.field("VDI", &vdi, "sharable"), Ok(Value::Bool(false)));
        assert_eq!(
            store.field("VDI", "OpaqueRef:x", "uuid"),
            Err(Failure::handle_invalid("VDI", "OpaqueRef:x"))
        );
    }
}
