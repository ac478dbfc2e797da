//! The mode `auth_api`: Duo is asked how the user can be asked, the user chooses, Duo asks, and a poll tells.

use core::time::Duration;

use mfa_core::{
    Answer, AnswerKind, Charge, Choice, Effect, HttpCall, HttpFault, HttpReply, ProviderError, Purpose,
    Reason, Step, StepEvent, Then, Unproven,
};
use serde_json::{Value, json};

use super::kept::{Api, ApiStep, Asked, PasscodeKind, State};
use super::probe::{Probed, may_be_gone, probed};
use super::prompt::{again, choices, waiting};
use super::{Call, DuoStep, evidence};
use crate::auth_api::{
    Auth, AuthApi, AuthReply, AuthResult, AuthStatus, Call as ApiCall, ClockOffset, DeviceChoice, DeviceId,
    Factor, Passcode, Ping, Preauth, PreauthReply, PreauthResult, Push, Status, Txid, User, Verdict,
    VerifiedPush,
};
use crate::{ApiErrorClass, Error};

/// How long Duo may hold a reply until the user has acted.
const HELD: Duration = Duration::from_secs(25);
const PROBE: Duration = Duration::from_secs(5);
/// How often Duo is asked at most how the user can be asked, since asking is free.
const BETWEEN_PREAUTHS: Duration = Duration::from_secs(3);

type Reply<'a> = &'a Result<HttpReply, HttpFault>;

pub(super) fn handle(
    api: &AuthApi,
    call: &mut Call<'_, '_>,
    state: Option<State>,
    event: StepEvent<'_>,
) -> Result<DuoStep, ProviderError> {
    let (kept, begun) = match state {
        Some(State::Api(kept)) => (kept, true),
        _ => (Api::default(), false),
    };
    let mut asking = Asking { api, call, kept };
    match event {
        // Of a switch to the method that is active already.
        StepEvent::Begin(_) if begun => asking.preauth_again(),
        StepEvent::Begin(_) => asking.preauth(),
        StepEvent::Start(choice) if choice.is_none() => asking.show(),
        StepEvent::Start(choice) => asking.start(choice),
        StepEvent::Resend => asking.show(),
        StepEvent::Answer(answer) => asking.passcode(answer),
        StepEvent::Poll => asking.poll(),
        StepEvent::Http(reply) => asking.replied(reply),
        // What was on its way may have reached the user; its transaction is not known and no longer waited for.
        StepEvent::Interrupted => Ok(asking.ready_again("lost")),
        _ => Err(ProviderError::Inappropriate),
    }
}

struct Asking<'a, 'b, 'c> {
    api: &'a AuthApi,
    call: &'a mut Call<'b, 'c>,
    kept: Api,
}

impl Asking<'_, '_, '_> {
    fn preauth(&mut self) -> Result<DuoStep, ProviderError> {
        let Some(user) = self.user() else { return Ok(unknown()) };
        self.kept = Api { offset: self.kept.offset, asked_at: self.call.cx.now, ..Api::default() };
        let call = self.call.cx.ip.into_iter().fold(Preauth::new(user), Preauth::with_ipaddr);
        self.run(&call, Charge::Free, None)
    }

    /// Asks Duo once more how the user can be asked, unless that has only just happened: whoever has a reference can
    /// ask for it again and again.
    fn preauth_again(&mut self) -> Result<DuoStep, ProviderError> {
        let (asked_at, now) = (self.kept.asked_at, self.call.cx.now);
        if asked_at <= now && now < asked_at.plus(BETWEEN_PREAUTHS) {
            return Ok(Step::then(Then::Wait(again("wait", &self.kept.offers))));
        }
        self.preauth()
    }

    /// Shows again what there is to choose. A number is not kept: Duo gives another one.
    fn show(&mut self) -> Result<DuoStep, ProviderError> {
        if self.kept.numbered {
            return self.preauth_again();
        }
        Ok(Step::then(Then::Prompt(again("choose", &self.kept.offers))))
    }

    /// Asks the user in the way that was chosen, of those that Duo named.
    fn start(&mut self, choice: &Choice) -> Result<DuoStep, ProviderError> {
        let Some(user) = self.user() else { return Ok(unknown()) };
        let (Ok(kind), Ok(device)) = (choice.text("factor"), choice.text("device")) else {
            return Ok(self.refuse(Reason::NotOffered));
        };
        let kind = kind.unwrap_or("push");
        let offered = self.kept.offers.iter().find(|(of, id)| of == kind && device.is_none_or(|d| d == id));
        let device = offered.and_then(|(_, device)| DeviceId::parse(device).ok());
        let Some(device) = device else { return Ok(self.refuse(Reason::NotOffered)) };
        let device = DeviceChoice::Device(device);
        let (factor, asked, charge) = match kind {
            "push" => match self.push(device) {
                Some((push, asked)) => (Factor::Push(push), asked, Charge::Push),
                // The number that was shown is used or too old: another one is shown first.
                None => return self.preauth_again(),
            },
            "phone" => (Factor::Phone(device), Asked::Phone, Charge::Send),
            "sms" => (Factor::Sms(device), Asked::Sms, Charge::Send),
            _ => return Ok(self.refuse(Reason::NotOffered)),
        };
        self.kept.step = ApiStep::Asking(asked);
        let call = Auth::new(user, factor).asynchronous();
        let call = self.call.cx.ip.into_iter().fold(call, Auth::with_ipaddr);
        self.run(&call, charge, None)
    }

    /// A push asks for the number that was announced, while that is good. Where Duo wants a number there is no push
    /// without: Duo would send it, and its policy would be gone past.
    fn push(&mut self, device: DeviceChoice) -> Option<(Push, Asked)> {
        let push = Push::new(device).with_display_username(self.call.cx.label);
        let announced = self.kept.verified.take().filter(|(_, until)| self.call.cx.now < *until);
        match announced.and_then(|(txid, _)| Txid::parse(&txid).ok()) {
            Some(txid) => Some((push.verified(txid), Asked::VerifiedPush)),
            None => (!self.kept.numbered).then_some((push, Asked::Push)),
        }
    }

    fn passcode(&mut self, answer: &Answer) -> Result<DuoStep, ProviderError> {
        if answer.kind() != AnswerKind::Code {
            return Ok(self.refuse(Reason::Malformed));
        }
        let typed = answer.text().expose_secret();
        let (Some(kind), Ok(passcode)) = (kind_of(typed), Passcode::parse(typed)) else {
            return Ok(self.refuse(Reason::Malformed));
        };
        let Some(user) = self.user() else { return Ok(unknown()) };
        self.kept.step = ApiStep::Passcode(kind);
        let call = Auth::new(user, Factor::Passcode(passcode));
        let call = self.call.cx.ip.into_iter().fold(call, Auth::with_ipaddr);
        self.run(&call, Charge::Attempt, None)
    }

    /// Asks how the user has answered; before there is a choice, whether there is one now, such as for a user who
    /// has enrolled at Duo in the meantime.
    fn poll(&mut self) -> Result<DuoStep, ProviderError> {
        let txid = match &self.kept.step {
            ApiStep::Waiting(txid, _) => txid,
            ApiStep::Preauth | ApiStep::Ready if self.kept.offers.is_empty() => return self.preauth_again(),
            _ => return Ok(Step::then(Then::Wait(again("choose", &self.kept.offers)))),
        };
        let txid = Txid::parse(txid).map_err(|_| ProviderError::Inappropriate)?;
        // Nothing is kept anew: waiting writes nothing.
        let request = self.request(&AuthStatus::new(txid))?;
        Ok(Step::then(Then::Run(Effect::Http(HttpCall::new(request).within(HELD)), Charge::Free)))
    }

    fn replied(&mut self, reply: Reply<'_>) -> Result<DuoStep, ProviderError> {
        match self.kept.step.clone() {
            ApiStep::Preauth => self.preauth_replied(reply),
            ApiStep::Asking(asked) => self.auth_replied(asked, reply),
            ApiStep::Waiting(_, asked) => Ok(self.status_replied(asked, reply)),
            ApiStep::Passcode(kind) => self.passcode_replied(kind, reply),
            ApiStep::Probing(failed) => match probed(reply, failed) {
                Probed::Answers => Ok(self.refuse(Reason::Unavailable)),
                Probed::Again(failed) => self.probe(failed),
                Probed::End(then) => Ok(self.keep(then)),
            },
            ApiStep::Ready => Err(ProviderError::Inappropriate),
        }
    }

    fn preauth_replied(&mut self, reply: Reply<'_>) -> Result<DuoStep, ProviderError> {
        let Ok(answer) = reply else { return self.failed(reply) };
        let preauth = match Preauth::parse(answer) {
            Ok(preauth) => preauth,
            Err(Error::Api(error))
                if error.class() == ApiErrorClass::BadTimestamp && self.kept.offset == 0 =>
            {
                let now = self.call.cx.now;
                let offset = ClockOffset::from_date_of(answer, now).map_or(0, ClockOffset::seconds);
                if offset == 0 {
                    return Ok(self.refuse(Reason::Unavailable));
                }
                self.kept.offset = offset;
                return self.preauth();
            }
            Err(_) => return self.failed(reply),
        };
        let enrols = self.call.cx.purpose == Purpose::Enrol;
        Ok(match preauth.result {
            PreauthResult::Auth => self.choose(&preauth),
            PreauthResult::Allow => self.keep(Then::Unproven(Unproven::Bypass)),
            // With a name that an account can choose freely, whoever comes first would be that person at Duo.
            PreauthResult::Enroll if enrols && self.call.is_of_account => self.ready(json!({
                "mode": "auth_api",
                "status": "enroll",
                "enroll_portal_url": preauth.enroll_portal_url.as_ref().map(|url| url.expose_secret()),
            })),
            PreauthResult::Enroll => self.refuse(Reason::UnknownToProvider),
            PreauthResult::Deny | PreauthResult::Unknown(_) if enrols => {
                self.refuse(Reason::UnknownToProvider)
            }
            PreauthResult::Deny | PreauthResult::Unknown(_) => self.refuse(Reason::Denied),
        })
    }

    fn choose(&mut self, preauth: &PreauthReply) -> DuoStep {
        let offset = ClockOffset::from_seconds(self.kept.offset);
        let until = |push: &VerifiedPush| push.expires_at.map(|until| offset.take_back(until));
        let (prompt, offers) = choices(preauth, until);
        self.kept.offers = offers;
        self.kept.numbered = preauth.verified_push.is_some();
        self.kept.verified = preauth.verified_push.as_ref().map(|push| {
            let minute = self.call.cx.now.plus(Duration::from_secs(60));
            (push.txid.as_str().to_owned(), until(push).unwrap_or(minute))
        });
        self.ready(prompt)
    }

    fn auth_replied(&mut self, asked: Asked, reply: Reply<'_>) -> Result<DuoStep, ProviderError> {
        let Ok(answer) = reply else { return self.failed(reply) };
        Ok(match Auth::parse(answer) {
            Ok(AuthReply::Started(txid)) => {
                self.kept.step = ApiStep::Waiting(txid.as_str().to_owned(), asked);
                self.keep(Then::Wait(waiting(asked)))
            }
            // Nobody can have answered yet: a policy lets the user pass.
            Ok(AuthReply::Finished(result)) if result.granted() => {
                self.keep(Then::Unproven(Unproven::Bypass))
            }
            Ok(AuthReply::Finished(result)) => self.ended(asked, &result),
            Err(_) => return self.failed(reply),
        })
    }

    fn status_replied(&mut self, asked: Asked, reply: Reply<'_>) -> DuoStep {
        // Duo was slow, or is gone for the moment: the next poll asks again, until the challenge ends.
        match reply.as_ref().ok().map(AuthStatus::parse) {
            Some(Ok(result)) if !result.waiting() => self.ended(asked, &result),
            _ => Step::then(Then::Wait(waiting(asked))),
        }
    }

    fn ended(&mut self, asked: Asked, result: &AuthResult) -> DuoStep {
        let may_choose_again = match (&result.verdict, &result.status) {
            (Verdict::Deny, Status::Timeout) => Some("timeout"),
            (Verdict::Deny, Status::Sent) if asked == Asked::Sms => Some("sent"),
            (Verdict::Deny, Status::PushFailed) => Some("push_failed"),
            _ => None,
        };
        if let Some(status) = may_choose_again {
            return self.ready_again(status);
        }
        let accept = self.call.settings.accept_approve_only;
        let then = evidence::of_asking(result, asked, accept);
        self.keep(then.unwrap_or_else(|| Then::Wait(waiting(asked))))
    }

    fn passcode_replied(&mut self, kind: PasscodeKind, reply: Reply<'_>) -> Result<DuoStep, ProviderError> {
        let Ok(answer) = reply else { return self.failed(reply) };
        self.kept.step = ApiStep::Ready;
        match Auth::parse(answer) {
            Ok(AuthReply::Finished(result)) => Ok(self.keep(evidence::of_passcode(&result, kind))),
            Ok(_) => Ok(self.refuse(Reason::Unavailable)),
            Err(_) => self.failed(reply),
        }
    }

    /// A call about the user failed. Only where Duo may be gone is it asked whether it is there.
    fn failed(&mut self, reply: Reply<'_>) -> Result<DuoStep, ProviderError> {
        if may_be_gone(reply) { self.probe(0) } else { Ok(self.refuse(Reason::Unavailable)) }
    }

    fn probe(&mut self, failed: u8) -> Result<DuoStep, ProviderError> {
        self.kept.step = ApiStep::Probing(failed);
        self.run(&Ping::new(), Charge::Free, Some(PROBE))
    }

    fn refuse(&mut self, reason: Reason) -> DuoStep {
        if matches!(self.kept.step, ApiStep::Asking(_) | ApiStep::Passcode(_) | ApiStep::Probing(_)) {
            self.kept.step = ApiStep::Ready;
        }
        self.keep(Then::Reject(reason))
    }

    fn ready_again(&mut self, status: &str) -> DuoStep {
        let prompt = again(status, &self.kept.offers);
        self.ready(prompt)
    }

    fn ready(&mut self, prompt: Value) -> DuoStep {
        self.kept.step = ApiStep::Ready;
        self.keep(Then::Prompt(prompt))
    }

    fn keep(&mut self, then: Then) -> DuoStep {
        Step::then(then).with_state(State::Api(core::mem::take(&mut self.kept)))
    }

    fn run(
        &mut self,
        call: &impl ApiCall,
        charge: Charge,
        within: Option<Duration>,
    ) -> Result<DuoStep, ProviderError> {
        let request = HttpCall::new(self.request(call)?);
        let request = within.into_iter().fold(request, HttpCall::within);
        Ok(self.keep(Then::Run(Effect::Http(request), charge)))
    }

    fn request(&self, call: &impl ApiCall) -> Result<http::Request<Vec<u8>>, ProviderError> {
        let offset = ClockOffset::from_seconds(self.kept.offset);
        self.api.request(call, self.call.cx.now, offset).map_err(|_| ProviderError::Inappropriate)
    }

    fn user(&self) -> Option<User> {
        User::name(self.call.name).ok()
    }
}

/// Six digits of Duo Mobile, seven of a message, six or eight of a token, the 44 letters of a YubiKey; or a bypass
/// code, which has nine digits or ten. Duo's answer tells them apart no more than this.
fn kind_of(text: &str) -> Option<PasscodeKind> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.len() {
        6..=8 if digits => Some(PasscodeKind::Device),
        9..=10 if digits => Some(PasscodeKind::Bypass),
        44 if text.bytes().all(|byte| b"cbdefghijklnrtuv".contains(&byte)) => Some(PasscodeKind::Device),
        _ => None,
    }
}

fn unknown() -> DuoStep {
    Step::then(Then::Reject(Reason::UnknownToProvider))
}
