//! The test data that `mfa-duo` is judged by, through the shim: what Duo's own SDKs expect, Kazoo's, and values
//! computed with them. Each vector names its source.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::process::{Shim, error_of};

const VECTORS: &str = include_str!("../../../crates/mfa-duo/tests/vectors/duo.json");

fn vectors() -> Vec<Value> {
    serde_json::from_str(VECTORS).unwrap()
}

/// Puts the op's name on the wire in the place of the vector's own.
fn request(inputs: &Value) -> Value {
    let mut request = inputs.clone();
    request["op"] = json!(format!("duo.{}", inputs["op"].as_str().unwrap()));
    request
}

#[test]
fn every_vector_gives_what_it_expects() {
    let mut shim = Shim::start();
    let vectors = vectors();
    assert!(vectors.len() > 70, "the vectors have got lost");
    for vector in &vectors {
        let reply = shim.call(request(&vector["inputs"]));
        let value = &reply["ok"]["value"];
        assert!(reply["ok"].get("value").is_some(), "{}: {reply}", vector["name"]);
        assert_eq!(value, &vector["expected"], "{}: {}", vector["name"], vector["source"]);
    }
}

/// What a vector leaves out is not needed; of what it gives, nothing that the op reads may be of another type.
#[test]
fn an_input_that_is_missing_or_mistyped_is_named_and_the_process_goes_on() {
    let mut shim = Shim::start();
    let mut ops = BTreeSet::new();
    for vector in vectors() {
        let whole = request(&vector["inputs"]);
        ops.insert(whole["op"].as_str().unwrap().to_owned());
        for name in whole.as_object().unwrap().keys() {
            let mut mistyped = whole.clone();
            mistyped[name] = json!({ "": -1 });
            let reply = shim.call(mistyped);
            if reply.get("ok").is_none() {
                let (_, field) = error_of(&reply);
                assert!(field == *name || field.starts_with(&format!("{name}.")), "{name}: {reply}");
            } else {
                // Only what the ops leave aside, or a document of the caller's whose faults are an answer.
                let aside = ["digest", "exp_seconds", "settings"];
                assert!(aside.contains(&name.as_str()), "{} {name}: {reply}", whole["op"]);
            }
        }
    }
    assert_eq!(ops.len(), 22);
}

#[test]
fn another_value_than_one_that_the_library_has_fixed_is_refused() {
    let mut shim = Shim::start();
    for (op, field) in [
        ("validate_auth_url_inputs", "min_state"),
        ("validate_auth_url_inputs", "max_state"),
        ("universal_config", "exp_seconds"),
        ("verify_id_token", "leeway"),
    ] {
        let vectors = vectors();
        let vector = vectors.iter().find(|vector| vector["inputs"]["op"] == op).unwrap();
        let mut other = request(&vector["inputs"]);
        other[field] = json!(1);
        assert_eq!(shim.error(other), ("bad_request".to_owned(), field.to_owned()));
    }
}
