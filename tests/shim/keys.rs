//! The ops of the key ring: rotating it, and moving records to the key that writes.

use std::collections::BTreeMap;

use mfa::{KeyId, KeyRing, SecretBytes};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::{Input, item};
use crate::node::Node;

/// Root keys in the order of a request, the one that writes first.
pub(crate) type Roots = Vec<(KeyId, [u8; 32])>;

impl Node {
    /// Makes the ring what `keys` says: adds what is new, lets the first write, and retires what is missing.
    pub(crate) async fn sealing_rotate(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let roots = roots(input, "keys")?;
        let (actor, reason) =
            (input.optional_text("actor")?.unwrap_or("mfa-shim"), input.optional_text("reason")?);
        let reason = reason.unwrap_or("sealing.rotate");
        for (index, (id, root)) in roots.iter().enumerate() {
            match self.roots.get(id) {
                Some(known) if known.ct_eq(root) => {}
                _ => {
                    let added = self.ring.add(id.clone(), *root);
                    added.map_err(|error| Failure::from(error).at(format!("keys.{index}.key")))?;
                    self.roots.insert(id.clone(), SecretBytes::new(root.to_vec()));
                }
            }
        }
        if let Some((first, _)) = roots.first().filter(|(first, _)| *first != self.ring.active()) {
            self.engine.key_activate(first, actor, reason).await?;
        }
        let missing = self.ring.ids().into_iter().filter(|id| !roots.iter().any(|(given, _)| given == id));
        for id in missing {
            self.engine.key_retire(&id, actor, reason).await?;
            self.roots.remove(&id);
        }
        Ok(json!({ "active": self.ring.active().as_str(), "keys": names(&self.ring) }))
    }

    pub(crate) async fn reseal(&mut self, _: &Input<'_>) -> Result<Value, Failure> {
        let resealed = self.engine.reseal().await?;
        Ok(json!({ "count": resealed.records, "unreadable": resealed.unreadable }))
    }
}

/// Makes the ring of `open`, and returns its keys beside it.
pub(crate) fn ring(input: &Input<'_>) -> Result<(KeyRing, BTreeMap<KeyId, SecretBytes>), Failure> {
    let mut ring: Option<KeyRing> = None;
    let roots = roots(input, "sealing_keys")?;
    for (index, (id, root)) in roots.iter().enumerate() {
        let added = match ring {
            None => KeyRing::new(id.clone(), *root),
            Some(ring) => ring.with_old_key(id.clone(), *root),
        };
        ring = Some(added.map_err(|error| Failure::from(error).at(format!("sealing_keys.{index}.key")))?);
    }
    let ring = ring.ok_or_else(|| Failure::bad_request("sealing_keys is empty").at("sealing_keys"))?;
    Ok((ring, roots.into_iter().map(|(id, root)| (id, SecretBytes::new(root.to_vec()))).collect()))
}

/// Reads a list of keys: the first writes, the others read what they wrote before.
fn roots(input: &Input<'_>, name: &str) -> Result<Roots, Failure> {
    input.required(name)?;
    let read = |(index, value)| {
        let entry = item(name, index, value)?;
        Ok((entry.parsed("id", KeyId::parse)?, entry.key("key")?))
    };
    let roots: Roots = input.list(name)?.iter().enumerate().map(read).collect::<Result<_, Failure>>()?;
    if roots.is_empty() {
        return Err(Failure::bad_request(format!("{name} is empty")).at(name));
    }
    Ok(roots)
}

fn names(ring: &KeyRing) -> Vec<String> {
    ring.ids().iter().map(ToString::to_string).collect()
}
