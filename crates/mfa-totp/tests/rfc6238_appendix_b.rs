//! RFC 6238 appendix B: 8-digit values for six times and three hashes. The seeds are as long as the
//! hash's output, as in the reference implementation (appendix A and erratum 2866).

use mfa_totp::{
    Algorithm, Digits, Error, Match, Parameters, Period, TotpSecret, Window, code_at, matching_step,
};

const SEED: &[u8; 64] = b"1234567890123456789012345678901234567890123456789012345678901234";

/// Time, then the codes for SHA-1, SHA-256 and SHA-512.
const ROWS: [(u64, [&str; 3]); 6] = [
    (59, ["94287082", "46119246", "90693936"]),
    (1_111_111_109, ["07081804", "68084774", "25091201"]),
    (1_111_111_111, ["14050471", "67062674", "99943326"]),
    (1_234_567_890, ["89005924", "91819424", "93441116"]),
    (2_000_000_000, ["69279037", "90698825", "38618901"]),
    (20_000_000_000, ["65353130", "77737706", "47863826"]),
];

const HASHES: [(Algorithm, usize); 3] =
    [(Algorithm::Sha1, 20), (Algorithm::Sha256, 32), (Algorithm::Sha512, 64)];

/// Calls `check` for each of the 18 vectors.
fn each_vector(mut check: impl FnMut(&TotpSecret, Algorithm, u64, &str)) -> Result<(), Error> {
    for (time, codes) in ROWS {
        for ((algorithm, length), code) in HASHES.into_iter().zip(codes) {
            let (seed, _) = SEED.split_at(length);
            check(&TotpSecret::from_bytes(seed)?, algorithm, time, code);
        }
    }
    Ok(())
}

fn parameters(algorithm: Algorithm, digits: Digits) -> Parameters {
    Parameters::new(algorithm, digits, Period::default())
}

#[test]
fn rfc6238_appendix_b_eight_digits() -> Result<(), Error> {
    let eight_digits = Digits::new(8)?;
    each_vector(|secret, algorithm, time, expected| {
        let code = code_at(secret, parameters(algorithm, eight_digits), time);
        assert_eq!(code.expose_secret(), expected, "{algorithm} at {time}");
    })
}

/// The value is taken modulo a power of ten (RFC 4226 §5.3), so a shorter code is the longer one's
/// end.
#[test]
fn rfc6238_appendix_b_truncated_to_six_and_seven_digits() -> Result<(), Error> {
    let (six_digits, seven_digits) = (Digits::new(6)?, Digits::new(7)?);
    each_vector(|secret, algorithm, time, eight| {
        for digits in [six_digits, seven_digits] {
            let (_, expected) = eight.split_at(8 - usize::from(digits.get()));
            let code = code_at(secret, parameters(algorithm, digits), time);
            assert_eq!(code.expose_secret(), expected, "{algorithm}, {digits} digits at {time}");
        }
    })
}

#[test]
fn rfc6238_appendix_b_codes_are_accepted_for_the_step_of_their_time() -> Result<(), Error> {
    let eight_digits = Digits::new(8)?;
    each_vector(|secret, algorithm, time, code| {
        let found =
            matching_step(secret, parameters(algorithm, eight_digits), Window::default(), time, None, code);
        assert_eq!(found, Match::Accepted(time / 30), "{algorithm} at {time}");
    })
}

#[test]
fn rfc6238_appendix_b_codes_are_wrong_under_another_hash() -> Result<(), Error> {
    let eight_digits = Digits::new(8)?;
    each_vector(|secret, algorithm, time, code| {
        for (other, _) in HASHES.into_iter().filter(|(other, _)| *other != algorithm) {
            let window = Window::default();
            let found = matching_step(secret, parameters(other, eight_digits), window, time, None, code);
            assert_eq!(found, Match::NoMatch, "{algorithm} code under {other} at {time}");
        }
    })
}
