//! By whose right a change is made: the host's word, a proof, a ticket, a first factor.

use crate::{FirstFactor, SecretText};

/// Defines secret text that is handed out once.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub(crate) $crate::SecretText);

        impl $name {
            /// Takes the text that `expose_secret` gave. Nothing is checked here: any other text is answered like
            /// one that is unknown.
            #[must_use]
            pub fn from_text(text: impl Into<String>) -> Self {
                Self($crate::SecretText::new(text))
            }

            /// Returns the text.
            #[must_use]
            pub fn expose_secret(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}
pub(crate) use handle;

handle! {
    /// The single result of a step-up challenge: good once, within five minutes, for the one change and in the
    /// one session it was made for.
    ///
    /// Its text may travel through the host's session, nowhere else. It is spent in the commit that makes the
    /// change.
    Proof
}

handle! {
    /// What a login gets that must enrol a method first: it lets its holder, in the session that passed the
    /// first factor, begin one enrolment, and opens nothing else.
    Ticket
}

handle! {
    /// What an administrator gives a user, over a way of the host's own, so that the user may enrol a first
    /// method where the policy asks for more than a password. Good once.
    Invitation
}

/// By whose right a change is made. It is recorded in the event of the change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authority {
    /// The host's own code vouches for it: it has checked who asks, by its own rules. For code that runs
    /// without a person, and for hosts whose administrators have no account here.
    ///
    /// It skips step-up, ticket and invitation, so it is never for what a user asks for: there are
    /// [`FirstFactor`](Self::FirstFactor) and [`Ticket`](Self::Ticket) for a first method, and
    /// [`Proof`](Self::Proof) for every other change.
    HostVouched {
        /// Who asked: the host's own name for the person or program.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A proof of the user or of an administrator, made for this very change.
    Proof {
        /// The proof.
        proof: Proof,
        /// The host's session that asks, as it was given for the proof.
        session: Option<SecretText>,
        /// Why, in the words of who asks; for changes to another user.
        reason: Option<String>,
    },
    /// A ticket, with an invitation where the policy asks for one. For enrolments.
    Ticket {
        /// The ticket.
        ticket: Ticket,
        /// The host's session that asks, as the login that got the ticket gave it.
        session: Option<SecretText>,
        /// The invitation.
        invitation: Option<Invitation>,
    },
    /// A first factor alone. For the first method of a user, where the policy asks for none: the first login with it
    /// counts as AAL1.
    FirstFactor(FirstFactor),
}

impl Authority {
    /// States that the host's own code vouches for `actor`, who asks because of `reason`. Skips step-up, ticket and
    /// invitation: never for what a user asks for of their own methods.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, totp};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// let password = || FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
    /// let add = async |right: Authority| {
    ///     host.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &right).await
    /// };
    ///
    /// // Bob has an app: his password alone does not add another one, and the host's word would.
    /// let refused = add(Authority::FirstFactor(password())).await;
    /// assert_eq!(refused.unwrap_err().code(), "step_up_required");
    /// assert!(add(Authority::host_vouched("alice", "ticket 17: passport seen")).await.is_ok());
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn host_vouched(actor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::HostVouched { actor: actor.into(), reason: reason.into() }
    }

    /// Spends `proof` in the host's session `session`.
    #[must_use]
    pub fn proof(proof: Proof, session: Option<&str>) -> Self {
        Self::Proof { proof, session: session.map(SecretText::new), reason: None }
    }

    /// Spends `proof`, because of `reason`: for an administrator who changes another user.
    #[must_use]
    pub fn proof_because(proof: Proof, session: Option<&str>, reason: impl Into<String>) -> Self {
        Self::Proof { proof, session: session.map(SecretText::new), reason: Some(reason.into()) }
    }

    /// Spends `ticket` in the host's session `session`.
    #[must_use]
    pub fn ticket(ticket: Ticket, session: Option<&str>) -> Self {
        Self::Ticket { ticket, session: session.map(SecretText::new), invitation: None }
    }

    /// Spends `ticket` and `invitation` in the host's session `session`.
    #[must_use]
    pub fn invited(ticket: Ticket, session: Option<&str>, invitation: Invitation) -> Self {
        Self::Ticket { ticket, session: session.map(SecretText::new), invitation: Some(invitation) }
    }
}

/// Why a change was not made. Nothing changed, and a proof that does not fit is not spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// A proof for this very change is needed: none was given, or one that is unknown, used, too old, of another
    /// session, for another change, or weaker than the user's methods.
    #[error("a fresh proof for this very change is needed; begin a step-up for it")]
    StepUpRequired,
    /// Nobody of this right may do this.
    #[error("whoever asks may not do this")]
    NotPermitted,
    /// The policy asks every user for a method.
    #[error("the policy forbids it")]
    PolicyForbids,
    /// A first method needs an invitation under this policy.
    #[error("an invitation of an administrator is needed for a first method")]
    InvitationRequired,
    /// For a day after a recovery code was used, the user cannot do this.
    #[error("not within a day of the use of a recovery code")]
    RecoveryHold,
    /// It was done too often within a day.
    #[error("it was done too often within a day")]
    TooOften,
}

impl Forbidden {
    /// Returns the stable name: `step_up_required`, `not_permitted`, `policy_forbids`, `invitation_required`,
    /// `recovery_hold` or `too_often`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::StepUpRequired => "step_up_required",
            Self::NotPermitted => "not_permitted",
            Self::PolicyForbids => "policy_forbids",
            Self::InvitationRequired => "invitation_required",
            Self::RecoveryHold => "recovery_hold",
            Self::TooOften => "too_often",
        }
    }
}
