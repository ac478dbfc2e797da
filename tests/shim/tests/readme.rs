//! Replays the examples of the README, in order, against one process.

use std::collections::HashMap;

use serde_json::Value;

use super::process::Shim;

const README: &str = include_str!("../README.md");

/// What the named wildcards stood for.
type Names = HashMap<String, Value>;

#[test]
fn every_example_of_the_readme_gives_its_reply() {
    let (mut shim, mut names) = (Shim::start(), Names::new());
    let examples = examples(README);
    assert!(examples.len() > 50, "the README has lost its examples");
    for (request, expected) in examples {
        // A request that is not JSON on purpose is sent as it stands.
        let line = match serde_json::from_str::<Value>(&request) {
            Ok(value) if !has_key_twice(&request) => filled(value, &names).to_string(),
            _ => request.clone(),
        };
        let reply = shim.line(line.as_bytes());
        let expected: Value = serde_json::from_str(&expected).expect(&expected);
        let verdict = compare(&expected, &reply, &mut names);
        assert!(verdict.is_ok(), "{request}\nexpected {expected}\ngot {reply}\n{verdict:?}");
    }
    assert!(shim.end().success());
}

#[test]
fn every_served_op_has_an_example() {
    let examples = examples(README);
    let ops: Vec<_> =
        README.lines().filter_map(|line| line.strip_prefix("### ")).flat_map(|l| l.split(", ")).collect();
    assert!(ops.len() > 40);
    // A row of a table of ops: its name, and behind the arrow what serves it.
    let tables = [include_str!("../ops.rs"), include_str!("../pure.rs"), include_str!("../duo.rs")];
    let rows = tables.iter().flat_map(|table| table.lines()).filter_map(|line| line.trim().strip_prefix('"'));
    let mut served: Vec<_> = rows.filter_map(|row| Some(row.split_once("\" => ")?.0)).collect();
    served.push("open");
    served.retain(|op| !ops.contains(op) && *op != "open");
    assert!(served.is_empty(), "without a heading: {served:?}");
    for op in ops {
        let named = format!("\"op\": \"{op}\"");
        assert!(examples.iter().any(|(request, _)| request.contains(&named)), "{op}");
    }
}

/// The comparison itself can fail: a wildcard that stands for two values, a field too many, one too few.
#[test]
fn comparison_refuses_what_differs() {
    let check = |expected: &str, got: &str| {
        let value = |text| serde_json::from_str::<Value>(text).unwrap();
        compare(&value(expected), &value(got), &mut Names::new()).is_ok()
    };
    assert!(check(r#"{"a": "*x", "b": ["*x", "*"]}"#, r#"{"a": 1, "b": [1, 2]}"#));
    assert!(!check(r#"{"a": "*x", "b": "*x"}"#, r#"{"a": 1, "b": 2}"#));
    assert!(!check(r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#));
    assert!(!check(r#"{"a": 1, "b": "*"}"#, r#"{"a": 1}"#));
    assert!(!check(r#"[1, "*"]"#, "[1]"));
}

/// Returns requests and replies: `> ` and `< ` in fenced blocks, with their indented further lines.
fn examples(readme: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut fenced = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
        } else if let Some(request) = line.strip_prefix("> ") {
            examples.push((request.to_owned(), String::new()));
        } else if let Some(reply) = line.strip_prefix("< ") {
            examples.last_mut().unwrap().1.push_str(reply);
        } else {
            let (request, reply) = examples.last_mut().unwrap();
            let open = if reply.is_empty() { request } else { reply };
            open.push_str(line);
        }
    }
    examples
}

/// `serde_json` keeps the last of two equal keys, so such a request must not pass through it.
fn has_key_twice(request: &str) -> bool {
    request.matches("\"op\"").count() > 1
}

fn filled(value: Value, names: &Names) -> Value {
    match value {
        Value::String(text) => names.get(&text).cloned().unwrap_or(Value::String(text)),
        Value::Array(items) => items.into_iter().map(|item| filled(item, names)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, filled(value, names))).collect(),
        other => other,
    }
}

fn compare(expected: &Value, got: &Value, names: &mut Names) -> Result<(), String> {
    let differ = || Err(format!("{expected} is not {got}"));
    match (expected, got) {
        (Value::String(text), _) if text == "*" => Ok(()),
        (Value::String(text), _) if text.starts_with('*') => match names.get(text) {
            Some(known) if known == got => Ok(()),
            Some(known) => Err(format!("{text} was {known} and is {got}")),
            None => {
                names.insert(text.clone(), got.clone());
                Ok(())
            }
        },
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).try_for_each(|(a, b)| compare(a, b, names))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().try_for_each(|(key, value)| match b.get(key) {
                Some(other) => compare(value, other, names),
                None => Err(format!("{key} is missing")),
            })
        }
        (a, b) if a == b => Ok(()),
        _ => differ(),
    }
}
