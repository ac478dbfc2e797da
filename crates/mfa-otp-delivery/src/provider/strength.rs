//! What an answer over a channel proves.

use mfa_core::{Aal, Amr, Channel, Descriptor, Strength};

use crate::address::Medium;

/// Describes the provider of a medium. E-mail is no out-of-band authenticator (SP 800-63B-4 §3.1.3.1).
pub(super) fn describe(descriptor: &mut Descriptor, medium: Medium) {
    let (channel, aal, amr) = match medium {
        Medium::Sms => (Channel::Phone, Aal::Two, vec![Amr::Otp, Amr::Sms]),
        _ => (Channel::Email, Aal::One, Vec::new()),
    };
    descriptor.channel = channel;
    descriptor.aal = aal;
    descriptor.amr = amr;
}

/// A press of a button, on whatever device.
pub(super) fn approved(descriptor: &Descriptor) -> Strength {
    Strength::new(descriptor.factor, descriptor.channel, Vec::new(), Aal::One).by_approval()
}
