//! The folder for development, and the choice between two transports.

use std::fs;
use std::sync::Arc;

use futures::executor::block_on;
use mfa_core::{Channel, NotDelivered, Transport as _};
use mfa_otp_delivery::transport::{Folder, Routed};

use crate::support::{DEADLINE, message};

#[cfg(unix)]
#[test]
fn the_folder_is_its_owners_alone_and_so_are_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("outgoing");
    let folder = Folder::open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    block_on(folder.send(&message("bob@example.com", "m-1"), DEADLINE)).unwrap();
    assert_eq!(mode(&path.join("m-1.txt")), 0o600);
    // It can be opened again; not once others may enter it.
    Folder::open(&path).unwrap();
    for open in [0o750, 0o705, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err().code(), "folder_open");
    }
}

#[test]
fn each_message_has_a_file_and_a_repeated_one_replaces_itself() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("outgoing");
    let folder = Folder::open(&path).unwrap();
    let send = |message| block_on(folder.send(&message, DEADLINE)).unwrap().id;
    assert_eq!(send(message("ann@example.com", "m-1")), "m-1");
    assert_eq!(send(message("bob@example.com", "m-1")), "m-1");
    let expected = "channel: email\nto: bob@example.com\nsubject: Your code to sign in to Acme\n\n\
                    012345 is your code.\n\nGive it to nobody.\n";
    assert_eq!(fs::read_to_string(path.join("m-1.txt")).unwrap(), expected);
    // An id never leads out of the folder, and messages without one do not replace each other.
    let odd = send(message("bob@example.com", "../../m-2"));
    assert!(odd.len() == 32 && path.join(format!("{odd}.txt")).exists());
    let mut nameless = message("bob@example.com", "");
    nameless.id = None;
    assert_ne!(send(nameless.clone()), send(nameless));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 4);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_never_a_loss() {
    let parent = tempfile::tempdir().unwrap();
    assert_eq!(Folder::open(parent.path().join("no/parent")).unwrap_err().code(), "folder_unusable");
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(Folder::open(&file).unwrap_err().code(), "folder_unusable");
    let path = parent.path().join("outgoing");
    let folder = Folder::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    let sent = block_on(folder.send(&message("bob@example.com", "m-1"), DEADLINE));
    assert_eq!(sent, Err(NotDelivered::Temporary));
}

#[test]
fn each_medium_goes_its_own_way() {
    let parent = tempfile::tempdir().unwrap();
    let open = |name| (parent.path().join(name), Arc::new(Folder::open(parent.path().join(name)).unwrap()));
    let ((mails, email), (texts, sms)) = (open("mails"), open("texts"));
    let routed = Routed::new().with_email(email).with_sms(sms);
    let email = message("bob@example.com", "m-1");
    let phone = message("+12025550100", "t-1").over(Channel::Phone);
    block_on(routed.send(&email, DEADLINE)).unwrap();
    block_on(routed.send(&phone, DEADLINE)).unwrap();
    assert!(mails.join("m-1.txt").exists() && texts.join("t-1.txt").exists());
    assert_eq!(fs::read_dir(mails).unwrap().count() + fs::read_dir(texts).unwrap().count(), 2);
    let push = message("bob", "p-1").over(Channel::Push);
    assert_eq!(block_on(routed.send(&push, DEADLINE)), Err(NotDelivered::Permanent));
}
