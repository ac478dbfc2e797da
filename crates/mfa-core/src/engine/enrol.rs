//! The calls of an enrolment: begin and confirm.

use audit_model::{AccountId, UserId};
use tracing::Instrument;

use super::Engine;
use crate::decide::{confirm, enrol};
use crate::driver::{Records, Turn};
use crate::reference::{Claims, Handle};
use crate::request::Act;
use crate::{
    Answer, Authority, Choice, EnrolConfirm, EnrolmentStarted, Error, FieldError, ProviderName, Reason,
    Reference, Rejected, Response, Subject,
};

/// The most pending enrolments of a user, those of the last day that ended included.
const MAX_PENDING: usize = 64;

impl Engine {
    /// Begins to enrol a method for a user. The secret values are in the answer, once; nothing counts until
    /// [`Engine::enrol_confirm`]. Another begin is another enrolment: it does not show or replace this one.
    ///
    /// Two reads and one commit. Dropping the future leaves at most a pending enrolment that nobody can
    /// confirm. Whatever ends a user's open challenges ends pending enrolments too.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// host.add("bob").await;
    /// let bob = UserId::parse("bob").unwrap();
    /// let started = host.engine.enrol_begin(&acme(), &bob, &totp(), &Choice::none(), &vouched()).await?;
    /// assert!(started.revealed.get("uri").is_some());
    ///
    /// // An imported secret of 80 bits is refused.
    /// let weak = Choice::new(serde_json::json!({"secret": "JBSWY3DPEHPK3PXP"}));
    /// let refused = host.engine.enrol_begin(&acme(), &bob, &totp(), &weak, &vouched()).await;
    /// assert_eq!(refused.unwrap_err().code(), "weak_secret");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownUser`]; [`Error::Invalid`] for a provider that is not offered, a choice it does not
    /// take, or a user who has too many methods; an error of the store with code `unavailable`.
    pub async fn enrol_begin(
        &self,
        account: &AccountId,
        user: &UserId,
        provider: &ProviderName,
        choice: &Choice,
        authority: &Authority,
    ) -> Result<EnrolmentStarted, Error> {
        let span = tracing::info_span!(target: "mfa", "mfa.enrol");
        let begun = async {
            let subject = self.subject(account, user).await?;
            let rules = &self.inner.rules;
            let Some(method) = rules.usable(provider.as_str()) else {
                return Err(
                    FieldError::new("method", "method_not_offered", "is not offered by this policy").into()
                );
            };
            if self.pending_enrolments(subject.account(), subject.user()).await?.len() >= MAX_PENDING {
                let problem =
                    format!("has {MAX_PENDING} pending enrolments of the last day, the most there may be");
                return Err(FieldError::new("user", "too_many_pending", problem).into());
            }
            let turn = turn(&subject, enrol::begin_keys(&subject));
            let decide = |records: &Records, now, draw: &mut crate::Draw| {
                enrol::begin(rules, &subject, method, choice, authority, records, now, draw)
            };
            Ok(self.inner.driver.run(&turn, None, decide).await?.value)
        };
        let begun = begun.instrument(span).await;
        crate::observe::step("enrol_begin", begun.as_ref().map_or_else(Error::code, |_| "begun"));
        begun
    }

    /// Confirms a method with an answer that it makes. The answer cannot be used again to log in.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// host.add("bob").await;
    /// let bob = UserId::parse("bob").unwrap();
    /// let started = host.engine.enrol_begin(&acme(), &bob, &totp(), &Choice::none(), &vouched()).await?;
    /// let uri = started.revealed.get("uri").unwrap().expose_secret();
    /// let app = mfa_testkit::authenticator::SoftAuthenticator::scan(uri).unwrap();
    /// let wrong = Response::code(&app.wrong_code_at(host.now(), 2));
    /// let refused = host.engine.enrol_confirm(&started.reference, &wrong).await?;
    /// assert!(matches!(refused, EnrolConfirm::Rejected(Rejected { reason: Reason::WrongCode, .. })));
    ///
    /// let right = Response::code(&app.code_at(host.now()));
    /// let confirmed = host.engine.enrol_confirm(&started.reference, &right).await?;
    /// assert!(matches!(confirmed, EnrolConfirm::Confirmed(id) if id == started.id));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if `response` is not an answer, or if the user has this very secret or too many
    /// methods already; [`Error::UnknownUser`]; errors with code `unavailable`, after which the
    /// method may or may not be confirmed: ask [`Engine::methods`].
    pub async fn enrol_confirm(
        &self,
        reference: &Reference,
        response: &Response,
    ) -> Result<EnrolConfirm, Error> {
        let span = tracing::info_span!(target: "mfa", "mfa.enrol");
        let confirmed = async {
            let answer: &Answer = match &response.act {
                Act::Answer(answer) => answer,
                Act::Start(_) | Act::Poll => {
                    return Err(
                        FieldError::new("response", "type", "must be an answer, such as a code").into()
                    );
                }
            };
            let Some(claims) = Claims::read(self.ring(), reference, Handle::Enrolment) else {
                let rejected = Rejected { reason: Reason::NotFound, attempts_left: 0, retry_after: None };
                return Ok(EnrolConfirm::Rejected(rejected));
            };
            let account = claims.account()?.clone();
            let subject = self.subject(&account, &claims.user).await?;
            let turn = Turn { account, user: claims.user.clone(), keys: confirm::keys(&claims)? };
            let rules = &self.inner.rules;
            let decide = |records: &Records, now, draw: &mut crate::Draw| {
                confirm::confirm(rules, &claims, &subject, (answer, &response.request), records, now, draw)
            };
            Ok(self.inner.driver.run(&turn, None, decide).await?.value)
        };
        let confirmed: Result<_, Error> = confirmed.instrument(span).await;
        let outcome = match &confirmed {
            Ok(EnrolConfirm::Confirmed(_)) => "confirmed",
            Ok(EnrolConfirm::Rejected(rejected)) => rejected.reason.code(),
            Err(error) => error.code(),
        };
        crate::observe::step("enrol_confirm", outcome);
        confirmed
    }

    /// Asks the directory for the user that somebody named, and goes on with the directory's own ids.
    pub(super) async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Subject, Error> {
        self.inner.directory.subject(account, user).await?.ok_or(Error::UnknownUser)
    }
}

pub(super) fn turn(subject: &Subject, keys: Vec<crate::Key>) -> Turn {
    Turn { account: subject.account().clone(), user: subject.user().clone(), keys }
}
