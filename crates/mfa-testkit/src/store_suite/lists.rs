//! Listing one scope and kind.

use mfa_core::{Expect, Record, RecordKind};

use super::TestStore;
use super::fixture::{Fixture, expiring, ids, new_kind, put};

/// Ids in the order of their bytes, with the bytes that text columns and patterns stumble over.
const SORTED: &[&[u8]] = &[
    b"",
    b"\0",
    b"\0\0",
    b"\0\xff",
    b"\x01",
    b" ",
    b"%",
    b"*",
    b"?",
    b"A",
    b"B",
    b"[a]",
    b"\\",
    b"_",
    b"a",
    b"a\0",
    b"a b",
    b"a%",
    b"aB",
    b"a\\",
    b"a_",
    b"ab",
    b"ab\xff",
    b"a\xff",
    b"a\xff\xff",
    b"b",
    b"\x7f",
    b"\x80",
    b"\xc3\xa9",
    b"\xfe\xff",
    b"\xff",
    b"\xff\0",
    b"\xff\xff",
    b"\xff\xff\xff",
];

/// `list` orders by the bytes of the id, whatever the order of the puts was.
pub async fn list_orders_by_the_bytes_of_the_id(store: &dyn TestStore) {
    let t = filled(store).await;
    assert_eq!(t.ids_at(t.now).await, SORTED);
}

/// `list` gives exactly the ids that begin with the prefix; `%`, `_`, `*`, `?`, `[` and `\` are bytes like
/// any other, and a prefix of 0xff bytes has an end.
pub async fn list_keeps_to_the_prefix(store: &dyn TestStore) {
    let t = filled(store).await;
    let prefixes: &[&[u8]] = &[
        b"",
        b"\0",
        b"%",
        b"*",
        b"?",
        b"[",
        b"\\",
        b"_",
        b"a",
        b"a%",
        b"a\xff",
        b"A",
        b"\xff",
        b"\xff\xff",
        b"x",
    ];
    for prefix in prefixes {
        let listed = list(&t, prefix, None, 1000).await;
        let begins = |id: &&&[u8]| id.starts_with(prefix);
        let wanted: Vec<_> = SORTED.iter().filter(begins).map(|id| id.to_vec()).collect();
        assert_eq!(listed, wanted, "prefix {prefix:x?}");
    }
}

/// `list` goes on behind `after`, the id itself left out, whether or not it is there, begins with the
/// prefix, or lies outside it.
pub async fn list_goes_on_behind_an_id(store: &dyn TestStore) {
    let t = filled(store).await;
    let places = SORTED.iter().copied().chain([&b"a\x01"[..], b"aa", b"zz", b"\xff\xff\xff\xff"]);
    for after in places {
        for prefix in [&b""[..], b"a", b"\xff"] {
            let listed = list(&t, prefix, Some(after), 1000).await;
            let behind = |id: &&&[u8]| **id > after && id.starts_with(prefix);
            let wanted: Vec<_> = SORTED.iter().filter(behind).map(|id| id.to_vec()).collect();
            assert_eq!(listed, wanted, "prefix {prefix:x?}, behind {after:x?}");
        }
    }
}

/// `list` gives at most `limit` records, the first ones in order; any `usize` is a limit.
pub async fn list_respects_the_limit(store: &dyn TestStore) {
    let t = filled(store).await;
    for limit in [0, 1, 2, SORTED.len() - 1, SORTED.len(), SORTED.len() + 1, usize::MAX] {
        let listed = list(&t, b"", None, limit).await;
        assert_eq!(listed, &SORTED[..limit.min(SORTED.len())], "a limit of {limit}");
    }
}

/// `list` leaves out the records of other scopes and of other kinds.
pub async fn list_keeps_to_its_scope_and_kind(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let neighbours = [t.in_new_scope(), Fixture { kind: new_kind(), ..t.in_new_scope() }];
    let longer: &'static str = format!("{}x", t.kind.as_str()).leak();
    let same_scope = Fixture { kind: RecordKind::new(longer), scope: t.scope.clone(), ..t };
    for (i, other) in neighbours.iter().chain([&same_scope]).enumerate() {
        other.put(format!("other{i}"), "body").await;
    }
    t.put("own", "body").await;
    assert_eq!(t.ids_at(t.now).await, [b"own"]);
}

/// `list` gives the records as `get` does: key, version, body and expiry.
pub async fn list_gives_whole_records(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let end = t.later(1234);
    let version = t.write([expiring(put(t.key("id"), Expect::Any, "body"), end)]).await;
    let listed = store.list(&t.scope, t.kind, b"i", None, 1, t.now).await.unwrap();
    assert_eq!(listed, [Record::new(t.key("id"), version, b"body".to_vec(), Some(end))]);
}

async fn filled(store: &dyn TestStore) -> Fixture<'_> {
    let t = Fixture::new(store);
    assert!(SORTED.is_sorted(), "the table is in order");
    // 7 has no common divisor with the table's length, so this visits each id once, out of order.
    let shuffled = (0..SORTED.len()).map(|i| SORTED[i * 7 % SORTED.len()]);
    t.write(shuffled.map(|id| put(t.key(id), Expect::Absent, "body"))).await;
    t
}

async fn list(t: &Fixture<'_>, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
    ids(&t.store.list(&t.scope, t.kind, prefix, after, limit, t.now).await.unwrap())
}
