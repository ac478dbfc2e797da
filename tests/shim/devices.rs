//! The ops about a user's devices, and the device that a login asks to keep.

use mfa::{Authority, DeviceId, DeviceState, DeviceToken, Grant, KeptDevice, Timestamp, TrustedDevice};
use serde_json::{Value, json};

use crate::answer::add;
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::request::first_factor;

/// What a login asks for its device, with the name that the user gave it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep<'a> {
    Trust(&'a str),
    Remember(&'a str),
}

impl<'a> Keep<'a> {
    /// Reads `trust_device` or `remember_device`, of which a request has one at most.
    pub(crate) fn read(input: &Input<'a>) -> Result<Option<Self>, Failure> {
        let names = (input.optional_text("trust_device")?, input.optional_text("remember_device")?);
        match names {
            (Some(_), Some(_)) => {
                let message = "give one of trust_device and remember_device";
                Err(Failure::bad_request(message).at("trust_device"))
            }
            (Some(name), None) => Ok(Some(Self::Trust(name))),
            (None, Some(name)) => Ok(Some(Self::Remember(name))),
            (None, None) => Ok(None),
        }
    }
}

/// What became of it.
pub(crate) enum Kept {
    Device(KeptDevice),
    /// The login goes on all the same; the code says why.
    Refused(&'static str),
}

impl Kept {
    /// Adds it to the grant of the login.
    pub(crate) fn add_to(&self, grant: &mut Value) {
        match self {
            Self::Device(kept) => {
                add(grant, "device", Some(device_json(kept.id, kept.state, kept.expires_at)));
                add(grant, "device_token", Some(kept.token.expose_secret()));
            }
            Self::Refused(code) => add(grant, "device_refused", Some(*code)),
        }
    }
}

impl Node {
    pub(crate) async fn device_list(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let devices = self.engine.devices(&input.account()?, &input.user()?).await?;
        let devices = devices.into_iter().map(|device| {
            let mut row = device_json(device.id, device.state, device.expires_at);
            add(&mut row, "name", Some(device.name));
            add(&mut row, "created_at", Some(device.created_at.unix_seconds()));
            add(&mut row, "last_used_at", Some(device.last_used_at.unix_seconds()));
            row
        });
        Ok(json!({ "devices": devices.collect::<Vec<_>>() }))
    }

    pub(crate) async fn device_revoke(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        let device = input.optional_parsed("device", str::parse::<DeviceId>)?;
        let authority = self.devices_authority(input, "device.revoke")?;
        match device {
            Some(device) => self.engine.device_revoke(&account, &user, device, &authority).await?,
            None => self.engine.device_revoke_all(&account, &user, &authority).await?,
        }
        Ok(json!({}))
    }

    pub(crate) async fn device_ban(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let device = input.parsed("device", str::parse::<DeviceId>)?;
        let authority = self.devices_authority(input, "device.ban")?;
        self.engine.device_ban(&input.account()?, &input.user()?, device, &authority).await?;
        Ok(json!({}))
    }

    /// Keeps the device of a login that has just succeeded, before its grant is redeemed.
    pub(crate) async fn keep(
        &self,
        grant: &Grant,
        session: Option<&str>,
        keep: Option<Keep<'_>>,
    ) -> Option<Kept> {
        let kept = match keep? {
            Keep::Trust(name) => self.engine.device_trust(grant, session, name).await,
            Keep::Remember(name) => self.engine.device_remember(grant, session, name).await,
        };
        Some(kept.map_or_else(|error| Kept::Refused(error.code()), Kept::Device))
    }

    /// A proof or the host's word, or a first factor alone.
    fn devices_authority(&self, input: &Input<'_>, op: &str) -> Result<Authority, Failure> {
        match (input.get("first_factor"), input.get("proof")) {
            (Some(_), Some(_)) => {
                Err(Failure::bad_request("give one of proof and first_factor").at("first_factor"))
            }
            (Some(_), None) => Ok(Authority::FirstFactor(first_factor(input)?.0)),
            (None, _) => self.authority(input, op),
        }
    }
}

/// A login that a trusted device lets in: nothing more is required, and nothing more was proven.
pub(crate) fn let_in_json(trusted: &TrustedDevice) -> Value {
    let device = device_json(trusted.device, DeviceState::Trusted, trusted.expires_at);
    let mut answer = json!({ "outcome": "not_required", "reason": trusted.code(), "device": device });
    add(&mut answer, "device_token", trusted.token.as_ref().map(DeviceToken::expose_secret));
    answer
}

fn device_json(id: DeviceId, state: DeviceState, expires_at: Timestamp) -> Value {
    json!({ "id": id.to_string(), "state": state.code(), "expires_at": expires_at.unix_seconds() })
}
