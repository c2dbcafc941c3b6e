//! As much of a pool as bringing guests up and down touches: objects, power states, tasks, events; and answers that
//! are lost before or after the deed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::host::{Call, Host, Reply, otherwise};

pub(crate) const NETWORK_UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const NETWORK: &str = "OpaqueRef:network";
const TEMPLATE: &str = "OpaqueRef:template";

/// When the answer of a call is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Before,
    After,
}

/// What somebody else does on the pool.
type Deed = fn(&mut State);

#[derive(Default)]
pub(crate) struct State {
    objects: BTreeMap<(String, String), Value>,
    log: Vec<(String, String)>,
    next: usize,
    /// Lost once.
    pub(crate) lose: Option<(String, Loss)>,
    /// How many more changes are made before the host no longer answers anybody.
    pub(crate) changes_left: Option<usize>,
    /// Told when somebody wanted to make one more.
    pub(crate) exhausted: Arc<Notify>,
    /// All changes, in order.
    pub(crate) changes: Vec<String>,
    /// What somebody else does right after a call, once.
    pub(crate) then: Option<(&'static str, Deed)>,
}

type Done = Result<Value, (&'static str, Vec<String>)>;

#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

impl Model {
    pub(crate) async fn start() -> (Self, Host) {
        let model = Self::default();
        model.state().furnish();
        let answering = model.clone();
        (model, Host::start(move |call| answering.answer(call)).await)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn answer(&self, call: &Call) -> Reply {
        let mut state = self.state();
        if call.method == "event.from" {
            return state.events(call.params[1].as_str().unwrap());
        }
        let is_read = call.method.contains(".get_") || call.method.starts_with("session.");
        if !is_read {
            if state.changes_left == Some(0) {
                state.exhausted.notify_one();
                return Reply::Lost;
            }
            state.changes_left = state.changes_left.map(|left| left - 1);
            state.changes.push(call.method.clone());
        }
        let loss = state.lose.take_if(|(method, _)| *method == call.method).map(|(_, loss)| loss);
        if loss == Some(Loss::Before) {
            return Reply::Lost;
        }
        let done = match call.method.strip_prefix("Async.") {
            Some(method) => Ok(state.task(method, &call.params)),
            None => state.call(&call.method, &call.params),
        };
        if let Some((_, others)) = state.then.take_if(|(method, _)| *method == call.method) {
            others(&mut state);
        }
        match (done, loss) {
            (_, Some(Loss::After)) => Reply::Lost,
            (Err(("UNKNOWN", _)), _) => otherwise(call),
            (Ok(value), _) => Reply::Value(value),
            (Err((code, params)), _) => Reply::Fault(code, params),
        }
    }
}

impl State {
    fn furnish(&mut self) {
        self.put("pool", "OpaqueRef:pool", json!({ "name_label": "lab", "uuid": "p" }));
        self.put("network", NETWORK, json!({ "name_label": "lab", "uuid": NETWORK_UUID }));
        self.put(
            "VIF",
            "OpaqueRef:vif",
            json!({ "network": "OpaqueRef:other", "device": "0", "VM": TEMPLATE }),
        );
        let template = json!({
            "uuid": "t", "name_label": "bioxen-template", "is_a_template": true, "is_a_snapshot": false,
            "snapshot_of": "OpaqueRef:NULL", "power_state": "Halted", "current_operations": {}, "other_config": {},
            "xenstore_data": {}, "memory_static_min": 1, "memory_static_max": "2", "memory_dynamic_min": 1,
            "memory_dynamic_max": 2, "VCPUs_max": 4, "VCPUs_at_startup": "4", "VIFs": ["OpaqueRef:vif"], "VBDs": [],
            "snapshots": [], "suspend_VDI": "OpaqueRef:NULL", "guest_metrics": "OpaqueRef:NULL",
        });
        self.put("VM", TEMPLATE, template);
        self.disk(TEMPLATE);
    }

    /// References of all objects of a class.
    pub(crate) fn all(&self, class: &str) -> Vec<String> {
        self.objects
            .keys()
            .filter(|(kind, _)| kind == class)
            .map(|(_, reference)| reference.clone())
            .collect()
    }

    /// Guests, templates and snapshots aside.
    pub(crate) fn guests(&self) -> Vec<Value> {
        let vms = self.objects.iter().filter(|((class, _), _)| class == "VM").map(|(_, vm)| vm.clone());
        vms.filter(|vm| vm["is_a_template"] == false && vm["is_a_snapshot"] == false).collect()
    }

    pub(crate) fn get(&mut self, class: &str, reference: &str) -> &mut Value {
        self.objects.get_mut(&(class.to_owned(), reference.to_owned())).unwrap()
    }

    fn put(&mut self, class: &str, reference: &str, record: Value) {
        self.objects.insert((class.to_owned(), reference.to_owned()), record);
        self.touch(class, reference);
    }

    fn touch(&mut self, class: &str, reference: &str) {
        self.log.push((class.to_owned(), reference.to_owned()));
    }

    fn remove(&mut self, class: &str, reference: &str) {
        self.objects.remove(&(class.to_owned(), reference.to_owned()));
        self.touch(class, reference);
    }

    fn new_reference(&mut self, class: &str) -> String {
        self.next += 1;
        format!("OpaqueRef:{class}-{}", self.next)
    }

    /// A disk of its own for a VM.
    fn disk(&mut self, vm: &str) {
        let (vdi, vbd) = (self.new_reference("VDI"), self.new_reference("VBD"));
        self.put("VDI", &vdi, json!({ "other_config": {}, "VBDs": [vbd], "SR": "OpaqueRef:sr" }));
        self.put("VBD", &vbd, json!({ "type": "Disk", "empty": false, "VDI": vdi, "VM": vm }));
        self.get("VM", vm)["VBDs"].as_array_mut().unwrap().push(json!(vbd));
    }

    /// A copy of a VM under another name, with disks and interfaces of its own.
    fn copy(&mut self, of: &str, name: &Value) -> String {
        let reference = self.new_reference("VM");
        let mut vm = self.get("VM", of).clone();
        let (disks, vifs) = (vm["VBDs"].as_array().unwrap().len(), vm["VIFs"].take());
        vm["name_label"] = name.clone();
        vm["uuid"] = json!(reference);
        vm["VBDs"] = json!([]);
        vm["VIFs"] = json!([]);
        vm["snapshots"] = json!([]);
        self.put("VM", &reference, vm);
        (0..disks).for_each(|_| self.disk(&reference));
        for vif in vifs.as_array().unwrap() {
            let mut record = self.get("VIF", vif.as_str().unwrap()).clone();
            record["VM"] = json!(reference);
            self.vif(record);
        }
        reference
    }

    fn vif(&mut self, record: Value) -> Value {
        let (reference, vm) = (self.new_reference("VIF"), record["VM"].as_str().unwrap().to_owned());
        self.put("VIF", &reference, record);
        self.get("VM", &vm)["VIFs"].as_array_mut().unwrap().push(json!(reference));
        json!(reference)
    }

    fn task(&mut self, method: &str, params: &[Value]) -> Value {
        let task = self.new_reference("task");
        let record = match self.call(method, params) {
            Ok(value) => {
                let result = value.as_str().filter(|text| !text.is_empty());
                json!({ "status": "success", "result": result.map_or(String::new(), |it| format!("<value>{it}</value>")) })
            }
            Err((code, params)) => {
                let info: Vec<_> = std::iter::once(code.to_owned()).chain(params).collect();
                json!({ "status": "failure", "error_info": info })
            }
        };
        self.put("task", &task, record);
        json!(task)
    }

    fn events(&self, token: &str) -> Reply {
        let event = |(class, reference): &(String, String)| {
            let snapshot = self.objects.get(&(class.clone(), reference.clone()));
            let operation = if snapshot.is_some() { "mod" } else { "del" };
            json!({ "class": class.to_lowercase(), "operation": operation, "ref": reference, "snapshot": snapshot })
        };
        let events: Vec<_> = match token.parse::<usize>() {
            Ok(seen) => self.log[seen..].iter().map(event).collect(),
            Err(_) => self.objects.keys().map(event).collect(),
        };
        let batch = json!({ "events": events, "token": self.log.len().to_string() });
        if events.is_empty() { Reply::After(Duration::from_millis(2), batch) } else { Reply::Value(batch) }
    }

    fn call(&mut self, method: &str, params: &[Value]) -> Done {
        let (class, verb) = method.split_once('.').unwrap();
        let param = |at: usize| params.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = param(0);
        match verb {
            "get_by_name_label" | "get_by_uuid" => return self.named(class, verb, &at),
            "get_all_records" => {
                let all = self.all(class).into_iter();
                return Ok(all
                    .map(|at| (at.clone(), self.get(class, &at).clone()))
                    .collect::<serde_json::Map<_, _>>()
                    .into());
            }
            "create" if class == "VIF" => return Ok(self.vif(params[0].clone())),
            _ => {}
        }
        if !self.objects.contains_key(&(class.to_owned(), at.clone())) {
            let known = ["VM", "VBD", "VDI", "VIF", "task", "VM_guest_metrics", "network"].contains(&class);
            return Err(if known {
                ("HANDLE_INVALID", vec![class.to_owned(), at])
            } else {
                ("UNKNOWN", vec![])
            });
        }
        self.touch(class, &at);
        let map =
            verb.rsplit_once("_to_").or_else(|| verb.rsplit_once("_from_")).map(|(_, map)| map.to_owned());
        if let Some(map) = map {
            let entries = self.get(class, &at)[&map].as_object_mut().unwrap();
            if verb.starts_with("remove") {
                entries.remove(&param(1));
            } else if entries.insert(param(1), params[2].clone()).is_some() {
                return Err(("MAP_DUPLICATE_KEY", vec![]));
            }
            return Ok(json!(""));
        }
        match (class, verb) {
            (_, "get_record") => Ok(self.get(class, &at).clone()),
            ("task" | "VIF", "destroy") => Ok(self.drop_plain(class, &at)),
            ("VDI", "destroy") if self.get("VDI", &at)["VBDs"] != json!([]) => Err(("VDI_IN_USE", vec![at])),
            ("VDI", "destroy") => Ok(self.drop_plain(class, &at)),
            ("VM", _) => self.vm(verb, &at, params),
            _ => Err(("UNKNOWN", vec![])),
        }
    }

    fn named(&mut self, class: &str, verb: &str, name: &str) -> Done {
        let field = verb.trim_start_matches("get_by_");
        let mut found = self.all(class);
        found.retain(|at| self.get(class, at)[field] == name);
        match (verb, found.pop()) {
            ("get_by_uuid", Some(one)) => Ok(json!(one)),
            ("get_by_uuid", None) => Err(("UUID_INVALID", vec![class.to_owned(), name.to_owned()])),
            (_, last) => Ok(found.into_iter().chain(last).collect::<Vec<_>>().into()),
        }
    }

    fn drop_plain(&mut self, class: &str, at: &str) -> Value {
        if class == "VIF" {
            let vm = self.get(class, at)["VM"].as_str().unwrap().to_owned();
            self.get("VM", &vm)["VIFs"].as_array_mut().unwrap().retain(|vif| vif != at);
        }
        self.remove(class, at);
        json!("")
    }

    fn vm(&mut self, verb: &str, at: &str, params: &[Value]) -> Done {
        let state = self.get("VM", at)["power_state"].as_str().unwrap().to_owned();
        let next = match (verb, state.as_str()) {
            ("start", "Halted") | ("resume", "Suspended") => {
                if params[1] == true {
                    "Paused"
                } else {
                    "Running"
                }
            }
            ("pause", "Running") => "Paused",
            ("unpause", "Paused") => "Running",
            ("suspend", "Running") => "Suspended",
            ("clean_shutdown", "Running") | ("hard_shutdown", "Running" | "Paused" | "Suspended") => "Halted",
            (
                "start" | "resume" | "pause" | "unpause" | "suspend" | "clean_shutdown" | "hard_shutdown",
                _,
            )
            | ("destroy", "Running" | "Paused") => {
                return Err((
                    "VM_BAD_POWER_STATE",
                    vec![at.to_owned(), "other".to_owned(), state.to_lowercase()],
                ));
            }
            _ => return self.vm_at_rest(verb, at, params),
        };
        self.get("VM", at)["power_state"] = json!(next);
        if verb == "start" {
            let metrics = self.new_reference("metrics");
            self.put("VM_guest_metrics", &metrics, json!({ "networks": { "0/ip": "10.0.0.9" } }));
            self.get("VM", at)["guest_metrics"] = json!(metrics);
            self.touch("VM", at);
        }
        Ok(json!(""))
    }

    fn vm_at_rest(&mut self, verb: &str, at: &str, params: &[Value]) -> Done {
        match verb {
            "clone" => Ok(json!(self.copy(at, &params[1]))),
            "provision" => self.set(at, &[("is_a_template", json!(false))]),
            "set_memory_limits" => {
                let fields =
                    ["memory_static_min", "memory_static_max", "memory_dynamic_min", "memory_dynamic_max"];
                self.set(at, &std::array::from_fn::<_, 4, _>(|i| (fields[i], params[i + 1].clone())))
            }
            "set_VCPUs_max" => self.set(at, &[("VCPUs_max", params[1].clone())]),
            "set_VCPUs_at_startup" => self.set(at, &[("VCPUs_at_startup", params[1].clone())]),
            "snapshot" => {
                let copy = self.copy(at, &params[1]);
                self.set(
                    &copy,
                    &[
                        ("is_a_snapshot", json!(true)),
                        ("snapshot_of", json!(at)),
                        ("power_state", json!("Halted")),
                    ],
                )?;
                self.get("VM", at)["snapshots"].as_array_mut().unwrap().push(json!(copy));
                Ok(json!(copy))
            }
            "revert" => Ok(json!("")),
            "destroy" => {
                let vm = self.get("VM", at).clone();
                for vbd in vm["VBDs"].as_array().unwrap().iter().filter_map(Value::as_str) {
                    let vdi = self.get("VBD", vbd)["VDI"].as_str().unwrap().to_owned();
                    self.get("VDI", &vdi)["VBDs"] = json!([]);
                    self.remove("VBD", vbd);
                }
                vm["VIFs"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(Value::as_str)
                    .for_each(|vif| self.remove("VIF", vif));
                self.remove("VM", at);
                Ok(json!(""))
            }
            _ => Err(("UNKNOWN", vec![])),
        }
    }

    fn set(&mut self, at: &str, fields: &[(&str, Value)]) -> Done {
        let vm = self.get("VM", at);
        fields.iter().for_each(|(field, value)| vm[*field] = value.clone());
        Ok(json!(""))
    }
}
