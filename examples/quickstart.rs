//! One user sets up an authenticator app and signs in with it. The same code a second time is refused.
#![expect(clippy::print_stdout, reason = "it prints what came of it")]

use std::{sync::Arc, time::Duration};

use mfa::totp::{OtpauthUri, Totp, code_at};
use mfa::{sqlite::SqliteStore, *};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What the host states where it has just checked the password, in a session of its own.
fn password() -> FirstFactor {
    FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some("session-1"))
}

/// The password was right: the user is asked for the app's code, and types `code`.
async fn sign_in(engine: &Engine, clock: &TokioRuntime, user: &Subject, code: &str) -> Outcome<String> {
    let challenge = match engine.begin(Login::new(user.clone(), password(), Module::parse("web")?)).await? {
        Begin::Challenge(challenge) => challenge,
        Begin::NotRequired(why) => return Ok(format!("signed in by password alone ({})", why.code())),
        Begin::Denied(denied) => return Ok(format!("denied ({})", denied.reason.code())),
        _ => return Ok("denied: a method must be set up first".to_owned()),
    };
    Ok(match engine.verify(&challenge.reference, Response::code(code)).await? {
        Verify::Verified(grant) => {
            let session = grant.redeem(user.account(), user.user(), Some("session-1"), clock.now())?;
            format!("{} is signed in: amr {:?}, aal {}", session.user, session.amr(), session.aal().number())
        }
        Verify::Rejected(rejected) => format!("{} (reason {})", rejected.public(), rejected.reason),
        _ => "not decided yet".to_owned(),
    })
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // A service keeps its database, and its key somewhere else.
    let (folder, mut key) = (tempfile::tempdir()?, [0; 32]);
    let store = SqliteStore::open(folder.path().join("mfa.db"))?;
    OsEntropy::new().fill(&mut key)?;
    let (ring, clock) = (KeyRing::new(KeyId::parse("2026-11")?, key)?, TokioRuntime::new());
    let users = StoredDirectory::new(Arc::new(store.clone()), ring.clone(), Arc::new(clock.clone()));
    let bob = Subject::new(AccountId::parse("acme")?, UserId::parse("bob")?).with_label("bob@acme.test")?;
    users.put(&bob).await?;
    let engine = Engine::builder(Arc::new(store), Arc::new(users), ring, Arc::new(clock.clone()));
    let engine = engine.provider(Totp::new("Example")?).build().await?;

    // Set up: `revealed` also has the QR code to show. Here a program plays the user's app.
    let (totp, right) = (ProviderName::parse("totp")?, Authority::FirstFactor(password()));
    let started = engine.enrol_begin(bob.account(), bob.user(), &totp, &Choice::none(), &right).await?;
    let app = OtpauthUri::parse(started.revealed.get("uri").ok_or("no uri")?.expose_secret())?;
    let code = |at: Timestamp| code_at(app.secret(), app.parameters(), at.unix_seconds());
    let (now, next) = (code(clock.now()), code(clock.now().plus(Duration::from_secs(30))));
    let confirmed = engine.enrol_confirm(&started.reference, &Response::code(now.expose_secret())).await?;
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
    // Sign in with the app's next code, which the window takes already: the other one is used up.
    println!("{}", sign_in(&engine, &clock, &bob, next.expose_secret()).await?);
    println!("{}", sign_in(&engine, &clock, &bob, next.expose_secret()).await?);
    Ok(())
}
