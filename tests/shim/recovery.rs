//! The pure ops of recovery codes.

use std::sync::Arc;

use mfa::recovery::{Cost, Count, RecoveryCode, RecoveryCodes, check, hash};
use mfa::{Draw, Entropy, OsEntropy};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;

pub(crate) fn codes(input: &Input<'_>) -> Result<Value, Failure> {
    let count = u8::try_from(input.whole("count")?).unwrap_or(u8::MAX);
    let count = Count::new(count).map_err(|error| Failure::from(error).at("count"))?;
    let codes = RecoveryCodes::generate(count, &mut Draw::from_source(Arc::new(OsEntropy::new()))?)?;
    let codes: Vec<_> = codes.iter().map(|code| code.to_text().expose_secret().to_owned()).collect();
    Ok(json!({ "codes": codes }))
}

pub(crate) fn hash_code(input: &Input<'_>) -> Result<Value, Failure> {
    let code = input.parsed("code", RecoveryCode::parse)?;
    let mut salt = [0; 16];
    OsEntropy::new().fill(&mut salt)?;
    Ok(json!({ "hash": hash(&code, Cost::default(), salt)? }))
}

/// What is no code at all matches nothing; why is told beside it.
pub(crate) fn check_code(input: &Input<'_>) -> Result<Value, Failure> {
    let (typed, kept) = (input.text("code")?, input.text("hash")?);
    let code = match RecoveryCode::parse(typed) {
        Ok(code) => code,
        Err(error) => return Ok(json!({ "matches": false, "problem": error.code() })),
    };
    let matches = check(&code, kept).map_err(|error| Failure::from(error).at("hash"))?;
    Ok(json!({ "matches": matches }))
}
