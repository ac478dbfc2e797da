//! What a host says of the user who is logging in, and of the first factor it verified.

use core::fmt;

use audit_model::{AccountId, UserId};
use serde::{Deserialize, Serialize};

use crate::contact::MAX_CONTACTS;
use crate::{Amr, Channel, Contact, Error, Factor, FieldError, SecretText};

/// The most accounts in a lineage.
const MAX_LINEAGE: usize = 32;
/// The longest label, in bytes.
const MAX_LABEL_BYTES: usize = 256;
/// The longest generation, in bytes.
const MAX_GENERATION_BYTES: usize = 64;

/// The user, as the host's own user row has it. The host builds it after its first-factor check; the engine
/// never looks up an id that somebody typed.
///
/// ```
/// use mfa_core::{AccountId, Subject, UserId};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let subject = Subject::new(AccountId::parse("acme")?, UserId::parse("17")?)
///     .with_label("bob@acme.example")?
///     .with_generation("2024-05-01T08:00:00Z")?;
/// assert_eq!(subject.user().as_str(), "17");
/// assert_eq!(subject.clone().with_label("").unwrap_err().code, "required");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    user: UserId,
    label: String,
    generation: String,
    lineage: Vec<Ancestor>,
    /// The host has said what the lineage is, be it the account alone.
    has_lineage: bool,
    contacts: Vec<Contact>,
    rank: u8,
    password_epoch: Option<u64>,
}

/// One account of a lineage, with its marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ancestor {
    /// The account.
    pub account: AccountId,
    /// Settings are inherited up to and including the first reseller.
    pub reseller: bool,
    /// The account that owns the installation.
    pub master: bool,
}

impl Ancestor {
    /// Names an account without marks.
    #[must_use]
    pub const fn new(account: AccountId) -> Self {
        Self { account, reseller: false, master: false }
    }

    /// Sets the marks.
    #[must_use]
    pub const fn with_marks(mut self, reseller: bool, master: bool) -> Self {
        self.reseller = reseller;
        self.master = master;
        self
    }
}

impl Subject {
    /// Names a user of `account`, with its ancestors; the label is the user's id.
    ///
    /// ```
    /// use mfa_core::{Account, AccountId, Ancestor, Subject, UserId};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (branch, hq) = (AccountId::parse("branch")?, AccountId::parse("hq")?);
    /// let account =
    ///     Account::new(branch.clone()).with_lineage(vec![Ancestor::new(branch), Ancestor::new(hq)])?;
    /// let subject = Subject::of(&account, UserId::parse("17")?);
    /// assert_eq!(subject.lineage(), account.lineage());
    /// // Without its ancestors an account inherits nothing, and nobody above it may change it.
    /// let alone = Subject::new(account.id().clone(), UserId::parse("17")?);
    /// assert_ne!(alone, subject);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(account: &Account, user: UserId) -> Self {
        Self { lineage: account.lineage.clone(), has_lineage: true, ..Self::new(account.id().clone(), user) }
    }

    /// Names a user of an account that has no parents; the label is the user's id. Where accounts have parents name the
    /// user by [`Subject::of`], or say them by [`Subject::with_lineage`]: without them nothing that was set above the
    /// account is enforced in it.
    #[must_use]
    pub fn new(account: AccountId, user: UserId) -> Self {
        let label = user.as_str().to_owned();
        Self {
            user,
            label,
            generation: String::new(),
            lineage: vec![Ancestor::new(account)],
            has_lineage: false,
            contacts: Vec::new(),
            rank: 0,
            password_epoch: None,
        }
    }

    /// Sets how the user is called on screens and in authenticator apps.
    ///
    /// # Errors
    /// [`FieldError`] unless it is 1 to 256 bytes without control characters.
    pub fn with_label(mut self, label: impl Into<String>) -> Result<Self, FieldError> {
        self.label = checked_text("label", label.into(), 1, MAX_LABEL_BYTES)?;
        Ok(self)
    }

    /// Sets the creation id of the user's row. When an id is given to another person, the generation differs,
    /// and nothing of the former one is used for the latter.
    ///
    /// # Errors
    /// [`FieldError`] past 64 bytes or with control characters.
    pub fn with_generation(mut self, generation: impl Into<String>) -> Result<Self, FieldError> {
        self.generation = checked_text("generation", generation.into(), 0, MAX_GENERATION_BYTES)?;
        Ok(self)
    }

    /// Sets the account and its ancestors, the account first.
    ///
    /// # Errors
    /// [`FieldError`] if the first is not the subject's account, an account comes twice, or there are more
    /// than 32.
    pub fn with_lineage(mut self, lineage: Vec<Ancestor>) -> Result<Self, FieldError> {
        self.lineage = checked_lineage(self.account(), lineage)?;
        self.has_lineage = true;
        Ok(self)
    }

    /// Refuses a user of whose account nobody has said what is above it: what is enforced there would not hold.
    pub(crate) fn check_lineage(&self) -> Result<(), FieldError> {
        let problem = "is not known: name the user by `Subject::of`, or say it by `Subject::with_lineage`, the account \
            alone where it has no parents";
        if self.has_lineage { Ok(()) } else { Err(FieldError::new("lineage", "required", problem)) }
    }

    /// Sets where the user is told of changes. Notices go to the verified ones.
    ///
    /// # Errors
    /// [`FieldError`] if there are more than 8.
    pub fn with_contacts(mut self, contacts: Vec<Contact>) -> Result<Self, FieldError> {
        if contacts.len() > MAX_CONTACTS {
            let problem = format!("has {} contacts, the limit is {MAX_CONTACTS}", contacts.len());
            return Err(FieldError::new("contacts", "too_long", problem));
        }
        self.contacts = contacts;
        Ok(self)
    }

    /// Sets the user's rank among administrators: 0, as without this call, is none. An administrator changes
    /// users of the same or a lower rank, in their own account and those below it. The login of an administrator says it,
    /// and the directory, which is asked again where what they began is confirmed later.
    #[must_use]
    pub const fn with_rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// Sets a number that the host raises whenever the user's password changes. A device is trusted under the number of
    /// the login it was trusted in, and no other; without this call no device of the user can be trusted. The directory
    /// must give the same one, so that [`Engine::devices`](crate::Engine::devices) shows it.
    #[must_use]
    pub const fn with_password_epoch(mut self, epoch: u64) -> Self {
        self.password_epoch = Some(epoch);
        self
    }

    /// Returns the account.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "invariant: a lineage always begins with the account")]
    pub fn account(&self) -> &AccountId {
        &self.lineage[0].account
    }

    /// Returns the user.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.user
    }

    /// Returns the label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the generation.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Returns the account and its ancestors, the account first.
    #[must_use]
    pub fn lineage(&self) -> &[Ancestor] {
        &self.lineage
    }

    /// Returns the contacts.
    #[must_use]
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// Returns the rank among administrators; 0 is none.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        self.rank
    }

    /// Returns the number that changes with the user's password, where the host keeps one.
    #[must_use]
    pub const fn password_epoch(&self) -> Option<u64> {
        self.password_epoch
    }
}

/// An account, as the host's own row has it: for calls about an account and none of its users.
///
/// ```
/// use mfa_core::{Account, AccountId, Ancestor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (branch, hq) = (AccountId::parse("branch")?, AccountId::parse("hq")?);
/// let lineage = vec![Ancestor::new(branch.clone()), Ancestor::new(hq.clone())];
/// let account = Account::new(branch).with_lineage(lineage.clone())?;
/// assert_eq!(account.id().as_str(), "branch");
/// assert_eq!(Account::new(hq).with_lineage(lineage).unwrap_err().code, "invalid");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// invariant: not empty.
    lineage: Vec<Ancestor>,
}

impl Account {
    /// Names an account that has no parents. For one that has, say them by [`Account::with_lineage`]: without them it
    /// inherits nothing.
    #[must_use]
    pub fn new(account: AccountId) -> Self {
        Self { lineage: vec![Ancestor::new(account)] }
    }

    /// Sets the account and its ancestors, the account first. Administrators of those above may change it.
    ///
    /// # Errors
    /// As [`Subject::with_lineage`].
    pub fn with_lineage(mut self, lineage: Vec<Ancestor>) -> Result<Self, FieldError> {
        self.lineage = checked_lineage(self.id(), lineage)?;
        Ok(self)
    }

    /// Returns the account's id.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "invariant: a lineage always begins with the account")]
    pub fn id(&self) -> &AccountId {
        &self.lineage[0].account
    }

    /// Returns the account and its ancestors, the account first.
    #[must_use]
    pub fn lineage(&self) -> &[Ancestor] {
        &self.lineage
    }

    /// Returns it in the place of whom a change is about, under a name that is nobody's.
    pub(crate) fn as_subject(&self) -> Result<Subject, Error> {
        let nobody = UserId::parse("~account").map_err(|_| Error::Unavailable("a name for nobody"))?;
        Ok(Subject::of(self, nobody))
    }
}

/// An account that has no parents.
impl From<AccountId> for Account {
    fn from(account: AccountId) -> Self {
        Self::new(account)
    }
}

/// The account of a user.
impl From<&Subject> for Account {
    fn from(subject: &Subject) -> Self {
        Self { lineage: subject.lineage().to_vec() }
    }
}

fn checked_lineage(account: &AccountId, lineage: Vec<Ancestor>) -> Result<Vec<Ancestor>, FieldError> {
    if lineage.first().map(|first| &first.account) != Some(account) {
        return Err(FieldError::new("lineage", "invalid", "must begin with the account itself"));
    }
    if lineage.len() > MAX_LINEAGE {
        let problem = format!("has {} accounts, the limit is {MAX_LINEAGE}", lineage.len());
        return Err(FieldError::new("lineage", "too_long", problem));
    }
    let twice = |(i, a): (usize, &Ancestor)| lineage.iter().take(i).any(|b| b.account == a.account);
    if lineage.iter().enumerate().any(twice) {
        return Err(FieldError::new("lineage", "cycle", "names an account twice"));
    }
    Ok(lineage)
}

pub(crate) fn checked_text(
    field: &'static str,
    text: String,
    min: usize,
    max: usize,
) -> Result<String, FieldError> {
    if text.len() < min {
        return Err(FieldError::new(field, "required", "is empty"));
    }
    if text.len() > max {
        return Err(FieldError::new(
            field,
            "too_long",
            format!("has {} bytes, the limit is {max}", text.len()),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(FieldError::new(field, "invalid", "holds a control character"));
    }
    Ok(text)
}

/// What the host verified before it asks for a second step. There is no begin without one.
///
/// ```
/// use mfa_core::{FirstFactor, FirstFactorKind, Channel};
/// let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some("session-id-of-the-host"));
/// assert!(!format!("{first:?}").contains("session-id"));
/// ```
#[derive(Clone)]
pub struct FirstFactor {
    pub(crate) kind: FirstFactorKind,
    pub(crate) channel: Channel,
    pub(crate) session: Option<SecretText>,
}

impl FirstFactor {
    /// States that the host has just verified a first factor of `kind`, which came over `channel`, in its
    /// own session `session`, if it has sessions.
    #[must_use]
    pub fn verified_now(kind: FirstFactorKind, channel: Channel, session: Option<&str>) -> Self {
        Self { kind, channel, session: session.map(SecretText::new) }
    }

    /// Returns what kind of factor it was.
    #[must_use]
    pub const fn kind(&self) -> FirstFactorKind {
        self.kind
    }
}

impl fmt::Debug for FirstFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstFactor")
            .field("kind", &self.kind)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// The kinds of first factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FirstFactorKind {
    /// A password.
    Password,
    /// A sign-on by another service that the host trusts.
    Sso,
    /// An API key.
    ApiKey,
    /// A client certificate.
    MutualTls,
    /// A link or code sent by e-mail.
    EmailLink,
}

impl FirstFactorKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Password, Self::Sso, Self::ApiKey, Self::MutualTls, Self::EmailLink];

    /// Returns the stable name, as in `password`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Sso => "sso",
            Self::ApiKey => "api_key",
            Self::MutualTls => "mtls",
            Self::EmailLink => "email_link",
        }
    }

    /// Returns whether it is one that programs log in with: logins by any other are never exempt.
    #[must_use]
    pub const fn is_of_a_program(self) -> bool {
        matches!(self, Self::ApiKey | Self::MutualTls)
    }

    /// Returns the kind of factor it proves, where that is known: of a sign-on elsewhere, a key of a program and
    /// a link to a mailbox nothing is claimed.
    pub(crate) const fn factor(self) -> Option<Factor> {
        match self {
            Self::Password => Some(Factor::Knowledge),
            Self::MutualTls => Some(Factor::Possession),
            Self::Sso | Self::ApiKey | Self::EmailLink => None,
        }
    }

    /// Returns the RFC 8176 value, where there is one.
    pub(crate) const fn amr(self) -> Option<Amr> {
        match self {
            Self::Password => Some(Amr::Pwd),
            Self::MutualTls => Some(Amr::Pop),
            Self::Sso | Self::ApiKey | Self::EmailLink => None,
        }
    }
}
