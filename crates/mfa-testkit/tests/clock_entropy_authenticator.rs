//! Clock, entropy and authenticator.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use mfa_core::{Draw, Entropy, EntropyError, RunError, Runtime, SecretBytes, Timestamp};
use mfa_testkit::authenticator::{Algorithm, ScanError, SoftAuthenticator};
use mfa_testkit::drop_at::drop_at_poll;
use mfa_testkit::entropy::{EntropyFault, FaultyEntropy, SeededEntropy};
use mfa_testkit::runtime::VirtualRuntime;

/// RFC 4226 Appendix D: the codes of counts 0 to 9.
#[test]
fn rfc4226_appendix_d() {
    let app = SoftAuthenticator::from_secret(b"12345678901234567890");
    let codes =
        ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
    for (step, code) in (0..).zip(codes) {
        assert_eq!(app.code_of_step(step), code, "count {step}");
    }
}

/// RFC 6238 Appendix B, whose secrets for SHA-256 and SHA-512 are longer (erratum 2866).
#[test]
fn rfc6238_appendix_b() {
    let digits = b"1234567890".repeat(7);
    let cases = [
        (59, ["94287082", "46119246", "90693936"]),
        (1_111_111_109, ["07081804", "68084774", "25091201"]),
        (1_111_111_111, ["14050471", "67062674", "99943326"]),
        (1_234_567_890, ["89005924", "91819424", "93441116"]),
        (2_000_000_000, ["69279037", "90698825", "38618901"]),
        (20_000_000_000, ["65353130", "77737706", "47863826"]),
    ];
    for (seconds, codes) in cases {
        let hashes = [(Algorithm::Sha1, 20), (Algorithm::Sha256, 32), (Algorithm::Sha512, 64)];
        for ((algorithm, length), code) in hashes.into_iter().zip(codes) {
            let app = SoftAuthenticator::from_secret(&digits[..length]);
            let app = app.with_algorithm(algorithm).with_digits(8);
            assert_eq!(app.code_at(at(seconds)), code, "{algorithm:?} at {seconds}");
        }
    }
}

#[test]
fn a_scanned_uri_gives_every_parameter() {
    let uri = "otpauth://totp/Ex%20am:ann+1%40example.org?secret=gezd%20gnbv&issuer=Ex%20am&\
               algorithm=SHA256&digits=8&period=60";
    let app = SoftAuthenticator::scan(uri).unwrap();
    assert_eq!(app.parameters(), (Algorithm::Sha256, 8, 60));
    assert_eq!((app.label(), app.issuer()), ("Ex am:ann+1@example.org", Some("Ex am")));
    assert_eq!(app.secret(), b"12345");
    assert!(!format!("{app:?}").contains("12345"));
}

#[test]
fn what_no_app_can_use_is_refused_by_name() {
    let parameter = |query: &str| SoftAuthenticator::scan(&format!("otpauth://totp/a?{query}"));
    for (query, name) in [
        ("", "secret"),
        ("secret=", "secret"),
        ("secret=1", "secret"),
        ("secret=GEZDGNBV&digits=5", "digits"),
        ("secret=GEZDGNBV&period=0", "period"),
        ("secret=GEZDGNBV&algorithm=MD5", "algorithm"),
    ] {
        assert_eq!(parameter(query), Err(ScanError::Parameter(name)), "{query}");
    }
    let hotp = SoftAuthenticator::scan("otpauth://hotp/a?secret=GEZDGNBV&counter=1");
    assert_eq!(hotp, Err(ScanError::NotTotp));
}

#[test]
fn a_wrong_code_is_none_of_the_codes_around() {
    let app = SoftAuthenticator::from_secret(b"12345678901234567890");
    let wrong = app.wrong_code_at(at(59), 3);
    assert_eq!(wrong.len(), 6);
    assert!((0..5).all(|step| app.code_of_step(step) != wrong));
}

#[test]
fn a_short_sleep_yields_once_and_leaves_the_clock_alone() {
    let runtime = VirtualRuntime::new(at(100));
    let pause = Duration::from_millis(999);
    assert_eq!(drop_at_poll(runtime.sleep(pause), 1), None);
    assert_eq!(drop_at_poll(runtime.sleep(pause), 2), Some(()));
    assert_eq!(runtime.now(), at(100));
    assert_eq!(runtime.take_sleeps(), [pause; 2]);
}

#[test]
fn a_long_sleep_ends_when_the_clock_has_come_so_far() {
    let runtime = VirtualRuntime::new(at(100));
    let mut sleep = runtime.sleep(Duration::from_secs(5));
    assert_eq!((&mut sleep).now_or_never(), None);
    runtime.advance(Duration::from_millis(4_999));
    assert_eq!((&mut sleep).now_or_never(), None);
    runtime.advance(Duration::from_millis(1));
    assert_eq!(sleep.now_or_never(), Some(()));
}

#[test]
fn a_full_pool_refuses_as_often_as_told() {
    let runtime = VirtualRuntime::new(at(100));
    runtime.refuse_jobs(1);
    let run = || block_on(runtime.run(Box::new(|| SecretBytes::new(vec![7]))));
    assert_eq!(run().unwrap_err(), RunError::Busy);
    assert_eq!(run().unwrap().expose_secret(), [7]);
    assert_eq!(runtime.jobs_run(), 1, "a refused job does not run");
}

#[test]
fn a_lost_job_has_run_and_gives_nothing() {
    let runtime = VirtualRuntime::new(at(100));
    runtime.lose_jobs(1);
    let run = || block_on(runtime.run(Box::new(|| SecretBytes::new(vec![7]))));
    assert_eq!(run().unwrap_err(), RunError::Lost);
    assert_eq!(run().unwrap().expose_secret(), [7]);
    assert_eq!(runtime.jobs_run(), 2);
    let panics = || -> SecretBytes { panic!("a job that panics") };
    assert_eq!(block_on(runtime.run(Box::new(panics))).unwrap_err(), RunError::Lost);
}

/// The engine's own check is what finds each fault.
#[test]
fn every_faulty_source_is_found() {
    for (fault, error) in [
        (EntropyFault::Fails, EntropyError::Unavailable),
        (EntropyFault::Short, EntropyError::ZeroBlock),
        (EntropyFault::ZeroBlock, EntropyError::ZeroBlock),
    ] {
        let source: Arc<dyn Entropy> = Arc::new(FaultyEntropy::new(fault, 1));
        assert!(Draw::from_source(Arc::clone(&source)).is_ok(), "{fault:?} is sound at first");
        assert_eq!(Draw::from_source(source).unwrap_err(), error, "{fault:?}");
    }
}

#[test]
fn a_repeating_source_repeats() {
    let source = FaultyEntropy::new(EntropyFault::Repeats, 2);
    let draws = [(); 4].map(|()| {
        let mut bytes = [0; 32];
        source.fill(&mut bytes).unwrap();
        bytes
    });
    assert_ne!(draws[0], draws[1]);
    assert_eq!((draws[2], draws[3]), (draws[0], draws[0]));
}

#[test]
fn doubles_say_that_they_are() {
    assert!(VirtualRuntime::new(at(0)).is_test_double());
    assert!(SeededEntropy::new(1).is_test_double());
    assert!(FaultyEntropy::new(EntropyFault::Fails, 0).is_test_double());
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::MIN.plus(Duration::from_secs(seconds))
}
