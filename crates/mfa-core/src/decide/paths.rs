//! Which parts of a document a change is about, for its event.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What the paths of one event may take together. An event keeps 1024 bytes of a text.
const MOST_BYTES: usize = 960;
/// The longest path that is told whole.
const LONGEST: usize = 120;

/// Lists the dotted paths at which two documents differ. Where not all fit, or some mean nothing here, `+N` says how many
/// are left out; what decides who gets in is told before anything else, and what was there before what is new, so that
/// nobody hides the one change behind others.
pub(crate) fn paths(before: &Value, after: &Value, known: impl Fn(&str) -> bool) -> String {
    let mut found = Vec::new();
    differences(before, after, &mut String::new(), &mut found);
    let all = found.len();
    found.retain(|difference| known(&difference.path));
    found.sort_by_key(Difference::rank);
    let mut told = BTreeSet::new();
    let mut left = MOST_BYTES;
    for Difference { path, .. } in &found {
        let path = clipped(path);
        let Some(rest) = left.checked_sub(path.len().saturating_add(1)) else { break };
        left = rest;
        told.insert(path);
    }
    let untold = all.saturating_sub(told.len());
    let mut told: Vec<_> = told.into_iter().collect();
    if untold > 0 {
        told.push(format!("+{untold}"));
    }
    told.join(" ")
}

/// A place at which two documents differ.
struct Difference {
    path: String,
    is_new: bool,
}

impl Difference {
    /// Returns which are told first: the lowest.
    fn rank(&self) -> (u8, bool) {
        let path = &*self.path;
        let has = |word: &str| path.split('.').any(|name| name == word);
        // Whether a second factor is asked for, by which service and under which keys.
        let decides = matches!(path, "enabled" | "provider_name")
            || path.starts_with("settings")
            || path.ends_with(".multi_factor.enabled");
        let order = match (decides, has("multi_factor") || has("enabled")) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        (order, self.is_new)
    }
}

fn differences(before: &Value, after: &Value, path: &mut String, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let empty = Map::new();
    let (a, b) = (before.as_object(), after.as_object());
    if a.is_none() && b.is_none() {
        found.push(Difference { path: path.clone(), is_new: before.is_null() });
        return;
    }
    let (a, b) = (a.unwrap_or(&empty), b.unwrap_or(&empty));
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    for name in names {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
        differences(&of(a), &of(b), path, found);
        path.truncate(length);
    }
}

fn clipped(path: &str) -> String {
    if path.len() <= LONGEST {
        return path.to_owned();
    }
    let mut at = LONGEST;
    while !path.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    format!("{}…", path.get(..at).unwrap_or_default())
}
