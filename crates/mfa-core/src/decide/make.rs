//! Making a challenge: its reference, its provider's first step, its record.

use audit_model::Timestamp;
use serde_json::Value;

use super::begin::Beginning;
use super::survey::Survey;
use super::{message, notice};
use crate::driver::Read;
use crate::keyed::Keyed;
use crate::keyring::Sealed;
use crate::machine::Status;
use crate::provider::{ErasedHeld, ErasedStep, StepEvent, Then};
use crate::record::challenge::{Challenge, FirstFactorRecord, Intended, PendingEffect};
use crate::record::login::{Enrolment, Login as LoginRecord};
use crate::record::vault::{Place, Vault};
use crate::reference::{Claims, Handle, session_hash};
use crate::{
    ChallengeId, Change, Charge, Choice, Cx, Draw, Effect, EnrolmentId, Error, Policy, Purpose, Reason,
    Reference, SecretBytes,
};

impl Beginning<'_> {
    pub(super) fn reference(&self, draw: &mut Draw) -> Result<(Claims, Reference), Error> {
        // Named after the commit that begins it.
        let secrets = (*ChallengeId::from_random(draw.version()?).as_bytes(), draw.take()?);
        let module = Some(&self.login.module);
        let mut claims =
            Claims::new(&self.rules.ring, Handle::Challenge, &self.login.subject, module, secrets);
        let reference = claims.issue(&self.rules.ring)?;
        Ok((claims, reference))
    }

    pub(super) fn start(
        &self,
        record: &LoginRecord,
        vault: &Read<Vault>,
        survey: &Survey,
        active: EnrolmentId,
        claims: &Claims,
        draw: &mut Draw,
    ) -> Result<Started, Error> {
        let enrolment = record.enrolment(active).ok_or(Error::Unavailable("the active method"))?;
        let registered = self.rules.usable_for(enrolment).ok_or(Error::Unavailable("the active method"))?;
        let opened = survey.usable.iter().find(|(id, _)| *id == active);
        let (_, secret) = opened.ok_or(Error::Unavailable("the vault"))?;
        let opened = match (secret, vault) {
            (None, Read::Live(vault, _)) => Some(self.open_secret(vault, enrolment)?),
            (Some(_), _) | (None, _) => None,
        };
        let secret = secret.as_ref().or(opened.as_ref());
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let at = record.effective(self.now);
        let mut cx = Cx {
            now: self.now,
            at,
            account,
            user,
            label: self.login.subject.label(),
            ip: self.login.request.ip,
            began_at: self.now,
            began_from: self.login.request.ip,
            purpose: self.purpose(),
            challenge: ChallengeId::from_bytes(claims.id),
            enrolment: active,
            not_before: record.barrier,
            ends_at: at.plus(self.rules.policy.challenge_ttl()),
            settings: registered.settings(),
            entropy: draw,
            contacts: self.login.subject.contacts(),
            keyed: Some(Keyed { ring: &self.rules.ring, key: claims.key.as_str() }),
        };
        let held = ErasedHeld { state: None, enrolment: enrolment.data.as_deref(), secret };
        let step = registered.code.handle(&mut cx, &held, StepEvent::Begin(&Choice::none()))?;
        let mut started = Started::from_step(step, &self.rules.policy, cx.entropy)?;
        if started.queued {
            let held = ErasedHeld { state: started.state.as_deref(), ..held };
            let asked = registered.code.handle(&mut cx, &held, StepEvent::Queued);
            started.prompt = message::shown(asked.map(Some).map_err(Error::from))?;
        }
        Ok(started)
    }

    const fn purpose(&self) -> Purpose {
        match self.intent {
            None => Purpose::Login,
            Some(intent) => Purpose::StepUp(intent.operation()),
        }
    }

    fn open_secret(&self, vault: &Vault, enrolment: &Enrolment) -> Result<SecretBytes, Error> {
        let place = Place {
            account: self.login.subject.account(),
            user: self.login.subject.user(),
            kind: "vault",
            provider: enrolment.provider.as_str(),
            enrolment: enrolment.id,
        };
        let sealed = vault.sealed(enrolment.id).ok_or(Error::Unavailable("the vault"))?;
        Ok(place.open(&self.rules.ring, sealed)?)
    }

    /// Seals the verified contacts, so that the user can be told what happens to the challenge.
    pub(super) fn contacts(&self, claims: &Claims, draw: &mut Draw) -> Result<Option<Sealed>, Error> {
        let subject = &self.login.subject;
        let verified: Vec<_> = subject.contacts().iter().filter(|c| c.is_verified()).cloned().collect();
        if verified.is_empty() {
            return Ok(None);
        }
        let whom = (subject.account(), subject.user());
        notice::seal(self.rules, whom.0, whom.1, &claims.id, &verified, draw).map(Some)
    }

    pub(super) fn record(
        &self,
        record: &LoginRecord,
        active: EnrolmentId,
        survey: &Survey,
        claims: &Claims,
        started: &Started,
        at: Timestamp,
    ) -> Result<Challenge, Error> {
        let first = &self.login.first_factor;
        let enrolment = record.enrolment(active).ok_or(Error::Unavailable("the active method"))?;
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let ring = &self.rules.ring;
        let hash = |session| session_hash(ring, &claims.key, account, user, session);
        let sends = matches!(&started.effect, Some((_, _, Charge::Send)));
        Ok(Challenge {
            user: user.clone(),
            generation: record.generation.clone(),
            module: self.login.module.clone(),
            lineage: self.rules.lineage_kept(&self.login.subject),
            purpose: self.purpose(),
            key: claims.key.clone(),
            binder: claims.binder_hash()?,
            session: first.session.as_ref().map(hash).transpose()?,
            first_factor: FirstFactorRecord {
                kind: first.kind,
                channel: first.channel,
                at: self.now,
                ip: self.login.request.ip,
            },
            fence: record.fence,
            status: if started.effect.is_some() { Status::Created } else { Status::Sent },
            method: active,
            provider: enrolment.provider.clone(),
            offered: survey.usable.iter().map(|(id, _)| *id).collect(),
            created_at: at,
            updated_at: at,
            expires_at: at.plus(self.rules.policy.challenge_ttl()),
            attempts_left: self.rules.policy.attempts(),
            malformed: 0,
            verify_attempts: 0,
            send_attempts: u32::from(sends),
            told: 0,
            state: started.state.clone(),
            effect: started.effect.as_ref().map(|(_, id, charge)| PendingEffect {
                id: *id,
                charge: *charge,
                charged_at: at,
                failed_before: Timestamp::MIN,
                locked: false,
                notice: None,
                of_answer: false,
                own_count: false,
                deadline: message::deadline(started.queued, at, at.plus(self.rules.policy.challenge_ttl())),
                queued: started.queued,
                before: None,
            }),
            texted: started.effect.as_ref().and_then(|(effect, ..)| effect.texted(active, at)),
            proven: None,
            intent: self
                .intent
                .map(|intent| Intended { digest: intent.digest(), rank: self.login.subject.rank() }),
            contacts: None,
            fell_back: false,
            decoy: None,
            device: self.device,
            known: self.known,
            password_epoch: self.login.subject.password_epoch(),
        })
    }
}

/// What a provider wants at the beginning.
pub(super) struct Started {
    pub(super) prompt: Value,
    pub(super) state: Option<Vec<u8>>,
    pub(super) effect: Option<(Effect, [u8; 16], Charge)>,
    /// The effect is a message that leaves through the outbox.
    pub(super) queued: bool,
}

impl Started {
    fn from_step(step: ErasedStep, policy: &Policy, draw: &mut Draw) -> Result<Self, Error> {
        let state = match step.state {
            Change::Set(state) => Some(state),
            Change::Same | Change::Clear => None,
        };
        match step.then {
            Then::Prompt(prompt) | Then::Wait(prompt) => {
                Ok(Self { prompt, state, effect: None, queued: false })
            }
            Then::Run(_, Charge::Attempt) => {
                Err(Error::Unavailable("a provider that judges at the beginning"))
            }
            Then::Run(effect, charge) => {
                let queued = message::by_outbox(policy, &effect, charge).is_some();
                Ok(Self { prompt: Value::Null, state, effect: Some((effect, draw.take()?, charge)), queued })
            }
            Then::Reject(Reason::Unavailable) => Err(Error::Unavailable("the provider")),
            Then::Reveal(..) | Then::Accept(_) | Then::Reject(_) | Then::Unproven(_) => {
                Err(Error::Unavailable("a provider that neither prompts nor acts"))
            }
        }
    }
}
