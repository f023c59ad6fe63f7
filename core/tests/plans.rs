//! The plan's files, one for each kind of step, scalar, terminal and layer: this core reads each, and no kind lacks one.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use nexus_core::gateway::Gateway;
use nexus_core::handler::Handler;
use nexus_core::plan::Plan;
use nexus_core::plan::Secrets;
use serde_json::Value;

struct Unused;

impl Handler for Unused {
    fn wake(&self) {}
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plans");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

/// Secrets of every name that the plan uses.
fn secrets(plan: &Plan) -> Secrets {
    let keys = plan.tokens.iter().flat_map(|tokens| &tokens.keys);
    keys.map(|key| {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
        let algorithm = key.algorithms.first().map(String::as_str).unwrap_or_default();
        let secret = match &algorithm[..2] {
            "HS" => vec![b'k'; 64],
            "RS" | "PS" => std::fs::read(keys.join("rsa.pub.pem")).unwrap(),
            "ES" => std::fs::read(keys.join("p256.pub.pem")).unwrap(),
            _ => std::fs::read(keys.join("ed25519.pub.pem")).unwrap(),
        };
        (key.secret.clone(), secret)
    })
    .collect()
}

#[test]
fn every_file_is_read_and_compiled() {
    // The folder of the terminal `files` is named from the root of the repository, as a user would.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    for (name, bytes) in files() {
        let plan: Plan =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        Gateway::build(&plan, &secrets(&plan), Arc::new(Unused))
            .map_err(|error| panic!("{name}: {error}"))
            .ok();
    }
}

#[test]
fn what_is_read_is_written_as_it_was() {
    for (name, bytes) in files() {
        let plan: Plan = serde_json::from_slice(&bytes).unwrap();
        let again: Plan = serde_json::from_value(serde_json::to_value(&plan).unwrap()).unwrap();
        let (written, once_more) =
            (serde_json::to_value(&plan).unwrap(), serde_json::to_value(&again).unwrap());
        assert_eq!(written, once_more, "{name}");
        assert_contains(&written, &serde_json::from_slice(&bytes).unwrap(), &name);
    }
}

/// Whether everything of `file` is in `read` too; the core writes defaults that Python leaves out.
fn assert_contains(read: &Value, file: &Value, at: &str) {
    match (read, file) {
        (Value::Object(read), Value::Object(file)) => {
            for (name, value) in file {
                assert_contains(&read[name], value, &format!("{at}.{name}"));
            }
        }
        (Value::Array(read), Value::Array(file)) => {
            assert_eq!(read.len(), file.len(), "{at}");
            for (index, value) in file.iter().enumerate() {
                assert_contains(&read[index], value, &format!("{at}[{index}]"));
            }
        }
        (Value::Number(read), Value::Number(file)) => {
            assert_eq!(read.as_f64(), file.as_f64(), "{at}");
        }
        _ => assert_eq!(read, file, "{at}"),
    }
}

#[test]
fn an_unknown_field_is_refused_everywhere() {
    for (name, bytes) in files() {
        let plan: Value = serde_json::from_slice(&bytes).unwrap();
        for (at, changed) in with_an_unknown_field(&plan) {
            let read = serde_json::from_value::<Plan>(changed);
            assert!(read.is_err(), "{name}: a field that nobody knows was accepted at {at}");
        }
    }
}

/// The plan with one more field, once for each object in it.
fn with_an_unknown_field(plan: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    collect(plan, String::new(), &mut places);
    places
        .into_iter()
        .map(|place| {
            let mut changed = plan.clone();
            let object = changed.pointer_mut(&place).unwrap();
            object["nobody_knows"] = Value::Bool(true);
            (place, changed)
        })
        .collect()
}

fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                collect(field, format!("{at}/{name}"), places);
            }
            places.push(at);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{at}/{index}"), places);
            }
        }
        _ => {}
    }
}

#[test]
fn every_kind_has_a_file() {
    // Each enum's kinds, as serde names them in the refusal of an unknown one.
    let kinds = |prefix: &str, probe: Value| -> BTreeSet<String> {
        let mut plan: Value = serde_json::from_slice(&files()["plan-route"]).unwrap();
        let (place, value) = (prefix, probe);
        *plan.pointer_mut(place).unwrap() = value;
        let error = serde_json::from_value::<Plan>(plan).unwrap_err().to_string();
        let (_, listed) = error.split_once("expected one of ").unwrap_or_else(|| panic!("{error}"));
        listed.split('`').skip(1).step_by(2).map(ToString::to_string).collect()
    };
    let known = |prefix: &str| -> BTreeSet<String> {
        files()
            .keys()
            .filter_map(|name| name.strip_prefix(prefix))
            .map(ToString::to_string)
            .collect()
    };

    let step = serde_json::json!([{"op": "?"}]);
    let scalar = serde_json::json!([{"op": "param", "name": "x", "kind": {"type": "?"}}]);
    let terminal = serde_json::json!({"op": "?"});
    assert_eq!(known("step-"), kinds("/routes/0/steps", step));
    assert_eq!(known("scalar-"), kinds("/routes/0/steps", scalar));
    assert_eq!(known("terminal-"), kinds("/routes/0/terminal", terminal));
}
