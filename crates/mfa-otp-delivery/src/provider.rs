//! The providers `email` and `sms`: one-time codes and secure links to an address that the user has shown to own.

mod kept;
mod settings;
mod strength;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use mfa_core::{
    Answer, AnswerKind, Charge, Contact, Cx, Descriptor, Effect, EffectKind, FieldError, Held, KeyedHash,
    LinkAct, LinkEvent, Message, NotDelivered, Provider, ProviderError, ProviderName, Purpose, Reason,
    SecretText, Step, StepEvent, StepOf, Then,
};
use serde_json::{Value, json};

use crate::address::{Destination, Email, Medium, Phone};
use crate::select::SmsRules;
use crate::text::{Code, Link, Occasion, Secret as Shown, Texts};
use kept::{Address, Secret, Sent};
use settings::{Pages, Settings};

/// How many digits a link's pages carry from one to the other.
const DIGITS: usize = 2;

/// Sends codes or links by e-mail or SMS. Settings, a JSON object or nothing:
///
/// | key | default | what |
/// |---|---|---|
/// | `form` | `code` | `code` or `link`: what a login and a step-up send; a set-up sends a code in both |
/// | `digits` | 6 | digits of a code, 6 to 8 |
/// | `ttl_s` | 300 | how long a code or a link is good, in seconds, 30 to 600, and no longer than its challenge |
/// | `link_url` | – | where a link leads, an absolute `https` URL without fragment; with `form` `link` |
/// | `target_url` | – | where the confirmed page goes on to, an absolute `https` URL; with `form` `link` |
///
/// Begin of an enrolment takes a choice: `address`, which of the user's contacts it is for; without it the first verified
/// one.
///
/// An enrolment is an address: one of the user's verified contacts, to which a code was sent and from which it came back.
/// With one that is not verified, and none that is, a set-up is refused as `contact_not_verified`.
/// Messages go to that address only. If it is not among the user's verified contacts any more, the method cannot be used.
///
/// Evidence of e-mail is of AAL1 and has no AMR value (SP 800-63B-4 §3.1.3.1, RFC 8176). SMS is of AAL2, with `otp` and
/// `sms`. A link is confirmed by the browser that passed the first factor, or by two digits that the waiting page shows
/// and the confirming page asks for; one wrong entry ends the challenge.
#[derive(Clone)]
pub struct Delivered {
    medium: Medium,
    texts: Arc<Texts>,
    approve_only: bool,
    /// Which numbers are sent messages.
    rules: SmsRules,
    descriptor: Descriptor,
}

impl Delivered {
    /// Makes the provider `email`.
    ///
    /// # Errors
    /// [`FieldError`] never happens.
    pub fn email(texts: Arc<Texts>) -> Result<Self, FieldError> {
        Self::new(Medium::Email, texts, SmsRules::none())
    }

    /// Makes the provider `sms`. Messages go to the numbers that `rules` lets pass, at set-up and at each message: a
    /// number that costs the sender is how text messages are turned into money.
    ///
    /// # Errors
    /// [`FieldError`] never happens.
    pub fn sms(texts: Arc<Texts>, rules: SmsRules) -> Result<Self, FieldError> {
        Self::new(Medium::Sms, texts, rules)
    }

    fn new(medium: Medium, texts: Arc<Texts>, rules: SmsRules) -> Result<Self, FieldError> {
        let name = match medium {
            Medium::Sms => "sms",
            _ => "email",
        };
        let name = ProviderName::parse(name);
        let name = name.map_err(|_| FieldError::new("provider", "invalid", "is no provider name"))?;
        let mut descriptor = Descriptor::one_time_code(name, settings::LEAST_BITS);
        strength::describe(&mut descriptor, medium);
        descriptor.answers = vec![AnswerKind::Code];
        descriptor.effects = vec![EffectKind::Deliver];
        descriptor.several = false;
        Ok(Self { medium, texts, approve_only: false, rules, descriptor })
    }

    /// Lets a link be confirmed by a press of its button, on any device. Whoever began the login with the right
    /// password gets in if the user presses it: consent phishing (SP 800-63B-4 §3.1.3). The evidence is of AAL1, and
    /// proves no change.
    #[must_use]
    pub fn danger_approve_only(mut self) -> Self {
        self.approve_only = true;
        self.descriptor.dangers.push("danger_approve_only");
        self
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivered").field("medium", &self.medium).finish_non_exhaustive()
    }
}

impl Provider for Delivered {
    type State = Sent;
    type Enrolment = ();
    type Secret = Address;

    fn describe(&self) -> &Descriptor {
        &self.descriptor
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        Settings::check(settings)
    }

    fn fits(&self, secret: &Address, contacts: &[Contact]) -> bool {
        contacts.iter().any(|contact| contact.is_verified() && self.is_at(contact, secret.expose()))
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: Held<Sent, (), Address>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        let settings = Settings::read(cx.settings).map_err(|_| ProviderError::Inappropriate)?;
        let (address, begins) = match (held.secret, &event) {
            (Some(address), _) => (address, false),
            (None, StepEvent::Begin(choice)) => {
                let named = choice.text("address")?;
                match self.chosen(cx.contacts, named) {
                    Some(address) => (address, true),
                    None if self.is_unverified(cx.contacts, named) => {
                        return Err(ProviderError::Invalid(unverified()));
                    }
                    None => return Ok(Step::then(Then::Reject(Reason::NotOffered))),
                }
            }
            (None, _) => return Err(ProviderError::Inappropriate),
        };
        let mut sending = Sending { of: self, settings: &settings, address: &address, cx };
        let step = match (event, held.state) {
            (StepEvent::Begin(_) | StepEvent::Resend, sent) => sending.send(sent)?,
            (StepEvent::Answer(answer), Some(sent)) => sending.judge(&sent, answer)?,
            (StepEvent::Answer(_), None) => Step::then(Then::Reject(Reason::Superseded)),
            (StepEvent::Link(link), Some(sent)) => sending.link(&sent, link)?,
            (StepEvent::Link(_), None) => Step::then(Then::Reject(Reason::NotFound)),
            (StepEvent::NotDelivered(NotDelivered::Permanent), _) => {
                Step::then(Then::Reject(Reason::Unavailable))
            }
            (StepEvent::Delivered(_) | StepEvent::Start(_), Some(sent)) => {
                Step::then(Then::Prompt(sending.prompt(&sent, "yes")))
            }
            (StepEvent::Queued, Some(sent)) => Step::then(Then::Wait(sending.prompt(&sent, "not_yet"))),
            // It may have left: what was sent is waited for.
            (StepEvent::NotDelivered(_) | StepEvent::Interrupted, Some(sent)) => {
                Step::then(Then::Prompt(sending.prompt(&sent, "perhaps")))
            }
            (StepEvent::Poll, Some(sent)) => Step::then(Then::Wait(sending.prompt(&sent, "yes"))),
            _ => return Err(ProviderError::Inappropriate),
        };
        Ok(if begins { step.with_secret(address) } else { step })
    }
}

type DeliveredStep = StepOf<Delivered>;

fn unverified() -> FieldError {
    FieldError::new("contact", "contact_not_verified", "must be verified before codes go there")
}

impl Delivered {
    /// Finds the contact that an enrolment is for: the one that was named, or the first verified one.
    fn chosen(&self, contacts: &[Contact], named: Option<&str>) -> Option<Address> {
        let of_medium = contacts.iter().filter(|contact| contact.is_verified());
        let canonical = of_medium.filter_map(|contact| self.canonical(contact));
        let mut fits = canonical.filter(|address| named.is_none_or(|named| named == address.expose_secret()));
        fits.next().map(Address::new)
    }

    /// Returns whether an enrolment could be for a contact, if that were verified.
    fn is_unverified(&self, contacts: &[Contact], named: Option<&str>) -> bool {
        let mut canonical = contacts.iter().filter_map(|contact| self.canonical(contact));
        canonical.any(|address| named.is_none_or(|named| named == address.expose_secret()))
    }

    fn canonical(&self, contact: &Contact) -> Option<SecretText> {
        if contact.channel() != self.descriptor.channel {
            return None;
        }
        match self.medium {
            Medium::Sms => self.rules.number(contact).map(|phone| Destination::Sms(&phone).canonical()),
            _ => {
                let email = Email::parse(contact.address().expose_secret()).ok()?;
                Some(Destination::Email(&email).canonical())
            }
        }
    }

    fn is_at(&self, contact: &Contact, address: &str) -> bool {
        self.canonical(contact).is_some_and(|canonical| canonical.expose_secret() == address)
    }
}

/// One step about one address.
struct Sending<'a, 'b, 'c> {
    of: &'a Delivered,
    settings: &'a Settings<'a>,
    address: &'a Address,
    cx: &'b mut Cx<'c>,
}

impl<'a> Sending<'a, '_, '_> {
    /// Returns the pages of a link, where one is sent. A set-up has no challenge that a link could verify: whoever
    /// is there to set the address up types a code.
    const fn pages(&self) -> Option<Pages<'a>> {
        match self.cx.purpose {
            Purpose::Enrol => None,
            _ => self.settings.pages,
        }
    }

    /// Makes a new secret and sends it: the one before is dead from the commit on that comes first.
    fn send(&mut self, before: Option<Sent>) -> Result<DeliveredStep, ProviderError> {
        let generation = before.map_or(0, |sent| sent.generation.saturating_add(1));
        let (secret, message) = match self.pages() {
            None => {
                let code = draw_code(self.cx, self.settings.digits)?;
                let hash = self.hash(generation, code.expose_secret())?;
                let code = Code::parse(code.expose_secret()).map_err(|_| ProviderError::Inappropriate)?;
                (Secret::Code(hash), self.message(Shown::Code(&code))?)
            }
            Some(pages) => {
                let link_url = pages.link_url().map_err(|_| ProviderError::Inappropriate)?;
                let (token, hash) = self.cx.link()?;
                let digits = draw_digits(self.cx)?;
                let link = Link::new(&link_url, token.expose_secret());
                let link = link.map_err(|_| ProviderError::Inappropriate)?;
                (Secret::Link { hash, digits }, self.message(Shown::Link(&link))?)
            }
        };
        let sent = Sent { generation, expires_at: self.cx.at.plus(self.life()), secret };
        Ok(Step::then(Then::Run(Effect::Deliver(message), Charge::Send)).with_state(sent))
    }

    /// Returns how long what is sent now is good: never beyond the end of what it is sent for.
    fn life(&self) -> Duration {
        self.settings.ttl.min(self.cx.ends_at.since(self.cx.at))
    }

    fn message(&self, secret: Shown<'_>) -> Result<Message, ProviderError> {
        let occasion = Occasion::of(self.cx.purpose);
        let write = |to: Destination<'_>| self.of.texts.message(to, occasion, secret, self.life(), None);
        let address = self.address.expose();
        match self.of.medium {
            Medium::Sms => Phone::parse(address, None).map(|phone| write(Destination::Sms(&phone))),
            _ => Email::parse(address).map(|email| write(Destination::Email(&email))),
        }
        .map_err(|_| ProviderError::Inappropriate)
    }

    fn judge(&self, sent: &Sent, answer: &Answer) -> Result<DeliveredStep, ProviderError> {
        let typed = answer.text().expose_secret();
        let (Secret::Code(hash), None) = (&sent.secret, self.pages()) else {
            return Ok(Step::then(Then::Reject(Reason::WrongCode)));
        };
        let digits = usize::from(self.settings.digits);
        let has_form = typed.len() == digits && typed.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Step::then(if answer.kind() != AnswerKind::Code || !has_form {
            Then::Reject(Reason::Malformed)
        } else if self.cx.at >= sent.expires_at {
            Then::Reject(Reason::Expired)
        } else if self.is_code(hash, sent.generation, typed)? {
            Then::Accept(self.of.descriptor.strength())
        } else {
            Then::Reject(Reason::WrongCode)
        }))
    }

    fn link(&self, sent: &Sent, link: LinkEvent<'_>) -> Result<DeliveredStep, ProviderError> {
        let (Secret::Link { hash, digits }, Some(pages)) = (&sent.secret, self.pages()) else {
            return Ok(Step::then(Then::Reject(Reason::NotFound)));
        };
        if !self.cx.is_link(hash, link.secret)? {
            // An older link of this challenge, or one of another.
            return Ok(Step::then(Then::Reject(Reason::NotFound)));
        }
        if self.cx.at >= sent.expires_at {
            return Ok(Step::then(Then::Reject(Reason::Expired)));
        }
        Ok(Step::then(match link.act {
            LinkAct::Open => Then::Prompt(json!({
                "began_at": self.cx.began_at.unix_seconds(),
                "ip": self.cx.began_from,
                "expires_at": sent.expires_at.unix_seconds(),
                "needs": if self.is_approval_enough() { "nothing" } else { "same_browser_or_digits" },
                "target_url": pages.target_url().map_err(|_| ProviderError::Inappropriate)?.as_str(),
            })),
            LinkAct::Confirm { same_browser: true, .. } => Then::Accept(self.of.descriptor.strength()),
            LinkAct::Confirm { digits: Some(typed), .. } if !typed.expose_secret().trim().is_empty() => {
                let typed = mfa_core::normalise_code(typed.expose_secret());
                if typed.len() != DIGITS || !typed.bytes().all(|byte| byte.is_ascii_digit()) {
                    // What a scanner fills into a form is not what a person read off another page.
                    Then::Reject(Reason::Malformed)
                } else if SecretText::new(typed).ct_eq(digits.expose_secret()) {
                    Then::Accept(self.of.descriptor.strength())
                } else {
                    Then::Reject(Reason::Fraud)
                }
            }
            LinkAct::Confirm { .. } if self.is_approval_enough() => {
                Then::Accept(strength::approved(&self.of.descriptor))
            }
            _ => Then::Reject(Reason::NotOffered),
        }))
    }

    /// A press of the button lets in where host code said so, and proves no change to what protects the user.
    fn is_approval_enough(&self) -> bool {
        self.of.approve_only && self.cx.purpose == Purpose::Login
    }

    /// Says what is waited for; `left` is whether the message has left: `yes`, `perhaps` or `not_yet`.
    fn prompt(&self, sent: &Sent, left: &'static str) -> Value {
        let to = self.of.masked(self.address.expose());
        let mut shown = json!({
            "channel": self.of.descriptor.channel.code(),
            "to": to,
            "sent": left,
            "expires_at": sent.expires_at.unix_seconds(),
        });
        let Some(fields) = shown.as_object_mut() else { return shown };
        match &sent.secret {
            Secret::Code(_) => {
                fields.insert("form".to_owned(), json!("code"));
                fields.insert("digits".to_owned(), json!(self.settings.digits));
            }
            // The page that waits shows them.
            Secret::Link { digits, .. } => {
                fields.insert("form".to_owned(), json!("link"));
                fields.insert("match".to_owned(), json!(digits.expose_secret()));
            }
        }
        shown
    }

    fn hash(&self, generation: u32, code: &str) -> Result<KeyedHash, ProviderError> {
        let address = self.address.expose().as_bytes();
        self.cx.keyed_hash(&[b"code", address, &generation.to_be_bytes(), code.as_bytes()])
    }

    fn is_code(&self, hash: &KeyedHash, generation: u32, code: &str) -> Result<bool, ProviderError> {
        let address = self.address.expose().as_bytes();
        self.cx.is_keyed_hash(hash, &[b"code", address, &generation.to_be_bytes(), code.as_bytes()])
    }
}

impl Delivered {
    fn masked(&self, address: &str) -> String {
        match self.medium {
            Medium::Sms => Phone::parse(address, None).map(|phone| phone.masked()).unwrap_or_default(),
            _ => Email::parse(address).map(|email| email.masked()).unwrap_or_default(),
        }
    }
}

/// Draws a code of `digits` digits. Of 128 bits over at most 10^8 codes, no code is likelier than another by more than
/// one part in 2^100.
fn draw_code(cx: &mut Cx<'_>, digits: u8) -> Result<SecretText, ProviderError> {
    let codes = 10_u128.checked_pow(u32::from(digits)).unwrap_or(u128::MAX);
    let code = u128::from_be_bytes(cx.entropy.take()?).checked_rem(codes).unwrap_or_default();
    Ok(SecretText::new(format!("{code:0width$}", width = usize::from(digits))))
}

fn draw_digits(cx: &mut Cx<'_>) -> Result<SecretText, ProviderError> {
    let number = u64::from_be_bytes(cx.entropy.take()?).checked_rem(100).unwrap_or_default();
    Ok(SecretText::new(format!("{number:02}")))
}
