//! A service whose second factor is mail: to set it up a code is sent, to sign in a code or a link.

use std::sync::Arc;

use mfa::audit::AuditLog;
use mfa::delivery::Delivered;
use mfa::delivery::address::{Domain, Email};
use mfa::delivery::text::{SiteName, Texts};
use mfa::{
    AccountId, Engine, EnrolConfirm, KeyRing, Policy, Response, Store, StoredDirectory, Subject,
    TokioRuntime, UserId,
};
use serde_json::{Value, json};

use super::Post;
use crate::{Failure, Service, ask, refusal, say, shown};

/// Where links lead. Nothing listens there: what a link carries is behind its `#`.
const LINK_URL: &str = "https://login.acme.example/confirm";
/// Where a confirmed page goes on to.
const TARGET_URL: &str = "https://acme.example/welcome";

/// Makes bob, whose mailbox is `address`.
///
/// # Errors
/// [`Failure::Failed`] if the address is refused.
pub fn bob(address: &Email) -> Result<Subject, Failure> {
    let bob = Subject::new(AccountId::parse("acme")?, UserId::parse("bob")?);
    // Only a verified contact can be set up: a real host has it from its own user row.
    Ok(bob.with_contacts(vec![address.contact()?.verified()])?)
}

/// Opens the service of one user.
///
/// # Errors
/// [`Failure::Failed`] if a part is refused.
pub async fn open<S: Store + AuditLog>(
    store: Arc<S>,
    ring: KeyRing,
    post: &Post,
    user: Subject,
    settings: Value,
) -> Result<Service, Failure> {
    let runtime = TokioRuntime::new();
    let directory = StoredDirectory::new(Arc::<S>::clone(&store), ring.clone(), Arc::new(runtime.clone()));
    directory.put(&user).await?;
    let texts = Texts::builder(SiteName::parse("Acme")?, Domain::parse("login.acme.example")?).build()?;
    // Without being listed, e-mail is not offered: it proves less than an app.
    let policy = Policy::recommended().with_document(&json!({ "offered": ["email"] }));
    let policy = policy.map_err(|_| Failure::failed("the policy is refused"))?;
    let engine =
        Engine::builder(Arc::<S>::clone(&store), Arc::new(directory), ring, Arc::new(runtime.clone()))
            .policy(policy)
            .provider_with(Delivered::email(Arc::new(texts))?, settings)
            .transport(post.transport())
            .build()
            .await?;
    Ok(Service::new(engine, user, store, runtime))
}

/// The provider's settings for links.
#[must_use]
pub fn links() -> Value {
    json!({ "form": "link", "link_url": LINK_URL, "target_url": TARGET_URL })
}

/// Sets the mailbox up, by a code that is sent there. Where this program can read the mail, it types the code itself.
///
/// # Errors
/// [`Failure::Refused`] if no code was right.
pub async fn set_up(service: &Service, post: &Post) -> Result<(), Failure> {
    let started = service.enrol_begin("email").await?;
    say(format!("   a code was sent to {}", shown(&started.prompt, "to")))?;
    loop {
        let code = match post.newest()? {
            Some(mail) => code_in(&mail).ok_or_else(|| Failure::failed("the mail has no code"))?,
            None => ask("   The code that arrived:")?,
        };
        match service.engine.enrol_confirm(&started.reference, &Response::code(&code)).await? {
            EnrolConfirm::Confirmed(id) => return say(format!("   set up: method {id}")),
            EnrolConfirm::Rejected(rejected) => {
                say(refusal(&rejected))?;
                if post.plays() || rejected.attempts_left == 0 {
                    return Err(Failure::Refused);
                }
            }
            other => return Err(Failure::Failed(format!("nothing was set up: {other:?}"))),
        }
    }
}

/// Finds the code in a mail: six digits of its text.
#[must_use]
pub fn code_in(mail: &str) -> Option<String> {
    let (_, text) = mail.split_once("\n\n")?;
    text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).map(str::to_owned)
}

/// Finds the link in a mail.
#[must_use]
pub fn link_in(mail: &str) -> Option<&str> {
    let is_link = |word: &&str| word.strip_prefix(LINK_URL).is_some_and(|rest| rest.starts_with('#'));
    mail.split_whitespace().find(is_link)
}
