use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::keyring::Label;

const CHILD: &str = "MFA_CORE_CHILD";
const KEYS: &str = "MFA_CORE_KEYS";

fn text(text: &str) -> Result<KeyRing, KeySourceError> {
    KeyRing::from_text(&SecretText::new(text))
}

fn id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

fn digits(byte: u8) -> String {
    HEXLOWER.encode(&[byte; 32])
}

fn ids(ring: &KeyRing) -> Vec<String> {
    ring.ids().iter().map(ToString::to_string).collect()
}

/// Whether both write and read alike under a key.
fn same_key(one: &KeyRing, other: &KeyRing, id: &str) -> bool {
    let mac = |ring: &KeyRing| ring.mac(id, Label::MacRecord, &[b"part"]).unwrap();
    mac(one) == mac(other)
}

/// The message with its causes.
fn said(error: &KeySourceError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn the_first_key_writes_and_all_keys_are_those_of_their_bytes() {
    let ring = text(&format!(
        "# rotated in May\r\n\nnew:{}  # writes\nold:{},\toldest:{}\n",
        digits(3),
        digits(2),
        digits(1)
    ));
    let ring = ring.unwrap();
    assert_eq!(ring.active(), id("new"));
    assert_eq!(ids(&ring), ["new", "old", "oldest"]);
    for (name, byte) in [("new", 3), ("old", 2), ("oldest", 1)] {
        assert!(same_key(&ring, &KeyRing::new(id(name), [byte; 32]).unwrap(), name));
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_by_its_line_and_never_by_its_value() {
    let good = digits(0x5e);
    let long = format!("{good}0");
    let cases = [
        (good.clone(), "malformed_key"),
        (format!("k2={good}"), "malformed_key"),
        (format!(":{good}"), "invalid_key_id"),
        (format!("{good}:k2"), "invalid_key_id"),
        (format!("k.2:{good}"), "invalid_key_id"),
        ("k2:".to_owned(), "wrong_key_length"),
        (format!("k2:{}", &good[1..]), "wrong_key_length"),
        (format!("k2:{long}"), "wrong_key_length"),
        (format!("k2:{}g", &good[1..]), "invalid_hex"),
        (format!("k2:{}", good.to_uppercase()), "invalid_hex"),
        (format!("k2:{}é", &good[2..]), "invalid_hex"),
        (format!("k2:{}:", &good[1..]), "invalid_hex"),
        (format!("k2:{}", digits(0)), "weak_key"),
        (format!("k1:{good}"), "duplicate_key"),
        (format!("k2:{}", digits(0xa7)), "repeated_key"),
    ];
    for (case, code) in cases {
        let error = text(&format!("k1:{}\n\n{case}", digits(0xa7))).unwrap_err();
        assert_eq!(error.code(), code, "{case}");
        assert!(matches!(error, KeySourceError::Key { line: Some(3), nth: 2, .. }), "{error:?}");
        let shown = format!("{} {error:?}", said(&error));
        assert!(shown.contains("in line 3"), "{shown}");
        assert!(!shown.contains("5e5e") && !shown.contains("a7a7"), "{shown}");
    }
}

#[test]
fn nothing_too_much_and_no_text_are_told_apart() {
    for nothing in ["", " \n,,\r\n", "# a comment", "#k1:5e"] {
        assert_eq!(text(nothing).unwrap_err().code(), "no_keys", "{nothing:?}");
    }
    let key = format!("k1:{}", digits(1));
    let full = |bytes: usize| text(&format!("{key}{}", " ".repeat(bytes - key.len())));
    assert!(full(65_536).is_ok());
    let error = full(65_537).unwrap_err();
    assert_eq!((error.code(), said(&error).as_str()), ("too_long", "the text is longer than 65536 bytes"));
}

#[cfg(unix)]
mod files {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder of one test, which is removed when this is dropped.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("mfa-core-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&path));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, content: &[u8], mode: u32) -> std::path::PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_private_file_is_read_through_a_link_too() {
        let folder = Folder::new("read");
        let keys = format!("new:{}\nold:{}\n", digits(2), digits(1));
        let link = folder.0.join("link");
        symlink(folder.file("keys", keys.as_bytes(), 0o400), &link).unwrap();
        let ring = KeyRing::from_file(link).unwrap();
        assert_eq!((ring.active(), ids(&ring).len()), (id("new"), 2));
    }

    #[test]
    fn a_file_open_to_others_is_refused_with_the_mode_to_set() {
        let folder = Folder::new("modes");
        let keys = format!("k1:{}", digits(0x5e));
        for mode in [0o640, 0o620, 0o604, 0o602, 0o644, 0o666, 0o610, 0o601] {
            let path = folder.file("keys", keys.as_bytes(), mode);
            let error = KeyRing::from_file(&path).unwrap_err();
            assert!(
                matches!(error, KeySourceError::OpenToOthers { mode: of, .. } if of == mode),
                "{error:?}"
            );
            let shown = said(&error);
            let path = path.display().to_string();
            assert!(shown.contains(&format!("{mode:o}")) && shown.contains("chmod 600"), "{shown}");
            assert!(shown.contains(&path) && !shown.contains("5e5e"), "{shown}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(KeyRing::from_file(&path).is_ok());
        }
    }

    #[test]
    fn missing_empty_and_unusable_files_are_told_apart_and_named() {
        let folder = Folder::new("kinds");
        let binary = folder.file("binary", b"k1:\xff", 0o600);
        let long = folder.file("long", &[b'\n'; 65_537], 0o600);
        let empty = folder.file("empty", b"", 0o600);
        let wrong = folder.file("wrong", b"\nk1:5e", 0o600);
        let cases = [
            (folder.0.join("none"), "file_missing"),
            (folder.0.clone(), "not_a_file"),
            (wrong.join("below"), "unreadable"),
            (binary, "not_text"),
            (long, "too_long"),
            (empty, "no_keys"),
            (wrong, "wrong_key_length"),
        ];
        for (path, code) in cases {
            let error = KeyRing::from_file(&path).unwrap_err();
            assert_eq!(error.code(), code, "{error:?}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}

/// Starts this binary again, in which only [`child`] runs, with a value of [`KEYS`]; returns what it says.
fn in_environment(value: Option<&OsStr>) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "keyring::sources::tests::child", "--nocapture"]).env(CHILD, "1");
    match value {
        Some(value) => command.env(KEYS, value),
        None => command.env_remove(KEYS),
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().find_map(|line| line.strip_prefix('@')).unwrap().to_owned()
}

#[test]
fn child() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    match KeyRing::from_env(KEYS) {
        Ok(ring) => eprintln!("@{ring:?}"),
        Err(error) => eprintln!("@{} {}", error.code(), said(&error)),
    }
}

#[test]
fn a_variable_is_a_ring_or_told_by_its_name() {
    let keys = format!("new:{},old:{}", digits(2), digits(1));
    assert_eq!(in_environment(Some(keys.as_ref())), "KeyRing { active: new, ids: [new, old], .. }");
    let variable = "the environment variable MFA_CORE_KEYS";
    assert_eq!(in_environment(None), format!("variable_not_set {variable} is not set"));
    assert_eq!(in_environment(Some("".as_ref())), format!("no_keys {variable} has no key in it"));
    let weak = in_environment(Some(format!("k1:{}", digits(0)).as_ref()));
    assert!(
        weak.starts_with(&format!("weak_key key 1 of {variable}, in line 1, cannot be used: ")),
        "{weak}"
    );
    #[cfg(unix)]
    {
        let bytes: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"k1:\xff");
        assert_eq!(in_environment(Some(bytes)), format!("not_text {variable} is not text in UTF-8"));
    }
}

#[test]
fn a_host_unwraps_each_key_once_and_in_order() {
    let mut asked = Vec::new();
    let wrapped = [(id("new"), 2_u8), (id("old"), 1)];
    let ring = KeyRing::unwrapped_by(wrapped, |id, byte| {
        asked.push(id.to_string());
        Ok::<_, io::Error>(SecretBytes::new(vec![byte; 32]))
    });
    let ring = ring.unwrap();
    assert_eq!((ring.active(), asked), (id("new"), vec!["new".to_owned(), "old".to_owned()]));
    assert!(same_key(&ring, &KeyRing::new(id("old"), [1; 32]).unwrap(), "old"));
}

#[test]
fn a_host_that_cannot_unwrap_is_told_which_key() {
    let mut asked = 0;
    let wrapped = [(id("k1"), ()), (id("k2"), ()), (id("k3"), ())];
    let error = KeyRing::unwrapped_by(wrapped, |id, ()| {
        asked += 1;
        if id.as_str() == "k2" { Err("access denied") } else { Ok(SecretBytes::new(vec![asked; 32])) }
    });
    let error = error.unwrap_err();
    assert_eq!((error.code(), asked), ("unwrap_failed", 2));
    assert_eq!(said(&error), "the key k2 cannot be unwrapped: access denied");
}

#[test]
fn bytes_of_a_host_are_a_ring_or_told_by_their_place() {
    let keys = |lengths: &[usize]| {
        let keys = (1..).zip(lengths).map(|(n, length)| (id(&format!("k{n}")), vec![n; *length]));
        KeyRing::from_keys(keys.map(|(id, bytes)| (id, SecretBytes::new(bytes))))
    };
    assert_eq!(ids(&keys(&[32, 32]).unwrap()), ["k1", "k2"]);
    assert_eq!(keys(&[]).unwrap_err().code(), "no_keys");
    for length in [0, 16, 31, 33, 64] {
        let error = keys(&[32, length]).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("wrong_key_length", "key 2 of the host's keys cannot be used")
        );
    }
}

proptest! {
    #[test]
    fn whatever_is_in_a_source_is_a_ring_or_an_error(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for source in [text.as_bytes(), &bytes] {
            if let Err(error) = parse(KeySource::Text, source) {
                prop_assert!(!error.code().is_empty());
            }
        }
    }

    #[test]
    fn what_looks_like_keys_is_a_ring_or_an_error(
        text in "([a-z0-9_-]{0,3}:?([0-9a-f]{64}|0{64}|[0-9a-fA-F]{0,66})[ ,\n\t#:]{0,2}){0,4}",
    ) {
        let said = parse(KeySource::Text, text.as_bytes()).map_err(|error| format!("{error:?}"));
        let shown = said.as_ref().map_or_else(Clone::clone, |ring| format!("{ring:?}"));
        // An id, which is not secret, may be shown; it has 16 characters at most.
        prop_assert!(text.split(|c: char| !c.is_ascii_hexdigit()).all(|run| run.len() <= 16 || !shown.contains(run)));
    }

    #[test]
    fn a_ring_written_down_is_the_same_ring(
        keys in prop::collection::btree_map("[A-Za-z0-9_-]{1,16}", any::<[u8; 31]>(), 1..6),
        between in prop::sample::select(vec![" ", ",", "\n", "\r\n", " # a comment\n", "\n\n# 5e:5e\n\t, "]),
        shift in any::<prop::sample::Index>(),
    ) {
        // The last byte keeps the keys apart, and from zero.
        let mut keys: Vec<_> = (1..).zip(keys).map(|(n, (id, bytes))| {
            let mut root = [n; 32];
            root[..31].copy_from_slice(&bytes);
            (id, root)
        }).collect();
        let first = shift.index(keys.len());
        keys.rotate_left(first);
        let written: Vec<_> = keys.iter().map(|(id, root)| format!("{id}:{}", HEXLOWER.encode(root))).collect();
        let read = text(&written.join(between)).unwrap();
        prop_assert_eq!(read.active(), id(&keys[0].0));
        let mut named: Vec<_> = keys.iter().map(|(id, _)| id.clone()).collect();
        named.sort();
        prop_assert_eq!(ids(&read), named);
        for (name, root) in &keys {
            prop_assert!(same_key(&read, &KeyRing::new(id(name), *root).unwrap(), name));
        }
    }
}
