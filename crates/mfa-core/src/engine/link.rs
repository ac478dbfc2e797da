//! The calls of a secure link: open, confirm, and "this was not me".

use core::pin::pin;

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use super::Engine;
use crate::decide::judge::{Ask, Judged, refused};
use crate::decide::link::{Asked, Linked as Asking};
use crate::driver::Read;
use crate::keyring::Label;
use crate::link::{LinkAct, Linked};
use crate::observe::within;
use crate::record::challenge::Challenge;
use crate::record::challenge_key;
use crate::reference::{Claims, Handle};
use crate::{
    ChallengeId, Error, LinkConfirm, LinkOpen, LinkProof, LinkToken, LinkView, Reason, Rejected,
    RequestFacts, SecretText,
};

impl Engine {
    /// Tells what confirming a link would do. Changes nothing, however often it is called: a mail scanner that opens
    /// every link consumes none.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// // Text that no link of this engine has leads nowhere, and costs no read.
    /// let opened = host.engine.link_open(&LinkToken::from_text("made-up"), &RequestFacts::new()).await?;
    /// assert!(matches!(opened, LinkOpen::Rejected(Rejected { reason: Reason::NotFound, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// An error of the store with code `unavailable`.
    pub async fn link_open(&self, token: &LinkToken, request: &RequestFacts) -> Result<LinkOpen, Error> {
        let asked = Asked::Do(LinkAct::Open);
        let Some(linked) = Linked::read(self.ring(), token) else {
            return Ok(LinkOpen::Rejected(refused(Reason::NotFound)));
        };
        Ok(match self.linked(&linked, asked, request).await? {
            Ok(prompt) => LinkOpen::Valid(LinkView { prompt, nonce: self.nonce(&linked)? }),
            Err(rejected) => LinkOpen::Rejected(rejected),
        })
    }

    /// Confirms a link: its challenge is then verified, and whoever holds the reference can claim its grant. What
    /// `proof` must be is the provider's rule; a wrong entry of digits ends the challenge and counts as "not me".
    /// `nonce` is the one that [`Engine::link_open`] gave the page.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (token, nonce) = (LinkToken::from_text("made-up"), SecretText::new("made-up"));
    /// let confirmed = host.engine.link_confirm(&token, &nonce, &LinkProof::None, &RequestFacts::new()).await?;
    /// assert!(matches!(confirmed, LinkConfirm::Rejected(Rejected { reason: Reason::NotFound, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub async fn link_confirm(
        &self,
        token: &LinkToken,
        nonce: &SecretText,
        proof: &LinkProof,
        request: &RequestFacts,
    ) -> Result<LinkConfirm, Error> {
        let Some(linked) = Linked::read(self.ring(), token) else {
            return Ok(LinkConfirm::Rejected(refused(Reason::NotFound)));
        };
        if !self.nonce(&linked)?.ct_eq(nonce.expose_secret()) {
            return Ok(LinkConfirm::Rejected(refused(Reason::NotFound)));
        }
        let same_browser = match proof {
            LinkProof::SameBrowser(reference) => Claims::read(self.ring(), reference, Handle::Challenge)
                .is_some_and(|claims| {
                    claims.id == *linked.challenge.as_bytes() && claims.user == linked.user
                }),
            LinkProof::None | LinkProof::Digits(_) => false,
        };
        let digits = match proof {
            LinkProof::Digits(digits) => Some(digits),
            LinkProof::None | LinkProof::SameBrowser(_) => None,
        };
        let asked = Asked::Do(LinkAct::Confirm { same_browser, digits });
        Ok(match self.linked(&linked, asked, request).await? {
            Ok(shown) => LinkConfirm::Confirmed(shown),
            Err(rejected) => LinkConfirm::Rejected(rejected),
        })
    }

    /// Reports that the login a link is for was not the user's: it fails, every other open one ends, every method is
    /// delayed, and the user is told. Any link of a challenge that is open or verified is enough, not only the last.
    ///
    /// A report that comes when the challenge is over is heard for a day: it is an event, which says how the challenge
    /// ended, and the user is told, once a challenge. It delays and ends nothing. Where the event says `redeemed`,
    /// somebody was let in: end the sessions of that user.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let unknown = host.engine.link_not_me(&LinkToken::from_text("made-up"), &RequestFacts::new()).await?;
    /// assert_eq!(unknown.reason, Reason::NotFound);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub async fn link_not_me(&self, token: &LinkToken, request: &RequestFacts) -> Result<Rejected, Error> {
        let Some(linked) = Linked::read(self.ring(), token) else { return Ok(refused(Reason::NotFound)) };
        Ok(match self.linked(&linked, Asked::NotMe, request).await? {
            Ok(_) => refused(Reason::Fraud),
            Err(rejected) => rejected,
        })
    }

    async fn linked(
        &self,
        linked: &Linked,
        asked: Asked<'_>,
        request: &RequestFacts,
    ) -> Result<Result<Value, Rejected>, Error> {
        let mut claims = Claims::of_link(linked)?;
        self.complete(&mut claims).await?;
        let ask = Ask::Link(Asking { method: linked.method, secret: &linked.secret, ask: asked });
        let span = crate::observe::span!("mfa.link");
        let judged = within(&span, pin!(self.ask(&claims, request, ask))).await?.into_judged();
        match judged {
            Judged::Changed(shown) => Ok(Ok(shown)),
            Judged::Pending(_) => Ok(Err(refused(Reason::NotOffered))),
            Judged::Rejected(rejected) => Ok(Err(rejected)),
            Judged::Unjudged(why) => Err(Error::Unavailable(why)),
            _ => Err(Error::Unavailable("a link that does not end at once")),
        }
    }

    /// A link and the outbox name neither ancestors nor module: where accounts have documents, the challenge is read for
    /// them first.
    pub(super) async fn complete(&self, claims: &mut Claims) -> Result<(), Error> {
        if self.inner.rules.modules.is_empty() {
            return Ok(());
        }
        let key = challenge_key(claims.account()?, ChallengeId::from_bytes(claims.id));
        let driver = &self.inner.driver;
        let records = driver.load(core::slice::from_ref(&key), driver.runtime.now()).await?;
        if let Read::Live(challenge, _) = records.read::<Challenge>(&key) {
            claims.module = Some(challenge.module);
            if !challenge.lineage.is_empty() {
                claims.lineage = challenge.lineage;
            }
        }
        Ok(())
    }

    /// Returns what ties the form of a link's page to its token.
    fn nonce(&self, linked: &Linked) -> Result<SecretText, Error> {
        let parts: [&[u8]; 3] = [b"link form", linked.challenge.as_bytes(), linked.secret.expose_secret()];
        let mac = self.ring().mac(&linked.key, Label::MacCode, &parts)?;
        Ok(SecretText::new(BASE64URL_NOPAD.encode(&mac)))
    }
}
