//! Duo as a second step, from the engine to a fake of its service that is reached over HTTPS: what each mode does, and
//! what it does not let anybody do.
#![cfg(test)]

#[path = "duo/abuse.rs"]
mod abuse;
#[path = "duo/asking.rs"]
mod asking;
#[path = "duo/claims.rs"]
mod claims;
#[path = "duo/down.rs"]
mod down;
#[path = "duo/evidence.rs"]
mod evidence;
#[path = "duo/identities.rs"]
mod identities;
#[path = "duo/login.rs"]
mod login;
#[path = "duo/names.rs"]
mod names;
#[path = "duo/passing.rs"]
mod passing;
#[path = "duo/replay.rs"]
mod replay;
#[path = "duo/settings.rs"]
mod settings;
#[path = "duo/setup.rs"]
mod setup;
