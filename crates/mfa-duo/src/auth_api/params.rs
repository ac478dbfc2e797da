//! Parameters of a request.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::percent;

/// Names and values that go into a query, a form or a JSON object, in any order.
///
/// Values are wiped when dropped and redacted in `Debug`: passcodes are among them.
///
/// ```
/// use mfa_duo::auth_api::Params;
///
/// let params = Params::new().with("realname", "First Last").with("username", "root");
/// assert_eq!(params.canonical().as_str(), "realname=First%20Last&username=root");
/// ```
#[derive(Clone, Default)]
pub struct Params(Vec<(Cow<'static, str>, Zeroizing<String>)>);

impl Params {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a parameter; the same name may come again.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Adds a parameter where there is a value.
    #[must_use]
    pub(super) fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Returns the canonical query string: names and values percent-encoded, sorted by encoded name and then
    /// encoded value, joined with `=` and `&` (RFC 5849 §3.4.1.3.2, as `duo_client` has it).
    #[must_use]
    pub fn canonical(&self) -> Zeroizing<String> {
        // invariant: three bytes for each of a value is the most there can be, so the buffers never move.
        let bytes = self.0.iter().fold(0_usize, |sum, (name, value)| {
            sum.saturating_add(name.len()).saturating_add(value.len()).saturating_add(2)
        });
        let mut encoded = Zeroizing::new(String::with_capacity(bytes.saturating_mul(3)));
        let mut pairs = Vec::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            let start = encoded.len();
            percent::encode_into(&mut encoded, name);
            let middle = encoded.len();
            percent::encode_into(&mut encoded, value);
            pairs.push((start..middle, middle..encoded.len()));
        }
        let text = |range: &core::ops::Range<usize>| encoded.get(range.clone()).unwrap_or_default();
        // The two compared apart: `=` sorts after `-` and `.`, which names may contain.
        pairs.sort_by(|a, b| (text(&a.0), text(&a.1)).cmp(&(text(&b.0), text(&b.1))));
        let mut joined = Zeroizing::new(String::with_capacity(encoded.capacity()));
        for (name, value) in &pairs {
            if !joined.is_empty() {
                joined.push('&');
            }
            joined.push_str(text(name));
            joined.push('=');
            joined.push_str(text(value));
        }
        joined
    }

    /// Returns the JSON object with sorted names. Of a name that comes again, the last value stays.
    #[expect(
        clippy::expect_used,
        reason = "a map from strings to strings is JSON, and a Vec takes all writes"
    )]
    pub(super) fn json(&self) -> Vec<u8> {
        let map: BTreeMap<&str, &str> =
            self.0.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
        serde_json::to_vec(&map).expect("strings")
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, _)| (name, "[redacted]"))).finish()
    }
}
