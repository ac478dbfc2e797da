//! RFC 4226 appendix D: HOTP values for the counters 0 to 9, reached through the time of each step.

use mfa_totp::{Match, Parameters, TotpSecret, Window, code_at, matching_step};

const SECRET: &[u8] = b"12345678901234567890";
const CODES: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];

#[test]
fn rfc4226_appendix_d_codes_at_the_time_of_each_counter() {
    let secret = TotpSecret::from_bytes(SECRET).unwrap();
    for (counter, expected) in (0_u64..).zip(CODES) {
        for second in [counter * 30, counter * 30 + 29] {
            let code = code_at(&secret, Parameters::default(), second);
            assert_eq!(code.expose_secret(), expected, "counter {counter}, second {second}");
        }
    }
}

#[test]
fn rfc4226_appendix_d_codes_match_their_own_counter_alone() {
    let secret = TotpSecret::from_bytes(SECRET).unwrap();
    let window = Window::new(0, 0).unwrap();
    for (counter, code) in (0_u64..).zip(CODES) {
        for at in 0..10_u64 {
            let found = matching_step(&secret, Parameters::default(), window, at * 30, None, code);
            let expected = if at == counter { Match::Accepted(counter) } else { Match::NoMatch };
            assert_eq!(found, expected, "code of counter {counter} at counter {at}");
        }
    }
}
