//! What an administrator does for a user who is locked out: unlock, bypass, invite.

use core::time::Duration;

use audit_model::{Kind, Timestamp};

use super::manage::{Changing, Managed};
use crate::driver::Decision;
use crate::permission::Right;
use crate::plan::Plan;
use crate::record::login::{Bound, Enrolment, Login};
use crate::record::proof::{Held, INVITATION_ID, INVITATION_LIFE, Invitation};
use crate::record::vault::Place;
use crate::record::{INVITATION, LOGIN, user_key, users_key};
use crate::reference::{Claims, Handle};
use crate::{
    EnrolmentId, Error, Expect, FieldError, Forbidden, Intent, IssuedBypass, IssuedInvitation, NoticeKind,
    ProviderName, bypass,
};

/// How long a bypass code may be good.
const LONGEST_BYPASS: Duration = Duration::from_secs(24 * 3600);

impl Changing<'_> {
    /// Clears the consecutive failures of every method, the stop included, and the count of pushes. The counts of a
    /// day and a month stay.
    pub(crate) fn unlock(&mut self) -> Managed<()> {
        let intent = Intent::unlock(self.subject);
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let event = allowed.describe(self.event(Kind::UserUnlocked));
        let Some((mut login, version)) = read else {
            plan.events([event]);
            return Ok(Decision { plan, value: Ok(()) });
        };
        login.enrolments.iter_mut().for_each(|enrolment| enrolment.consecutive = 0);
        login.pushes = 0;
        self.tell(&mut login, NoticeKind::Unlocked, &mut plan)?;
        self.put(&mut plan, login, version, vec![event])?;
        Ok(Decision { plan, value: Ok(()) })
    }

    /// Issues a code that lets in once, in place of one that was issued before.
    pub(crate) fn bypass(&mut self, life: Duration) -> Managed<IssuedBypass> {
        if life.is_zero() || life > LONGEST_BYPASS {
            return Err(FieldError::new("life", "clamp", "must be from one second to 24 hours").into());
        }
        let intent = Intent::bypass(self.subject);
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let (mut login, version) = read.ok_or_else(nothing_to_bypass)?;
        let at = login.effective(self.now);
        if login.generation != self.subject.generation() || !self.rules.has_method(&login, at) {
            return Err(nothing_to_bypass());
        }
        let (mut vault, expect) = self.vault()?;
        for old in login.enrolments.iter().filter(|e| e.provider == bypass::NAME) {
            vault.remove(old.id);
        }
        login.enrolments.retain(|e| e.provider != bypass::NAME);
        let id = EnrolmentId::from_random(self.draw.take()?);
        let expires_at = at.plus(life);
        let issued = bypass::issue(self.draw, expires_at)?;
        let place = Place {
            account: self.subject.account(),
            user: self.subject.user(),
            kind: "vault",
            provider: bypass::NAME,
            enrolment: id,
        };
        vault.set(id, place.seal(&self.rules.ring, self.draw.take()?, &issued.secret)?);
        self.put_vault(&mut plan, &vault, expect)?;
        login.enrolments.push(Enrolment {
            id,
            provider: ProviderName::parse(bypass::NAME)
                .map_err(|_| Error::Unavailable("a provider's name"))?,
            consecutive: 0,
            failed_at: Timestamp::MIN,
            created_at: at,
            data: Some(issued.data),
            bound: Bound::Administrator,
            configuration: None,
        });
        let until = expires_at.to_string();
        let event = allowed.describe(self.event(Kind::BypassIssued)).field("until", until);
        self.tell(&mut login, NoticeKind::BypassIssued, &mut plan)?;
        self.put(&mut plan, login, version, vec![event])?;
        Ok(Decision { plan, value: Ok(IssuedBypass { code: issued.code, expires_at }) })
    }

    /// Invites a user without a method to enrol a first one.
    pub(crate) fn invite(&mut self, provider: &ProviderName) -> Managed<IssuedInvitation> {
        let intent = Intent::add_method(self.subject, provider);
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) if matches!(allowed.right, Right::Host | Right::Administrator) => allowed,
            // Nobody invites themselves: whoever has no more than the password could, while it asks for none.
            Ok(_) => return Ok(self.refused(&intent, Forbidden::NotPermitted)),
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let ring = &self.rules.ring;
        // A user has one invitation: another takes its place.
        let secrets = (INVITATION_ID, self.draw.take()?);
        let mut claims = Claims::new(ring, Handle::Invitation, self.subject, None, secrets);
        let invitation = crate::Invitation(claims.issue_text(ring)?);
        let at = read.as_ref().map_or(self.now, |(login, _)| login.effective(self.now));
        let expires_at = at.plus(INVITATION_LIFE);
        let held = Held {
            generation: self.subject.generation().to_owned(),
            fence: None,
            key: claims.key.clone(),
            binder: claims.binder_hash()?,
            session: None,
            made_at: at,
            expires_at,
        };
        let key = users_key(self.subject.account(), INVITATION, self.subject.user(), &claims.id);
        let actor = allowed.actor.clone().unwrap_or_default();
        let administrator = allowed.administrator.clone();
        let record = Invitation { held, actor, administrator, intent: intent.digest() };
        plan.put(key, Expect::Any, &record, Some(expires_at))?;
        let mut event = allowed.describe(self.event(Kind::UserInvited));
        if let Some((mut login, version)) = read {
            // In the user's stream, where they have one.
            event = login.take_stream(1).fold(event, audit_model::EventBuilder::stream);
            let key = user_key(self.subject.account(), LOGIN, self.subject.user());
            plan.put::<Login>(key, Expect::Version(version), &login, None)?;
        }
        plan.events([event]);
        Ok(Decision { plan, value: Ok(IssuedInvitation { invitation, expires_at }) })
    }
}

fn nothing_to_bypass() -> Error {
    let problem = "has no second factor, so that there is nothing to bypass; invite the user to enrol one";
    FieldError::new("user", "no_method", problem).into()
}
