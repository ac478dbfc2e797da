//! The provider: TOTP as a second factor of the engine.

use mfa_core::{
    Answer, AnswerKind, Choice, CodecError, Cx, Descriptor, FieldError, HeldOf, Provider, ProviderError,
    ProviderName, Purpose, Reason, Revealed, Step, StepEvent, StepOf, Then, Timestamp, Versioned,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::algorithm::is_well_formed;
use crate::{
    Algorithm, Background, Digits, Error, Match, OtpauthUri, Parameters, Period, TotpSecret, Window,
    matching_run, matching_step,
};

/// Bits of one six-digit code: 19.93, rounded down.
const CODE_BITS: u16 = 19;
/// How many consecutive codes lift a delay.
const UNLOCKING_CODES: usize = 3;

/// TOTP as a provider, named `totp`: enrols authenticator apps and judges their codes.
///
/// Begin of an enrolment takes a choice, all fields optional: `secret` (base32) or `uri` (otpauth) to import
/// one, `algorithm`, `digits`, `period`. It reveals `secret`, `uri`, `qr` (SVG), and `qr_text` and
/// `qr_text_light` for terminals with a dark and a light background. The prompt of a challenge has `kind` and `digits`.
///
/// ```
/// use mfa_totp::{Totp, Window};
/// let totp = Totp::new("Example")?.with_window(Window::new(1, 0)?);
/// // A colon would let the issuer pass for another one in the app.
/// assert_eq!(Totp::new("Example: Bank").unwrap_err().code(), "invalid_issuer");
/// # Ok::<(), mfa_totp::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Totp {
    issuer: String,
    parameters: Parameters,
    window: Window,
    descriptor: Descriptor,
}

impl Totp {
    /// Makes the provider for a service that authenticator apps show as `issuer`. New enrolments get what
    /// every app supports (SHA-1, 6 digits, 30 seconds); the window is one step each way.
    ///
    /// # Errors
    /// [`Error::InvalidIssuer`] for an empty or too long issuer, or one with a colon.
    pub fn new(issuer: &str) -> Result<Self, Error> {
        // The issuer is judged where it will be used, with a label that is always possible.
        OtpauthUri::new(
            issuer,
            "user",
            TotpSecret::from_entropy([1; TotpSecret::NEW_BYTES]),
            Parameters::default(),
        )?;
        let name = ProviderName::parse("totp").map_err(|_| Error::InvalidUri { reason: "provider name" })?;
        Ok(Self {
            issuer: issuer.to_owned(),
            parameters: Parameters::default(),
            window: Window::default(),
            descriptor: descriptor(name),
        })
    }

    /// Sets what new enrolments use, unless their begin chooses otherwise.
    #[must_use]
    pub const fn with_parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// Sets how far the clocks of app and verifier may differ. A window from [`Window::danger_two_back`] is
    /// among the engine's dangers.
    #[must_use]
    pub fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self.descriptor.dangers = if window.back() > 1 { vec!["danger_two_back"] } else { Vec::new() };
        self
    }

    fn begin(&self, cx: &mut Cx<'_>, choice: &Choice) -> Result<StepOf<Self>, ProviderError> {
        let (secret, parameters) = self.chosen(cx, choice)?;
        let kept = TotpKey::new(&secret, parameters);
        let uri = OtpauthUri::new(&self.issuer, cx.label, secret, parameters).map_err(|e| invalid(&e))?;
        let shown = |text: Result<crate::SecretText, Error>| text.map_err(|e| invalid(&e));
        let revealed = Revealed::new()
            .with("secret", uri.secret().to_base32())
            .with("uri", uri.to_uri())
            .with("qr", shown(uri.to_qr_svg())?)
            .with("qr_text", shown(uri.to_qr_text(Background::Dark))?)
            .with("qr_text_light", shown(uri.to_qr_text(Background::Light))?);
        Ok(Step::then(Then::Reveal(described(parameters), revealed)).with_secret(kept))
    }

    /// Returns the secret and parameters that a choice imports, or new ones.
    fn chosen(&self, cx: &mut Cx<'_>, choice: &Choice) -> Result<(TotpSecret, Parameters), ProviderError> {
        if let Some(uri) = choice.text("uri")? {
            let uri = OtpauthUri::parse(uri).map_err(|e| invalid(&e))?;
            let parameters = uri.parameters();
            return Ok((uri.into_secret(), parameters));
        }
        let parameters = self.chosen_parameters(choice)?;
        let secret = match choice.text("secret")? {
            Some(text) => TotpSecret::from_base32(text).map_err(|e| invalid(&e))?,
            None => TotpSecret::from_entropy(cx.entropy.take()?),
        };
        Ok((secret, parameters))
    }

    fn chosen_parameters(&self, choice: &Choice) -> Result<Parameters, ProviderError> {
        let algorithm = choice.text("algorithm")?;
        self.parameters_of(algorithm, choice).map_err(|error| invalid(&error))
    }

    fn parameters_of(&self, algorithm: Option<&str>, choice: &Choice) -> Result<Parameters, Error> {
        let algorithm = algorithm.map(str::parse::<Algorithm>).transpose()?;
        let number = |name: &str| choice.field(name).filter(|value| !value.is_null());
        let digits = number("digits").map(|n| n.as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or(0));
        let period = number("period").map(|n| n.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0));
        Ok(Parameters::new(
            algorithm.unwrap_or(self.parameters.algorithm),
            digits.map(Digits::new).transpose()?.unwrap_or(self.parameters.digits),
            period.map(Period::from_seconds).transpose()?.unwrap_or(self.parameters.period),
        ))
    }

    fn judge(&self, cx: &Cx<'_>, held: HeldOf<Self>, answer: &Answer) -> Result<StepOf<Self>, ProviderError> {
        if answer.kind() != AnswerKind::Code {
            return Ok(Step::then(Then::Reject(Reason::WrongCode)));
        }
        let key = held.secret.ok_or(ProviderError::Inappropriate)?;
        let parameters = key.parameters()?;
        let code = answer.text().expose_secret();
        if !is_well_formed(parameters.digits, code) {
            return Ok(Step::then(Then::Reject(Reason::Malformed)));
        }
        let secret = key.into_secret()?;
        let used = self.used(cx, held.enrolment, parameters);
        let now = cx.now.unix_seconds();
        Ok(match matching_step(&secret, parameters, self.window, now, used, code) {
            Match::Accepted(step) => {
                Step::then(Then::Accept(self.descriptor.strength())).with_enrolment(UsedStep(step))
            }
            Match::Replayed => Step::then(Then::Reject(Reason::Replayed)),
            Match::NoMatch => Step::then(Then::Reject(Reason::WrongCode)),
        })
    }
}

impl Totp {
    /// Returns the last step whose code is not accepted any more: the used one, or the last that was possible
    /// before the time from which on answers count.
    fn used(&self, cx: &Cx<'_>, used: Option<UsedStep>, parameters: Parameters) -> Option<u64> {
        let used = used.map(|UsedStep(step)| step);
        if cx.not_before == Timestamp::MIN {
            return used;
        }
        let barred = parameters.period.step_at(cx.not_before.unix_seconds());
        Some(barred.saturating_add(u64::from(self.window.ahead())).max(used.unwrap_or(0)))
    }

    /// Judges three consecutive codes as one answer.
    fn unlock(
        &self,
        cx: &Cx<'_>,
        held: HeldOf<Self>,
        codes: &[Answer],
    ) -> Result<StepOf<Self>, ProviderError> {
        let key = held.secret.ok_or(ProviderError::Inappropriate)?;
        let parameters = key.parameters()?;
        let codes: Vec<&str> = codes.iter().map(|code| code.text().expose_secret()).collect();
        if codes.len() != UNLOCKING_CODES || !codes.iter().all(|code| is_well_formed(parameters.digits, code))
        {
            return Ok(Step::then(Then::Reject(Reason::Malformed)));
        }
        let secret = key.into_secret()?;
        let used = self.used(cx, held.enrolment, parameters);
        let now = cx.now.unix_seconds();
        Ok(match matching_run(&secret, parameters, self.window, now, used, &codes) {
            Match::Accepted(step) => {
                Step::then(Then::Accept(self.descriptor.strength())).with_enrolment(UsedStep(step))
            }
            // Right once or never: nothing is told of the codes but that they are refused.
            Match::Replayed | Match::NoMatch => Step::then(Then::Reject(Reason::WrongCode)),
        })
    }
}

fn descriptor(name: ProviderName) -> Descriptor {
    let mut descriptor = Descriptor::one_time_code(name, CODE_BITS);
    descriptor.unlocks = true;
    descriptor
}

impl Provider for Totp {
    type State = ();
    type Enrolment = UsedStep;
    type Secret = TotpKey;

    fn describe(&self) -> &Descriptor {
        &self.descriptor
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        match settings {
            Value::Null => Ok(()),
            Value::Object(fields) if fields.is_empty() => Ok(()),
            _ => Err(vec![FieldError::new(
                "settings",
                "unknown_setting",
                "must be empty: totp has no settings",
            )]),
        }
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: HeldOf<Self>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        match event {
            StepEvent::Begin(choice) if cx.purpose == Purpose::Enrol => self.begin(cx, choice),
            StepEvent::Answer(answer) => self.judge(cx, held, answer),
            StepEvent::Unlock(codes) => self.unlock(cx, held, codes),
            StepEvent::Begin(_) | StepEvent::Start(_) | StepEvent::Poll | StepEvent::Resend => {
                let key = held.secret.ok_or(ProviderError::Inappropriate)?;
                Ok(Step::then(Then::Prompt(prompt(key.parameters()?.digits))))
            }
            _ => Err(ProviderError::Inappropriate),
        }
    }
}

/// The last step whose code was accepted: no code of it or of an earlier one is accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedStep(u64);

impl Versioned for UsedStep {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16;
}

/// What the engine seals of an enrolment: the secret and its parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TotpKey {
    algorithm: u8,
    digits: u8,
    period: u16,
    secret: Redacted,
}

#[derive(Clone)]
struct Redacted(Zeroizing<Vec<u8>>);

impl core::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Redacted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed, so that the one copy made is the one that is wiped.
        let bytes = <&[u8]>::deserialize(deserializer)?;
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl TotpKey {
    fn new(secret: &TotpSecret, parameters: Parameters) -> Self {
        let algorithm = match parameters.algorithm {
            Algorithm::Sha1 => 1,
            Algorithm::Sha256 => 2,
            Algorithm::Sha512 => 3,
        };
        Self {
            algorithm,
            digits: parameters.digits.get(),
            period: parameters.period.seconds(),
            secret: Redacted(Zeroizing::new(secret.expose_secret().to_vec())),
        }
    }

    fn parameters(&self) -> Result<Parameters, ProviderError> {
        let algorithm = match self.algorithm {
            1 => Algorithm::Sha1,
            2 => Algorithm::Sha256,
            3 => Algorithm::Sha512,
            _ => return Err(CodecError::Malformed.into()),
        };
        let unreadable = |_| CodecError::Malformed;
        let digits = Digits::new(self.digits).map_err(unreadable)?;
        let period = Period::from_seconds(self.period).map_err(unreadable)?;
        Ok(Parameters::new(algorithm, digits, period))
    }

    fn into_secret(self) -> Result<TotpSecret, ProviderError> {
        Ok(TotpSecret::from_zeroizing(self.secret.0).map_err(|_| CodecError::Malformed)?)
    }
}

impl Versioned for TotpKey {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 160;
}

/// What a page needs that asks for a code. Whoever has no more than the first factor is told nothing else.
fn prompt(digits: Digits) -> Value {
    json!({ "kind": "totp", "digits": digits.get() })
}

/// What a page needs that shows a new secret.
fn described(parameters: Parameters) -> Value {
    json!({
        "kind": "totp",
        "digits": parameters.digits.get(),
        "period": parameters.period.seconds(),
        "algorithm": parameters.algorithm.as_str(),
    })
}

fn invalid(error: &Error) -> ProviderError {
    ProviderError::Invalid(FieldError::new("choice", error.code(), format!("is refused: {error}")))
}
