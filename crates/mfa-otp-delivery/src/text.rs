//! What messages say: a table of templates by key and language, filled with arguments that nobody outside can type.
//!
//! A text holds the site's name, a code or a link, and how long it works, and nothing else: there is no way to hand it a
//! user's name (security rules S28, S30). Every template is checked when the table is built, so that filling one cannot
//! fail.

mod argument;
mod catalogue;
mod english;
mod template;

use core::fmt;

use mfa_core::Purpose;

use crate::address::Medium;

pub use self::argument::{Code, Link, Secret, SiteName};
pub use self::catalogue::{Texts, TextsBuilder};

/// Which text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct TextKey {
    /// The way the message goes.
    pub medium: Medium,
    /// What it carries.
    pub form: Form,
    /// What it is for.
    pub occasion: Occasion,
}

impl TextKey {
    /// Makes a key.
    #[must_use]
    pub const fn new(medium: Medium, form: Form, occasion: Occasion) -> Self {
        Self { medium, form, occasion }
    }

    /// Returns every key.
    pub fn all() -> impl Iterator<Item = Self> {
        Medium::ALL.into_iter().flat_map(|medium| {
            Form::ALL.into_iter().flat_map(move |form| {
                Occasion::ALL.into_iter().map(move |occasion| Self { medium, form, occasion })
            })
        })
    }
}

impl fmt::Display for TextKey {
    /// As in `email.code.sign_in`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.medium.code(), self.form.code(), self.occasion.code())
    }
}

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A code to type.
    Code,
    /// A link to open.
    Link,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Code, Self::Link];

    /// Returns the stable name: `code` or `link`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Link => "link",
        }
    }
}

/// What a message is for. A text says so: who is asked for a code on the telephone can see what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Occasion {
    /// To sign in.
    SignIn,
    /// To show that messages arrive.
    Confirm,
    /// To change what protects the account.
    Change,
}

impl Occasion {
    /// All three.
    pub const ALL: [Self; 3] = [Self::SignIn, Self::Confirm, Self::Change];

    /// Returns the occasion of a challenge.
    #[must_use]
    pub const fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Login => Self::SignIn,
            Purpose::Enrol => Self::Confirm,
            _ => Self::Change,
        }
    }

    /// Returns the stable name, as in `sign_in`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Confirm => "confirm",
            Self::Change => "change",
        }
    }
}
