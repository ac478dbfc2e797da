//! S35: the store's files are private, and no key or secret is readable in them.
#![cfg(all(test, unix))]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use data_encoding::{BASE32_NOPAD, BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use futures::executor::block_on;
use mfa::sqlite::{OpenError, SqliteStore};
use mfa::{Choice, EnrolConfirm, Response, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::attack::ROOT;
use mfa_tests::{World, host, session, totp};

const CHILD: &str = "MFA_SECURITY_FILES_FOLDER";
const FILES: [&str; 3] = ["mfa.db", "mfa.db-wal", "mfa.db-shm"];

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every way in which bytes might be written down.
fn spellings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![bytes.to_vec()];
    for encoding in [BASE32_NOPAD, BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER] {
        all.push(encoding.encode(bytes).into_bytes());
    }
    all.push(BASE32_NOPAD.encode(bytes).to_lowercase().into_bytes());
    all
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn s35_no_secret_of_a_whole_life_is_in_any_file() {
    block_on(async {
        let world = World::sqlite().await;
        let bob = world.add("bob").await;
        let begun = world
            .engine
            .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
            .await
            .unwrap();
        let uri = begun.revealed.get("uri").unwrap().expose_secret().to_owned();
        let app = SoftAuthenticator::scan(&uri).unwrap();
        let mut secrets = spellings(app.secret());
        secrets.extend(spellings(&ROOT));
        secrets.push(uri.into_bytes());
        secrets.push(session(&bob).into_bytes());
        let mut codes = vec![app.wrong_code_at(world.now(), 3), app.code_at(world.now())];
        for code in &codes {
            let confirmed =
                world.engine.enrol_confirm(&begun.reference, &Response::code(code)).await.unwrap();
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)) == (*code == codes[1]));
        }
        world.clock.advance(mfa_tests::STEP);
        let mut references = vec![begun.reference];
        for _ in 0..3 {
            let challenge = world.begin(&bob).await;
            for code in [app.wrong_code_at(world.now(), 3), app.code_at(world.now())] {
                let verified = world.answer(&challenge, &code).await;
                assert_eq!(matches!(verified, Verify::Verified(_)), code == app.code_at(world.now()));
                codes.push(code);
            }
            references.push(challenge.reference);
            world.clock.advance(mfa_tests::STEP);
        }
        for reference in &references {
            let text = reference.expose_secret();
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
            let binder = &bytes[bytes.len() - 64..bytes.len() - 32];
            secrets.push(text.as_bytes().to_vec());
            secrets.extend(spellings(binder));
        }
        secrets.extend(codes.into_iter().map(String::into_bytes));
        let file = world.file().unwrap();
        let mut seen = 0;
        for name in FILES {
            let bytes = fs::read(file.with_file_name(name)).unwrap();
            seen += usize::from(contains(&bytes, b"user_auth"));
            for secret in &secrets {
                assert!(!contains(&bytes, secret), "{name} holds a secret of {} bytes", secret.len());
            }
            assert_eq!(mode(&file.with_file_name(name)), 0o600, "{name}");
        }
        assert!(seen > 0, "the search finds what is there");
    });
}

/// Runs in a process of its own, with an open umask.
#[test]
fn umask_child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    block_on(async {
        let path = Path::new(&folder).join("mfa.db");
        let store = SqliteStore::open(&path).unwrap();
        let world = World::on(std::sync::Arc::new(store), None).await;
        let _ = world.enrol("bob").await;
        let modes: Vec<_> =
            FILES.iter().map(|name| format!("{:o}", mode(&path.with_file_name(name)))).collect();
        fs::write(Path::new(&folder).join("modes"), modes.join(" ")).unwrap();
    });
}

#[test]
fn s35_files_are_private_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let folder = tempfile::tempdir().unwrap();
        let test = std::env::current_exe().unwrap();
        let script = format!("umask {umask}; exec \"$0\" --exact umask_child");
        let status =
            Command::new("sh").arg("-c").arg(script).arg(test).env(CHILD, folder.path()).output().unwrap();
        assert!(status.status.success(), "{status:?}");
        let modes = fs::read_to_string(folder.path().join("modes")).unwrap();
        assert_eq!(modes, "600 600 600", "umask {umask}");
    }
}

#[test]
fn s35_a_file_that_others_may_write_is_refused_until_that_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    drop(SqliteStore::open(&path).unwrap());
    for bad in [0o620, 0o602, 0o666, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        assert!(matches!(SqliteStore::open(&path).unwrap_err(), OpenError::Writable { .. }), "{bad:o}");
    }
    for good in [0o600, 0o640, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
        assert!(SqliteStore::open(&path).is_ok(), "{good:o}");
    }
}
