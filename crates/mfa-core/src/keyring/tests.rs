use std::sync::Barrier;
use std::thread;

use super::*;

fn id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(id("k1"), [0x5e; 32]).unwrap()
}

/// The id of the key under which a ring seals.
fn sealed_under(ring: &KeyRing) -> KeyId {
    ring.seal(Label::SealVault, &[b"place"], [0; 12], b"plain").unwrap().key
}

#[test]
fn a_clone_sees_a_key_that_was_added_activated_and_removed_elsewhere() {
    let ring = ring();
    let clone = ring.clone();
    let sealed = clone.seal(Label::SealVault, &[b"place"], [0; 12], b"plain").unwrap();
    assert_eq!(clone.mac("k2", Label::MacRecord, &[]), Err(KeyRingError::Unknown));

    ring.add(id("k2"), [0xa7; 32]).unwrap();
    assert_eq!((clone.active(), clone.ids()), (id("k1"), vec![id("k1"), id("k2")]));
    assert_eq!(sealed_under(&clone), id("k1"));
    let mac = clone.mac("k2", Label::MacRecord, &[b"part"]).unwrap();

    clone.activate(&id("k2")).unwrap();
    assert_eq!((ring.active(), sealed_under(&ring)), (id("k2"), id("k2")));
    assert_eq!(ring.open(Label::SealVault, &[b"place"], &sealed).unwrap().expose_secret(), b"plain");
    assert!(ring.mac_holds("k2", Label::MacRecord, &[b"part"], &mac).unwrap());

    ring.remove(&id("k1")).unwrap();
    assert_eq!(clone.ids(), [id("k2")]);
    assert_eq!(clone.open(Label::SealVault, &[b"place"], &sealed).unwrap_err(), KeyRingError::Unknown);
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let ring = ring();
    ring.add(id("k2"), [0xa7; 32]).unwrap();
    assert_eq!(ring.add(id("k1"), [1; 32]), Err(KeyRingError::Duplicate));
    assert_eq!(ring.add(id("k3"), [0xa7; 32]), Err(KeyRingError::Repeated));
    assert_eq!(ring.add(id("k3"), [0; 32]), Err(KeyRingError::Weak));
    assert_eq!(ring.activate(&id("k3")), Err(KeyRingError::Unknown));
    assert_eq!(ring.remove(&id("k3")), Err(KeyRingError::Unknown));
    assert_eq!(ring.remove(&id("k1")), Err(KeyRingError::Active));
    assert_eq!((ring.active(), ring.ids()), (id("k1"), vec![id("k1"), id("k2")]));
    // What was refused is free again, and the key under a taken id is still the old one.
    let alone = KeyRing::new(id("k1"), [0x5e; 32]).unwrap();
    let mac = |ring: &KeyRing| ring.mac("k1", Label::MacRecord, &[b"part"]).unwrap();
    assert_eq!(mac(&ring), mac(&alone));
    ring.add(id("k3"), [1; 32]).unwrap();
}

#[test]
fn a_ring_in_use_takes_an_old_key_too() {
    let ring = ring();
    let clone = ring.clone();
    drop(ring.with_old_key(id("k0"), [1; 32]).unwrap());
    assert_eq!(clone.ids(), [id("k0"), id("k1")]);
}

#[test]
fn macs_made_while_keys_change_are_those_of_their_key() {
    let (ring, names) = (ring(), [id("k1"), id("k2")]);
    ring.add(id("k2"), [0xa7; 32]).unwrap();
    let right = |name: &KeyId| ring.mac(name.as_str(), Label::MacRecord, &[b"part"]).unwrap();
    let right: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), right(name))).collect();
    let together = Barrier::new(5);
    let (right, together) = (&right, &together);
    thread::scope(|scope| {
        for _ in 0..4 {
            let ring = ring.clone();
            scope.spawn(move || {
                together.wait();
                for _ in 0..2_000 {
                    let name = ring.active();
                    assert_eq!(ring.mac(name.as_str(), Label::MacRecord, &[b"part"]).unwrap(), right[&name]);
                    let sealed = ring.seal(Label::SealVault, &[], [0; 12], b"plain").unwrap();
                    assert_eq!(ring.open(Label::SealVault, &[], &sealed).unwrap().expose_secret(), b"plain");
                }
            });
        }
        together.wait();
        for (n, name) in (1..=90).zip(names.iter().cycle()) {
            ring.activate(name).unwrap();
            ring.add(id("passing"), [n; 32]).unwrap();
            ring.remove(&id("passing")).unwrap();
        }
    });
}

#[test]
fn a_ring_shows_its_ids_and_no_key() {
    let ring = ring();
    ring.add(id("k2"), [0xa7; 32]).unwrap();
    ring.activate(&id("k2")).unwrap();
    assert_eq!(format!("{ring:?}"), "KeyRing { active: k2, ids: [k1, k2], .. }");
}
