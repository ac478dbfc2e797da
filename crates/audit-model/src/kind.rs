//! The table of event kinds: each one's name, when it is written and the fields it may carry.

use core::fmt;
use core::str::FromStr;

use crate::AuditError;

macro_rules! kinds {
    ($( $variant:ident = $number:literal, $code:literal, $when:literal, [$($field:literal),*]; )*) => {
        /// What an event says happened. The table is the one place where kinds are named.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $( #[doc = $when] $variant, )*
        }

        impl Kind {
            /// Every kind, in the table's order.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// Returns the row of the table for this kind.
            #[must_use]
            pub const fn info(self) -> KindInfo {
                match self {
                    $( Self::$variant => KindInfo { code: $code, when: $when, fields: &[$($field),*] }, )*
                }
            }

            pub(crate) const fn number(self) -> u16 {
                match self { $( Self::$variant => $number, )* }
            }

            pub(crate) const fn from_number(number: u16) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )* _ => None }
            }
        }
    };
}

kinds! {
    EngineOpened = 1, "engine_opened", "An engine was built on this store.", ["preset", "dangers", "clock", "entropy", "ring", "unregistered"];
    ChallengeBegun = 2, "challenge_begun", "A login passed its first factor, or a change needs a proof, and a second step was asked for.", ["method", "first_factor", "purpose", "device"];
    LoginNotRequired = 3, "login_not_required", "A login passed its first factor and nothing more was asked for.", ["first_factor", "device", "exemption"];
    LoginDenied = 4, "login_denied", "A login passed its first factor and was refused before a second step.", ["first_factor"];
    EnrolmentRequired = 5, "enrolment_required", "A login passed its first factor and must enrol a method first.", ["first_factor"];
    AnswerAccepted = 6, "answer_accepted", "An answer was right and completed its challenge.", ["method", "amr", "aal"];
    AnswerRejected = 7, "answer_rejected", "An answer was refused; the reason says why. Of a challenge that was over before it was reported, `status` says how it ended.", ["method", "attempts_left", "status"];
    ChallengeVerified = 8, "challenge_verified", "A challenge was completed elsewhere and waits to be claimed.", ["method"];
    ChallengeClaimed = 9, "challenge_claimed", "The grant of a verified challenge was handed out.", ["method", "amr", "aal"];
    ChallengeEnded = 10, "challenge_ended", "A challenge reached a terminal state without success.", ["status", "method"];
    ChallengeSwitched = 11, "challenge_switched", "A challenge was moved to another method.", ["from", "method"];
    EffectCharged = 12, "effect_charged", "An effect that spends something was charged and is about to run; `prefix` has the first digits, four at most, of the number that a message goes to.", ["method", "enrolment", "effect", "charge", "prefix"];
    EffectDropped = 13, "effect_dropped", "A result came for an effect that is no longer awaited, or a message that waited in the outbox is not sent for that reason.", ["method", "effect"];
    Fallback = 14, "fallback", "A message could not be delivered and the next channel was taken.", ["from", "method"];
    EnrolmentBegun = 15, "enrolment_begun", "A method is being enrolled and waits for its confirmation.", ["method", "enrolment", "authority"];
    EnrolmentConfirmed = 16, "enrolment_confirmed", "A method was confirmed and counts from now on.", ["method", "enrolment", "authority"];
    EnrolmentRejected = 17, "enrolment_rejected", "The confirmation of a method was refused.", ["method", "enrolment"];
    EnrolmentRemoved = 18, "enrolment_removed", "A method was removed.", ["method", "enrolment", "authority"];
    EnrolmentStopped = 19, "enrolment_stopped", "A method was disabled after too many consecutive failures and must be bound anew.", ["method", "enrolment", "failures"];
    MethodPreferred = 20, "method_preferred", "The preferred method was changed.", ["method", "enrolment", "authority"];
    UserLocked = 21, "user_locked", "Too many failures: answers are refused for a while.", ["method", "enrolment", "until"];
    UserRevoked = 22, "user_revoked", "Every open challenge of a user was ended.", ["authority"];
    UserForgotten = 23, "user_forgotten", "A user's records were deleted and the personal values of their events erased.", ["authority"];
    ClockSteppedBack = 24, "clock_stepped_back", "A node's clock was found behind the latest time this user was judged at.", ["by_seconds"];
    RecordRefused = 25, "record_refused", "A stored record could not be read or authenticated and was not trusted.", ["record", "problem"];
    EffectRefunded = 27, "effect_refunded", "An effect provably never started and its charge was given back; `limit` says whose messages of the day were used up, `destination` or `account`, where that is why.", ["method", "limit"];
    ProofIssued = 28, "proof_issued", "A step-up was completed and its proof handed out.", ["method", "operation", "aal"];
    ProofSpent = 29, "proof_spent", "A proof was spent in its own account for a change in another one.", ["operation", "account"];
    ChangeRefused = 30, "change_refused", "A change was refused: whoever asked may not make it, or must prove more.", ["operation"];
    MfaDisabled = 31, "mfa_disabled", "A user gave up the second factor: every method was removed.", ["methods", "authority"];
    UserReset = 32, "user_reset", "Every method was taken from a user.", ["methods", "exemptions", "authority"];
    UserUnlocked = 33, "user_unlocked", "The delays and stops of a user's methods were lifted.", ["authority", "method"];
    UnlockRejected = 34, "unlock_rejected", "Codes that were given to lift a delay were refused.", ["method"];
    BypassIssued = 35, "bypass_issued", "A code was issued that lets a user in once.", ["until", "authority"];
    UserInvited = 36, "user_invited", "A user was invited to enrol a first method.", ["authority"];
    RecoveryIssued = 37, "recovery_issued", "A recovery set was issued; the one before is void.", ["method", "enrolment", "authority"];
    RecoveryShown = 38, "recovery_shown", "A recovery set was shown and waits to be acknowledged with the method it came with.", ["method", "enrolment"];
    NoticeSent = 39, "notice_sent", "A notice was handed to its transports; `barred` says of how many numbers the host's rule lets none go.", ["notice", "contacts", "barred"];
    NoticeGivenUp = 40, "notice_given_up", "A notice could not be delivered and is not tried any more; `limit` says whose messages of the day were used up, `destination` or `account`, where that is why.", ["notice", "contacts", "barred", "limit"];
    KeyActivated = 41, "key_activated", "Another key of the ring writes from now on.", ["key"];
    KeyRetired = 42, "key_retired", "A key without references was taken from the ring.", ["key"];
    RecordsResealed = 43, "records_resealed", "Records were moved to the active key.", ["key", "records"];
    BackupRestored = 44, "backup_restored", "A backup came back: open challenges and proofs ended, and codes from before are refused.", ["users", "authority"];
    RecoveryVoided = 45, "recovery_voided", "A recovery set was disabled until it is issued anew.", ["enrolment"];
    DecoyBegun = 46, "decoy_begun", "A second step was shown to somebody who is no user, or gave a wrong first factor.", [];
    DecoyAnswered = 47, "decoy_answered", "Something was done with a second step that nobody is behind; `step` is the kind of event it would have been.", ["step"];
    ChallengeFellBack = 48, "challenge_fell_back", "A message was refused for good, and the challenge went on with another method.", ["method", "from"];
    EventsDropped = 49, "events_dropped", "Events older than their time to be kept were dropped; what proves the rest stayed.", ["before", "events"];
    ApiKeyCreated = 60, "api_key_created", "An account got an API key.", ["authority", "kept"];
    ApiKeyReset = 61, "api_key_reset", "An account got another API key; the one before is dead.", ["authority", "kept"];
    ApiKeyShown = 62, "api_key_shown", "An account's API key was shown.", ["authority"];
    ApiKeyRemoved = 63, "api_key_removed", "An account's API key was removed.", ["authority"];
    ApiKeyVoided = 64, "api_key_voided", "An account's API key was voided until another is issued, because a backup came back.", [];
    ApiKeyAccepted = 65, "api_key_accepted", "An API key was right.", [];
    ApiKeyRejected = 66, "api_key_rejected", "An API key was refused: written once a minute for an account whose key it was, and once for all others.", [];
    SettingsChanged = 70, "settings_changed", "The settings of an account's modules, or the system's, were written or deleted.", ["change", "paths", "replaced", "authority"];
    PolicyChanged = 71, "policy_changed", "The policy of an account, or the system's, was written or deleted.", ["change", "paths", "replaced", "authority"];
    ConfigurationCreated = 72, "configuration_created", "A provider configuration of an account, or of the system, was made.", ["configuration", "provider", "paths", "authority"];
    ConfigurationChanged = 73, "configuration_changed", "A provider configuration was changed; the values are never told.", ["configuration", "provider", "change", "paths", "authority"];
    ConfigurationDeleted = 74, "configuration_deleted", "A provider configuration was deleted.", ["configuration", "provider", "authority"];
    ConfigurationShown = 75, "configuration_shown", "A provider configuration was shown with its settings.", ["configuration", "provider", "authority"];
    ConfigurationsCleared = 76, "configurations_cleared", "Every provider configuration of an account, or of the system, was deleted.", ["configurations", "authority"];
    AccountForgotten = 77, "account_forgotten", "What was kept of an account and its users was deleted, and the personal values of its events erased.", ["authority", "users"];
    DeviceTrusted = 80, "device_trusted", "A device is trusted from now on, perhaps in place of another.", ["device", "replaced"];
    DeviceKept = 81, "device_kept", "A device is known from now on, perhaps in place of another.", ["device", "replaced"];
    DeviceRevoked = 82, "device_revoked", "A device, or every one, is not trusted any more.", ["device", "authority"];
    DeviceBanned = 83, "device_banned", "A device can never be trusted again.", ["device", "authority"];
    DeviceReused = 84, "device_reused", "A token of a trusted device was given that had been replaced: the device is forgotten.", ["device"];
    ExemptionGranted = 90, "exemption_granted", "Logins of a user's programs are exempt from the second step; `why` is the reason.", ["exemption", "first_factor", "networks", "why", "until", "authority"];
    ExemptionEnded = 91, "exemption_ended", "An exemption, or all of a user's, was ended before its time.", ["exemption", "authority"];
    MessageSent = 92, "message_sent", "A message of a challenge had waited in the outbox, and its transport accepted it.", ["method"];
    MessageGivenUp = 93, "message_given_up", "A message of a challenge had waited in the outbox, and was refused or tried too often.", ["method"];
    TokenCreated = 26, "token_created", "The host turned a grant into its own session token.", [];
}

/// One row of the table of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindInfo {
    /// The stable name used on every wire.
    pub code: &'static str,
    /// When an event of this kind is written, in words.
    pub when: &'static str,
    /// The fields it may carry besides the common ones.
    pub fields: &'static [&'static str],
}

impl Kind {
    /// Returns the stable name used on every wire, as in `answer_rejected`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.info().code
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Kind {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        Self::ALL.iter().copied().find(|kind| kind.code() == text).ok_or_else(|| AuditError::Invalid {
            field: "kind",
            problem: "is not the name of an event kind".to_owned(),
        })
    }
}

/// How the thing that an event speaks of ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done or accepted; `success` on the wires.
    Success,
    /// It was refused or failed; `failed` on the wires.
    Failure,
    /// Neither: something was begun or noted; `info` on the wires.
    Info,
}

impl Outcome {
    /// Returns the stable name used on every wire: `success`, `failed` or `info`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failed",
            Self::Info => "info",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Success => 1,
            Self::Failure => 2,
            Self::Info => 3,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Success),
            2 => Some(Self::Failure),
            3 => Some(Self::Info),
            _ => None,
        }
    }
}

impl FromStr for Outcome {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        [Self::Success, Self::Failure, Self::Info].into_iter().find(|o| o.code() == text).ok_or_else(|| {
            AuditError::Invalid { field: "status", problem: "must be success, failed or info".to_owned() }
        })
    }
}
