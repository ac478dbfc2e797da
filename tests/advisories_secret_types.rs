//! What the types do not allow: T7, T15 and T19. Each file in `compile_fail` is a program that must not compile,
//! for the reason that stands beside it.

use std::time::Duration;

use mfa::SecretBytes;

#[test]
fn t07_t15_t19_what_must_not_be_written_does_not_compile() {
    trybuild::TestCases::new().compile_fail("compile_fail/*.rs");
}

// keycloak#50316. A comparison that stops at the first difference takes a ten-thousandth of the time here; one
// that does not stop takes the same. The bound leaves room for a busy machine.
#[test]
fn t19_a_difference_in_the_first_byte_takes_as_long_to_find_as_one_in_the_last() {
    const BYTES: usize = 1 << 18;
    let secret = SecretBytes::new(vec![0x5a; BYTES]);
    let differing_at = |at: usize| {
        let mut other = vec![0x5a; BYTES];
        other[at] = 0xa5;
        other
    };
    let (first, last) = (differing_at(0), differing_at(BYTES - 1));
    let (mut early, mut late) = (Duration::MAX, Duration::MAX);
    for _ in 0..20 {
        early = early.min(time_to_refuse(&secret, &first));
        late = late.min(time_to_refuse(&secret, &last));
    }
    assert!(secret.ct_eq(&[0x5a; BYTES]));
    assert!(early * 4 > late, "{early:?} for the first byte, {late:?} for the last");
}

#[expect(clippy::disallowed_methods, reason = "the time that is measured here is the machine's")]
fn time_to_refuse(secret: &SecretBytes, other: &[u8]) -> Duration {
    let started = std::time::Instant::now();
    let equal = std::hint::black_box(secret).ct_eq(std::hint::black_box(other));
    let taken = started.elapsed();
    assert!(!equal);
    taken
}
