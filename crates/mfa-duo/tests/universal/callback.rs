//! What the browser brings back is read strictly.

use mfa_duo::Error;
use mfa_duo::universal::{AuthorizationCode, Callback};
use proptest::prelude::*;
use url::form_urlencoded;

const STATE: &str = "deadbeefdeadbeef";

/// Returns the parameter that is refused.
fn refused(query: &str) -> &'static str {
    match Callback::parse(query) {
        Err(Error::Parameter { name, .. }) => name,
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn a_callback_is_read_from_the_query() {
    for query in [
        format!("state={STATE}&duo_code=1"),
        format!("?duo_code=1&state={STATE}"),
        format!("lang=en&state={STATE}&code=other&&duo_code=1&flag"),
        "state=%64eadbeefdeadbeef&%64uo_code=%31".to_owned(),
        format!("state={STATE}&error=access_denied"),
        format!("state={STATE}&error=access_denied&error_description=No+device%21"),
    ] {
        assert!(Callback::parse(&query).is_ok(), "{query}");
    }
}

#[test]
fn a_callback_that_lacks_something_or_says_it_twice_names_it() {
    assert_eq!(refused(""), "state");
    assert_eq!(refused("duo_code=1"), "state");
    assert_eq!(refused(&format!("state={STATE}")), "duo_code");
    // The other spelling is asked for by `use_duo_code_attribute: false`, which we do not send.
    assert_eq!(refused(&format!("state={STATE}&code=1")), "duo_code");
    assert_eq!(refused(&format!("state={STATE}&state={STATE}&duo_code=1")), "state");
    assert_eq!(refused(&format!("state={STATE}&duo_code=1&duo_code=1")), "duo_code");
    assert_eq!(refused(&format!("state={STATE}&error=a&error=a")), "error");
    assert_eq!(refused(&format!("state={STATE}&error=a&duo_code=1")), "error");
    assert_eq!(refused(&format!("state={STATE}&error=")), "error");
}

#[test]
fn a_callback_beyond_a_limit_names_it() {
    let code = |length: usize| format!("state={STATE}&duo_code={}", "c".repeat(length));
    assert!(Callback::parse(&code(1024)).is_ok());
    assert_eq!(refused(&code(1025)), "duo_code");
    assert_eq!(refused(&code(0)), "duo_code");
    let state = |length: usize| format!("state={}&duo_code=1", "s".repeat(length));
    assert!(Callback::parse(&state(16)).is_ok() && Callback::parse(&state(1024)).is_ok());
    assert_eq!((refused(&state(15)), refused(&state(1025))), ("state", "state"));
    for bad in ["%20", "+", "%0a", "%C3%A9", "%00"] {
        assert_eq!(refused(&format!("state={STATE}{bad}&duo_code=1")), "state", "{bad}");
        assert_eq!(refused(&format!("state={STATE}&duo_code=1{bad}")), "duo_code", "{bad}");
    }
    for bad in ["%", "%4", "%zz", "%+1", "%ff", "%C3"] {
        assert_eq!(refused(&format!("state={STATE}&duo_code=1&x={bad}")), "query", "{bad}");
    }
    let parameters = |more: usize| format!("state={STATE}&duo_code=1{}", "&a=b".repeat(more));
    assert!(Callback::parse(&parameters(14)).is_ok());
    assert_eq!(refused(&parameters(15)), "query");
    assert_eq!(refused(&format!("state={STATE}&duo_code=1&x={}", "x".repeat(4096))), "query");
}

proptest! {
    #[test]
    fn no_query_panics(query in ".{0,300}") {
        let _ = Callback::parse(&query);
    }

    /// The witness of the form's encoding is the crate `url`.
    #[test]
    fn what_another_encoder_wrote_is_read(code in "[!-~]{1,40}", state in "[!-~]{16,40}", other in ".{0,20}") {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("other", &other)
            .append_pair("state", &state)
            .append_pair("duo_code", &code)
            .finish();
        prop_assert!(Callback::parse(&query).is_ok(), "{}", query);
    }

    #[test]
    fn a_code_is_printable_ascii(text in ".{0,20}") {
        let legal = !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        prop_assert_eq!(AuthorizationCode::parse(&text).is_ok(), legal);
    }
}
