//! Notices: what a user is told, over the contacts the host verified, of what happened to their account.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! notices {
    ($( $(#[$doc:meta])* $variant:ident = $number:literal, $code:literal, $subject:literal, $text:literal; )*) => {
        /// What a notice is about. Written in the commit of what it tells, sent afterwards, once an hour and kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum NoticeKind {
            $( $(#[$doc])* $variant, )*
        }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// Returns the stable name, as in `method_added`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// Returns the subject of the message.
            #[must_use]
            pub const fn subject(self) -> &'static str {
                match self { $( Self::$variant => $subject, )* }
            }

            /// Returns the text of the message: fixed, without a name, a link or anything that somebody typed, and
            /// with what to do if it was not the user (SP 800-63B-4 §4.6).
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $( Self::$variant => concat!(
                        $text,
                        "\n\nIf this was not you, sign in on the site's own address, change your password, and \
                         tell the site's support. Nobody will ask you for a code by reply."
                    ), )*
                }
            }

            pub(crate) const fn number(self) -> u8 {
                match self { $( Self::$variant => $number, )* }
            }
        }
    };
}

notices! {
    /// A method was added.
    MethodAdded = 1, "method_added", "A sign-in method was added",
        "A new sign-in method was added to your account.";
    /// A method was removed.
    MethodRemoved = 2, "method_removed", "A sign-in method was removed",
        "A sign-in method was removed from your account.";
    /// Too many failures: answers are refused for a while, or a method was disabled.
    Locked = 3, "locked", "Sign-in was locked",
        "Too many wrong codes were given for your account, and codes are refused for a while. Whoever gave them knew \
         your password.";
    /// A recovery code or key was used.
    RecoveryUsed = 4, "recovery_used", "A recovery code was used",
        "A recovery code was used to sign in to your account. It cannot be used again.";
    /// New recovery codes or a new key were issued.
    RecoveryIssued = 5, "recovery_issued", "New recovery codes were issued",
        "New recovery codes were issued for your account. The ones before do not work any more.";
    /// A code that was used before was given again.
    ReplaySeen = 6, "replay_seen", "A used code was given again",
        "A code that had been used already was given again to sign in to your account. Somebody may have seen it.";
    /// The password was right and the second step was not.
    WrongSecondStep = 7, "wrong_second_step", "A sign-in failed at its second step",
        "Somebody gave the right password for your account and failed at the second step.";
    /// The second factor was given up.
    Disabled = 8, "disabled", "The second step was turned off",
        "The second step of signing in was turned off for your account.";
    /// Somebody with the right to do so took every method away.
    Reset = 9, "reset", "Your sign-in methods were reset",
        "An administrator removed every sign-in method from your account, so that you can set up new ones.";
    /// Somebody with the right to do so issued a code that lets in once.
    BypassIssued = 10, "bypass_issued", "A one-time sign-in code was issued",
        "An administrator issued a code that lets you sign in once without your usual method.";
    /// Somebody with the right to do so lifted a lock.
    Unlocked = 11, "unlocked", "Sign-in was unlocked",
        "Codes are accepted for your account again.";
    /// The user reported a sign-in that was not theirs.
    FraudReported = 12, "fraud_reported", "A sign-in was reported",
        "A sign-in to your account was reported as not being yours, and was refused.";
    /// The user was let in without a second step, because its provider could not be reached.
    LetIn = 15, "let_in", "A sign-in went without its second step",
        "Somebody gave the right password for your account and was let in without the second step, because the \
         service that does it could not be reached.";
    /// A device is trusted from now on.
    DeviceTrusted = 16, "device_trusted", "A device is trusted",
        "A device was trusted for your account: signing in from it is not asked for a second step.";
    /// A token of a device was given that had been replaced.
    DeviceReused = 17, "device_reused", "A trusted device may have been copied",
        "Somebody gave the right password for your account and showed an older copy of what one of your trusted devices \
         keeps. Either it was copied, or an answer to that device was lost. The device is not trusted any more.";
    /// Somebody with the right to do so exempted programs of the user.
    Exempted = 20, "exempted", "Programs were exempted from the second step",
        "An administrator let programs sign in to your account without a second step.";
    /// Everything that was kept of the user was deleted.
    Forgotten = 14, "forgotten", "Your sign-in methods were deleted",
        "Everything that was kept for the second step of signing in to your account was deleted, your methods with it.";
    /// The recovery codes do not work any more.
    RecoveryVoid = 13, "recovery_void", "Your recovery codes must be issued anew",
        "Your recovery codes do not work any more. Sign in and have new ones issued.";
}

impl NoticeKind {
    /// Returns whether it tells of what somebody tried, not of a change: whoever has the password can bring that about
    /// again and again.
    pub(crate) const fn is_of_an_attempt(self) -> bool {
        matches!(
            self,
            Self::Locked
                | Self::ReplaySeen
                | Self::WrongSecondStep
                | Self::FraudReported
                | Self::DeviceReused
        )
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
