//! Which numbers take text messages.

use core::fmt;
use std::sync::Arc;

use mfa_core::{Channel, Contact};

use super::Unusable;
use crate::address::{LineType, Phone, Region};

/// The host's knowledge of lines.
type LineTypes = dyn Fn(&Phone) -> LineType + Send + Sync;

/// Which numbers are sent text messages: those of allowed regions that end at a mobile phone (security rule S20).
/// The list of regions is empty until the host fills it, so that nobody can have messages sent to expensive places.
///
/// ```
/// use mfa_otp_delivery::address::{LineType, Phone, Region};
/// use mfa_otp_delivery::select::{SmsRules, Unusable};
///
/// let american = Phone::parse("+1 202 555 0100", None)?;
/// assert_eq!(SmsRules::none().check(&american), Err(Unusable::RegionNotAllowed));
/// let rules = SmsRules::allowing([Region::parse("US")?]);
/// assert_eq!(rules.check(&american), Ok(()));
///
/// // The host looked the number up before: it belongs to an Internet service.
/// let rules = rules.with_line_types(|_| LineType::Voip);
/// assert_eq!(rules.check(&american), Err(Unusable::NotMobile));
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone)]
pub struct SmsRules {
    regions: Vec<Region>,
    line_types: Option<Arc<LineTypes>>,
}

impl SmsRules {
    /// No number at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { regions: Vec::new(), line_types: None }
    }

    /// Mobile numbers of these regions.
    #[must_use]
    pub fn allowing(regions: impl IntoIterator<Item = Region>) -> Self {
        let mut regions: Vec<_> = regions.into_iter().collect();
        regions.sort_unstable();
        regions.dedup();
        Self { regions, line_types: None }
    }

    /// Asks the host what is at the end of a line, for numbers of allowed regions. It is called while a message is
    /// being addressed and must not wait: a table, or the memory of an earlier look-up.
    ///
    /// Its word replaces the numbering plan's, but [`LineType::Unknown`] leaves that as it is, and nothing makes a
    /// [`LineType::Premium`] number a mobile phone.
    #[must_use]
    pub fn with_line_types(
        mut self,
        line_types: impl Fn(&Phone) -> LineType + Send + Sync + 'static,
    ) -> Self {
        self.line_types = Some(Arc::new(line_types));
        self
    }

    /// Returns whether a contact is a number that may be sent a text message: what the provider `sms` asks of each that
    /// it sends a code to, and the rule for [`EngineBuilder::notices_by_phone`](mfa_core::EngineBuilder::notices_by_phone).
    ///
    /// ```
    /// use mfa_core::{Contact, EngineBuilder};
    /// use mfa_otp_delivery::select::SmsRules;
    /// fn with_text_notices(builder: EngineBuilder, numbers: SmsRules) -> EngineBuilder {
    ///     builder.notices_by_phone(move |contact| numbers.allows(contact))
    /// }
    ///
    /// let contact = Contact::phone("+12025550100")?;
    /// assert!(!SmsRules::none().allows(&contact));
    /// # Ok::<(), mfa_core::FieldError>(())
    /// ```
    #[must_use]
    pub fn allows(&self, contact: &Contact) -> bool {
        self.number(contact).is_some()
    }

    /// Returns the number behind a contact that may be sent text messages.
    pub(crate) fn number(&self, contact: &Contact) -> Option<Phone> {
        if contact.channel() != Channel::Phone {
            return None;
        }
        let phone = Phone::parse(contact.address().expose_secret(), None).ok()?;
        self.check(&phone).is_ok().then_some(phone)
    }

    /// Returns whether `phone` may be sent a text message.
    ///
    /// # Errors
    /// [`Unusable::RegionNotAllowed`] and [`Unusable::NotMobile`].
    pub fn check(&self, phone: &Phone) -> Result<(), Unusable> {
        let allowed = phone.region().is_some_and(|region| self.regions.binary_search(&region).is_ok());
        if !allowed {
            return Err(Unusable::RegionNotAllowed);
        }
        let line = match (phone.line(), &self.line_types) {
            (LineType::Premium, _) => LineType::Premium,
            (by_plan, Some(line_types)) => match line_types(phone) {
                LineType::Unknown => by_plan,
                known => known,
            },
            (by_plan, None) => by_plan,
        };
        match line {
            LineType::Mobile | LineType::FixedOrMobile => Ok(()),
            LineType::FixedLine | LineType::Voip | LineType::Premium | LineType::Unknown => {
                Err(Unusable::NotMobile)
            }
        }
    }
}

impl fmt::Debug for SmsRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { regions, line_types } = self;
        f.debug_struct("SmsRules")
            .field("regions", regions)
            .field("line_types", &line_types.is_some())
            .finish()
    }
}
