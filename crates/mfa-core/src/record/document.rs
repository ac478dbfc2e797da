//! A document that administrators write: settings, a policy. As JSON, since it is read by its own checks.

use audit_model::Scope;
use serde::{Deserialize, Serialize};

use super::stream::EventStream;
use crate::{Key, RecordKind, Versioned};

pub(crate) const SETTINGS: RecordKind = RecordKind::new("settings");
pub(crate) const POLICY: RecordKind = RecordKind::new("policy");
/// A scope has one document of a kind.
const ID: &[u8] = b"document";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Nothing once it was deleted: what is left keeps the stream going.
    pub(crate) json: Option<String>,
    pub(crate) stream: EventStream,
}

impl Versioned for Document {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 17 * 1024;
}

/// Addresses the document of a kind that an account, or the system, has.
pub(crate) fn document_key(scope: Scope, kind: RecordKind) -> Key {
    Key::new(scope, kind, ID)
}
