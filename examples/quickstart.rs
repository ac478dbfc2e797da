//! One user enrols an authenticator app and signs in with it. The same code a second time is refused.
#![expect(clippy::print_stdout, reason = "it prints what came of it")]

use std::{sync::Arc, time::Duration};

use mfa::totp::{OtpauthUri, Totp, code_at};
use mfa::{sqlite::SqliteStore, *};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The host calls this when the password was right and the user has typed the app's code.
async fn sign_in(engine: &Engine, user: &Subject, code: &str, now: Timestamp) -> Outcome<String> {
    let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some("session-1"));
    let login = Login::new(user.clone(), password, Module::parse("user_auth")?);
    let Begin::Challenge(challenge) = engine.begin(login).await? else {
        return Ok("no second step was asked for, or the login was denied".to_owned());
    };
    Ok(match engine.verify(&challenge.reference, Response::code(code)).await? {
        Verify::Verified(grant) => {
            let session = grant.redeem(user.account(), user.user(), Some("session-1"), now)?;
            format!("{} is signed in: amr {:?}, aal {}", session.user, session.amr(), session.aal().number())
        }
        Verify::Rejected(rejected) => format!("{} (reason {})", rejected.public(), rejected.reason),
        _ => "not decided yet".to_owned(),
    })
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // A service keeps its database, and its key somewhere else.
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("mfa.db"))?;
    let mut key = [0; 32];
    OsEntropy::new().fill(&mut key)?;
    let ring = KeyRing::new(KeyId::parse("2026-11")?, key)?;
    let runtime = TokioRuntime::new();
    let directory = StoredDirectory::new(Arc::new(store.clone()), ring.clone(), Arc::new(runtime.clone()));

    let bob = Subject::new(AccountId::parse("acme")?, UserId::parse("bob")?);
    let bob = bob.with_label("bob@acme.example")?;
    directory.put(&bob).await?;
    let engine = Engine::builder(Arc::new(store), Arc::new(directory), ring, Arc::new(runtime.clone()));
    let engine = engine.provider(Totp::new("Example")?).build().await?;

    // Enrol: `revealed` also has the QR code to show. Here a program plays the user's app.
    let (totp, host) = (ProviderName::parse("totp")?, Authority::host_vouched("quickstart", "first set-up"));
    let started = engine.enrol_begin(bob.account(), bob.user(), &totp, &Choice::none(), &host).await?;
    let app = OtpauthUri::parse(started.revealed.get("uri").ok_or("no uri")?.expose_secret())?;
    let code = |at: Timestamp| code_at(app.secret(), app.parameters(), at.unix_seconds());
    let now = runtime.now();
    let confirmation = Response::code(code(now).expose_secret());
    let _enrolled = engine.enrol_confirm(&started.reference, &confirmation).await?;

    // Sign in with the app's next code, which the window takes already: the other one is used up.
    let next = code(now.plus(Duration::from_secs(30)));
    println!("{}", sign_in(&engine, &bob, next.expose_secret(), now).await?);
    println!("{}", sign_in(&engine, &bob, next.expose_secret(), now).await?);
    Ok(())
}
