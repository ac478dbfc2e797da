//! Random cases for the witnesses: programs that compute codes and that this project did not write.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use mfa_totp::{Algorithm, Digits, Error, Parameters, Period, TotpSecret, code_at};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// 9999-12-31 23:59:59 UTC, the last second both witnesses read.
const END_OF_YEAR_9999: u64 = 253_402_300_799;

/// One code of one secret at one time, and what we say it is.
pub(crate) struct Case {
    pub(crate) secret: TotpSecret,
    pub(crate) parameters: Parameters,
    pub(crate) time: u64,
    pub(crate) code: String,
}

impl Case {
    fn random(rng: &mut StdRng) -> Result<Self, Error> {
        let algorithm = match rng.random_range(0..3) {
            0 => Algorithm::Sha1,
            1 => Algorithm::Sha256,
            _ => Algorithm::Sha512,
        };
        // Half of the secrets have the usual length, half of the periods too.
        let length = if rng.random_bool(0.5) { 20 } else { rng.random_range(16..=128) };
        let seconds = if rng.random_bool(0.5) { 30 } else { rng.random_range(15..=120) };
        let bytes: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        let secret = TotpSecret::from_bytes(&bytes)?;
        let parameters =
            Parameters::new(algorithm, Digits::new(rng.random_range(6..=8))?, Period::from_seconds(seconds)?);
        // Every size of time alike, from the first second to the last.
        let time = match rng.random_range(0..3) {
            0 => rng.random_range(0..=END_OF_YEAR_9999),
            1 => rng.random_range(1_600_000_000..2_200_000_000),
            _ => {
                let bits = rng.random_range(0..37);
                rng.random_range(0..=1_u64 << bits)
            }
        };
        let code = code_at(&secret, parameters, time).expose_secret().to_owned();
        Ok(Self { secret, parameters, time, code })
    }

    /// Names the case, so that it can be run again by hand.
    pub(crate) fn describe(&self) -> String {
        format!(
            "secret {}, {} with {} digits every {} s, at {}",
            self.secret.to_base32().expose_secret(),
            self.parameters.algorithm,
            self.parameters.digits,
            self.parameters.period,
            self.time,
        )
    }
}

/// Returns so many cases and the generator, whose seed is printed.
///
/// `MFA_WITNESS_SEED` sets the seed; without it every run has its own.
pub(crate) fn cases(count: usize) -> (Vec<Case>, StdRng) {
    let seed = std::env::var("MFA_WITNESS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    eprintln!("MFA_WITNESS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let cases: Vec<_> = (0..count).filter_map(|_| Case::random(&mut rng).ok()).collect();
    assert_eq!(cases.len(), count, "every case is within the limits");
    (cases, rng)
}

/// Says that a witness is not installed, which is a failure only where it is required.
pub(crate) fn missing(witness: &str, how: &str) {
    let required = std::env::var("MFA_REQUIRE_WITNESSES").is_ok_and(|value| value == "1");
    assert!(!required, "{witness} is required by MFA_REQUIRE_WITNESSES=1 and missing: {how}");
    eprintln!("skipped: {witness} is not installed ({how})");
}
