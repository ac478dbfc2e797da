//! What a user can be asked with.

use core::fmt;

use serde_json::Value;

use super::factor::{DeviceChoice, Factor, FactorKind, Push};
use super::{Params, envelope};
use crate::Error;

/// Duo's id of a device, such as `DPFZRS9FB0D46QFTM891`: 1 to 128 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId(String);

impl DeviceId {
    /// Takes an id.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is empty, too long, or has another character.
    pub fn parse(id: &str) -> Result<Self, Error> {
        if (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(id.to_owned()))
        } else {
            Err(Error::Parameter { name: "device", reason: "must be 1 to 128 printable ascii characters" })
        }
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn add_to(&self, params: Params) -> Params {
        params.with("device", self.as_str())
    }
}

/// One of a user's devices. `Debug` leaves out names and numbers.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Duo's id.
    pub id: DeviceId,
    /// What it is.
    pub kind: DeviceKind,
    /// The name that the user or an administrator gave it.
    pub name: Option<String>,
    /// A text to show, such as `iOS (XXX-XXX-0100)`.
    pub display_name: Option<String>,
    /// The masked number, such as `XXX-XXX-0100`.
    pub number: Option<String>,
    /// What it can do; empty for a token.
    pub capabilities: Vec<Capability>,
    /// The first digit of the next passcode sent by SMS.
    pub sms_nextcode: Option<String>,
}

impl Device {
    /// Reads one entry; `None` without a usable id, which nothing could be sent to.
    fn read(value: &Value) -> Option<Self> {
        let owned = |name| envelope::text(value, name).map(str::to_owned);
        let capabilities = value.get("capabilities").and_then(Value::as_array).map(Vec::as_slice);
        Some(Self {
            id: DeviceId::parse(envelope::text(value, "device")?).ok()?,
            kind: DeviceKind::read(envelope::text(value, "type").unwrap_or_default()),
            name: owned("name"),
            display_name: owned("display_name"),
            number: owned("number"),
            capabilities: capabilities
                .unwrap_or_default()
                .iter()
                .filter_map(Value::as_str)
                .map(Capability::read)
                .collect(),
            sms_nextcode: owned("sms_nextcode"),
        })
    }

    /// Returns whether it can do something.
    #[must_use]
    pub fn can(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability)
    }

    /// Returns a text to show: the display name, the name, or the masked number.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.display_name.as_deref().or(self.name.as_deref()).or(self.number.as_deref())
    }

    fn makes_passcodes(&self) -> bool {
        self.kind == DeviceKind::Token || self.can(&Capability::MobileOtp) || self.can(&Capability::Sms)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Device");
        shown.field("id", &self.id).field("kind", &self.kind).field("capabilities", &self.capabilities);
        shown.finish_non_exhaustive()
    }
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A telephone or tablet.
    Phone,
    /// A hardware token.
    Token,
    /// Something that this version does not know.
    Unknown(String),
}

impl DeviceKind {
    fn read(text: &str) -> Self {
        match text {
            "phone" => Self::Phone,
            "token" => Self::Token,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// What a device can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// Duo picks what is best: push, else a call.
    Auto,
    /// Duo Mobile takes a push.
    Push,
    /// It gets passcodes by SMS.
    Sms,
    /// It can be called.
    Phone,
    /// Duo Mobile shows passcodes.
    MobileOtp,
    /// Something that this version does not know.
    Unknown(String),
}

impl Capability {
    fn read(text: &str) -> Self {
        match text {
            "auto" => Self::Auto,
            "push" => Self::Push,
            "sms" => Self::Sms,
            "phone" => Self::Phone,
            "mobile_otp" => Self::MobileOtp,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// A user's devices in Duo's order, and what they offer.
///
/// A page lets the user pick from [`offers`](Self::offers); what comes back is looked up with
/// [`find`](Self::find), so that nobody is sent anything on a device that Duo did not name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices(Vec<Device>);

impl Devices {
    pub(super) fn read(value: Option<&Value>) -> Self {
        let entries = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self(entries.iter().filter_map(Device::read).collect())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the devices.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.0.iter()
    }

    /// Returns what the user can be asked with: per device what it can do, then, once, a passcode.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        const KINDS: [(Capability, FactorKind); 4] = [
            (Capability::Auto, FactorKind::Auto),
            (Capability::Push, FactorKind::Push),
            (Capability::Phone, FactorKind::Phone),
            (Capability::Sms, FactorKind::Sms),
        ];
        let mut offers = Vec::new();
        for device in self.iter() {
            let able = KINDS.iter().filter(|(capability, _)| device.can(capability));
            offers.extend(able.map(|(_, kind)| Offer::on(device, *kind)));
        }
        if self.iter().any(Device::makes_passcodes) {
            offers.push(Offer { kind: FactorKind::Passcode, device: None, label: None });
        }
        offers
    }

    /// Returns the first offer of the first of these kinds that there is an offer of.
    #[must_use]
    pub fn choose(&self, preference: &[FactorKind]) -> Option<Offer> {
        let offers = self.offers();
        preference.iter().find_map(|kind| offers.iter().find(|offer| offer.kind == *kind).cloned())
    }

    /// Returns the offer of this kind on this device (for a passcode, on none), if there is one.
    #[must_use]
    pub fn find(&self, kind: FactorKind, device: Option<&DeviceId>) -> Option<Offer> {
        self.offers().into_iter().find(|offer| offer.kind == kind && offer.device.as_ref() == device)
    }
}

/// One way to ask a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    kind: FactorKind,
    device: Option<DeviceId>,
    label: Option<String>,
}

impl Offer {
    fn on(device: &Device, kind: FactorKind) -> Self {
        Self { kind, device: Some(device.id.clone()), label: device.label().map(str::to_owned) }
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> FactorKind {
        self.kind
    }

    /// Returns the device; `None` for a passcode, which says itself where it is from.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        self.device.as_ref()
    }

    /// Returns a text to show for the device.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Returns the factor to ask with; `None` for a passcode, which the user has yet to type.
    #[must_use]
    pub fn factor(&self) -> Option<Factor> {
        let device = DeviceChoice::Device(self.device.clone()?);
        match self.kind {
            FactorKind::Auto => Some(Factor::Auto(device)),
            FactorKind::Push => Some(Factor::Push(Push::new(device))),
            FactorKind::Phone => Some(Factor::Phone(device)),
            FactorKind::Sms => Some(Factor::Sms(device)),
            FactorKind::Passcode => None,
        }
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Offer");
        shown.field("kind", &self.kind).field("device", &self.device).finish_non_exhaustive()
    }
}
