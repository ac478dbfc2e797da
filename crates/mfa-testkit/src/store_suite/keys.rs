//! Keys: no two meet, and nothing folds them.

use mfa_core::{Expect, Key, RecordKind, Write};

use super::TestStore;
use super::fixture::{Fixture, ids, named, new_version, put_bytes};

/// What separators, escapes and normal forms are made of; `e` with a combining accent is the other form
/// of `é`.
const ALPHABET: &[&str] = &[":", "{", "}", "/", "|", "\0", "é", "e\u{301}", "A", "a", "~"];

/// Every (scope, kind, id) over an alphabet of separators is a record of its own: scopes of up to one
/// symbol behind a common name, kinds that continue each other, ids of up to two symbols.
pub async fn different_keys_are_different_records(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let common = format!("{:?}", new_version());
    // A scope is an account id: in normal form C and without control characters.
    let symbols = ALPHABET.iter().filter(|s| !["\0", "e\u{301}"].contains(s)).copied();
    let scopes: Vec<_> = symbols.chain(["", "a:", "::"]).map(|s| named(&common, s)).collect();
    let kinds: Vec<_> = ["", "a", "_a"].map(|s| kind_named(t.kind, s)).into();
    let mut keys = Vec::new();
    for scope in scopes {
        let t = Fixture { scope, ..t.in_new_scope() };
        for &kind in &kinds {
            let all = two_symbols().map(|id| Key::new(t.scope.clone(), kind, id.into_bytes()));
            keys.extend(all);
        }
    }
    for separator in [":", "/", "|", "}{", "~"] {
        // The same text if the parts were joined by the separator.
        let kind = t.kind.as_str();
        let inner = named(&common, &format!("{separator}{kind}"));
        let joined = format!("{kind}{separator}x").into_bytes();
        keys.push(Key::new(inner, t.kind, *b"x"));
        keys.push(Key::new(named(&common, ""), t.kind, joined));
    }
    keys.sort();
    for keys in keys.chunk_by(|a, b| a.scope == b.scope && a.kind == b.kind) {
        let t = Fixture { scope: keys[0].scope.clone(), ..t.in_new_scope() };
        t.write(keys.iter().map(put_its_name)).await;
    }
    for keys in keys.chunk_by(|a, b| a.scope == b.scope && a.kind == b.kind) {
        let answer = store.get(keys, t.now).await.unwrap();
        for (key, record) in keys.iter().zip(answer) {
            let record = record.expect("each record was put");
            assert_eq!((&record.key, record.body), (key, key.encode()), "each has its own body");
        }
        let listed = store.list(&keys[0].scope, keys[0].kind, b"", None, 1000, t.now).await.unwrap();
        let mut wanted: Vec<_> = keys.iter().map(|key| key.id.to_vec()).collect();
        wanted.sort();
        assert_eq!(ids(&listed), wanted, "no record of another kind or scope is among them");
    }
}

/// Scopes and ids are compared by their bytes: case, accents, normal forms, trailing spaces and NULs make
/// a difference, and an id need not be text.
pub async fn names_are_compared_byte_by_byte(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let written: &[&[u8]] = &[b"a", "é".as_bytes(), b"\xff", b"1"];
    t.write(written.iter().map(|id| put_bytes(t.key(id), Expect::Any, id.to_vec()))).await;
    let others: &[&[u8]] = &[
        b"A",
        b"a ",
        b" a",
        b"a\0",
        "á".as_bytes(),
        "ａ".as_bytes(),
        b"e",
        "e\u{301}".as_bytes(),
        "É".as_bytes(),
        b"\xfe",
        "\u{fffd}".as_bytes(),
        b"\xc3\xbf",
        b"01",
        b"1.0",
        b"x'61'",
        b"61",
        b"",
    ];
    for id in others {
        assert_eq!(t.get(id).await, None, "{id:x?} is none of the ids that were put");
    }
    let common = format!("{:?}", new_version());
    let lower = Fixture { scope: named(&common, "straße-e"), ..t.in_new_scope() };
    lower.put("id", "body").await;
    for suffix in ["straße-E", "STRASSE-E", "strasse-e", "straße-é", "straße-e.", "straße"] {
        let other = Fixture { scope: named(&common, suffix), ..t.in_new_scope() };
        assert_eq!(other.get("id").await, None, "{suffix} is another scope");
        assert!(other.ids_at(t.now).await.is_empty(), "{suffix} is another scope");
    }
}

fn two_symbols() -> impl Iterator<Item = String> {
    let first = || ALPHABET.iter().copied().chain([""]);
    first()
        .flat_map(move |a| first().filter(move |_| !a.is_empty()).map(move |b| format!("{a}{b}")))
        .chain([String::new()])
}

fn put_its_name(key: &Key) -> Write {
    put_bytes(key.clone(), Expect::Absent, key.encode())
}

fn kind_named(kind: RecordKind, suffix: &str) -> RecordKind {
    RecordKind::new(format!("{}{suffix}", kind.as_str()).leak())
}
