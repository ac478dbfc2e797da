//! Bad input gets an error that names it: authenticator apps and documents.
#![cfg(test)]

use std::time::Duration;

use mfa::totp::{
    Algorithm, Digits, Match, OtpauthUri, Parameters, Period, Totp, TotpSecret, Window, code_at,
    matching_step,
};
use mfa::{
    Challenge, Choice, EnrolConfirm, EnrolmentStarted, Error, MethodSelector, Policy, ProviderName, Reason,
    Response, Subject, Timestamp, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::entropy::SeededEntropy;
use mfa_tests::{START, STEP, World, begin, host, on_stores, subject, totp};
use serde_json::{Value, json};

/// Times and codes of eight digits.
type Vectors = [(u64, &'static str); 6];

/// The seeds and codes of RFC 6238 appendix B.
const RFC_6238: [(&str, &[u8], Vectors); 3] = [
    (
        "SHA1",
        b"12345678901234567890",
        [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ],
    ),
    (
        "SHA256",
        b"12345678901234567890123456789012",
        [
            (59, "46119246"),
            (1_111_111_109, "68084774"),
            (1_111_111_111, "67062674"),
            (1_234_567_890, "91819424"),
            (2_000_000_000, "90698825"),
            (20_000_000_000, "77737706"),
        ],
    ),
    (
        "SHA512",
        b"1234567890123456789012345678901234567890123456789012345678901234",
        [
            (59, "90693936"),
            (1_111_111_109, "25091201"),
            (1_111_111_111, "99943326"),
            (1_234_567_890, "93441116"),
            (2_000_000_000, "38618901"),
            (20_000_000_000, "47863826"),
        ],
    ),
];

fn base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes)
}

async fn start(world: &World, user: &Subject, choice: Value) -> Result<EnrolmentStarted, Error> {
    world.engine.enrol_begin(user.account(), user.user(), &totp(), &Choice::new(choice), &host()).await
}

async fn confirm(world: &World, started: &EnrolmentStarted, code: &str) -> Option<Reason> {
    match world.engine.enrol_confirm(&started.reference, &Response::code(code)).await.unwrap() {
        EnrolConfirm::Confirmed(_) => None,
        EnrolConfirm::Rejected(rejected) => Some(rejected.reason),
        other => panic!("{other:?}"),
    }
}

async fn reason(world: &World, challenge: &Challenge, code: &str) -> Option<Reason> {
    match world.answer(challenge, code).await {
        Verify::Verified(_) => None,
        Verify::Rejected(rejected) => Some(rejected.reason),
        other => panic!("{other:?}"),
    }
}

fn app_of(started: &EnrolmentStarted) -> SoftAuthenticator {
    SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

on_stores! {
    async fn b059_the_vectors_of_rfc_6238_log_in_with_six_and_eight_digits(world) {
        for (algorithm, seed, vectors) in RFC_6238 {
            for digits in [6, 8] {
                let user = world.add(&format!("{algorithm}-{digits}")).await;
                // Enrolled a year before the first vector, as far as the clock goes back.
                world.clock.set(at(0));
                let secret = TotpSecret::from_bytes(seed).unwrap();
                let chosen = json!({ "secret": base32(seed), "algorithm": algorithm, "digits": digits });
                let started = start(&world, &user, chosen).await.unwrap();
                let parameters = Parameters::new(
                    algorithm.parse::<Algorithm>().unwrap(),
                    Digits::new(digits).unwrap(),
                    Period::from_seconds(30).unwrap(),
                );
                let first = code_at(&secret, parameters, 0);
                assert_eq!(confirm(&world, &started, first.expose_secret()).await, None);
                for (seconds, code) in vectors {
                    world.clock.set(at(seconds));
                    let challenge = world.begin(&user).await;
                    let code = &code[8 - usize::from(digits)..];
                    assert_eq!(reason(&world, &challenge, code).await, None, "{algorithm} {seconds}");
                }
            }
        }
    }

    async fn b060_imported_secrets_are_read_as_people_type_them_and_weak_ones_refused(world) {
        let user = world.add("bob").await;
        let secret = b"12345678901234567890";
        let text = base32(secret);
        let spaced: String = text
            .to_lowercase()
            .chars()
            .enumerate()
            .flat_map(|(n, c)| (n % 4 == 0 && n > 0).then_some(' ').into_iter().chain([c]))
            .collect();
        let padded = data_encoding::BASE32.encode(&secret[..17]);
        for typed in [text.clone(), text.to_lowercase(), spaced, padded.clone(), padded.replace('=', "")] {
            let started = start(&world, &user, json!({ "secret": typed })).await.unwrap();
            assert_eq!(app_of(&started).secret(), &secret[..app_of(&started).secret().len()]);
        }
        for (typed, code) in [
            (base32(&secret[..15]), "weak_secret"),
            ("GEZDGNBVGY".to_owned(), "weak_secret"),
            (text.replacen('G', "0", 1), "invalid_base32"),
            (text.replacen('G', "1", 1), "invalid_base32"),
            (text.replacen('G', "8", 1), "invalid_base32"),
            (text.replacen('G', "9", 1), "invalid_base32"),
            (base32(&[7; 129]), "secret_too_long"),
            ("A".repeat(513), "invalid_base32"),
        ] {
            let error = start(&world, &user, json!({ "secret": typed })).await.unwrap_err();
            assert_eq!(error.code(), code, "{typed:.20}");
            assert!(!format!("{error} {error:?}").contains(&typed), "an error never repeats a secret");
        }
        for (choice, code) in [
            (json!({ "digits": 5 }), "invalid_digits"),
            (json!({ "digits": "6" }), "invalid_digits"),
            (json!({ "period": 0 }), "invalid_period"),
            (json!({ "period": 65_536 }), "invalid_period"),
            (json!({ "algorithm": "MD5" }), "invalid_algorithm"),
            (json!({ "uri": "otpauth://" }), "invalid_uri"),
            (
                json!({ "uri": "otpauth://hotp/a:b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }),
                "unsupported_type",
            ),
            (json!({ "uri": "otpauth://totp/a:b?issuer=a" }), "missing_secret"),
        ] {
            assert_eq!(start(&world, &user, choice.clone()).await.unwrap_err().code(), code, "{choice}");
        }
    }

    async fn b061_one_step_back_and_one_ahead_are_right_and_two_are_wrong(world) {
        for (steps, expected) in [
            (-2_i64, Some(Reason::WrongCode)),
            (-1, None),
            (0, None),
            (1, None),
            (2, Some(Reason::WrongCode)),
        ] {
            let (user, app) = world.enrol(&format!("bob{steps}")).await;
            world.clock.advance(10 * STEP);
            let challenge = world.begin(&user).await;
            let now = i64::try_from(world.now().unix_seconds() / 30).unwrap();
            let code = app.code_of_step(u64::try_from(now + steps).unwrap());
            assert_eq!(reason(&world, &challenge, &code).await, expected, "{steps}");
        }
    }

    async fn b062_the_same_step_again_and_an_older_one_after_a_newer_are_replays(world) {
        let (user, app) = world.enrol("bob").await;
        let step = world.now().unix_seconds() / 30;
        let challenge = world.begin(&user).await;
        assert_eq!(reason(&world, &challenge, &app.code_of_step(step + 1)).await, None);
        let challenge = world.begin(&user).await;
        for replay in [step + 1, step] {
            assert_eq!(reason(&world, &challenge, &app.code_of_step(replay)).await, Some(Reason::Replayed));
        }
    }

    async fn b063_times_at_both_ends_of_the_clock_are_judged_and_nothing_panics(world) {
        for (n, now) in
            [at(0), at(1), at(29), at(30), Timestamp::MAX.minus(STEP), Timestamp::MAX].into_iter().enumerate()
        {
            let user = world.add(&format!("bob{n}")).await;
            world.clock.set(now);
            let started = start(&world, &user, json!({})).await.unwrap();
            // The end of time is past the life of anything begun: a refusal, no panic.
            let app = app_of(&started);
            if confirm(&world, &started, &app.code_at(now)).await.is_none() {
                let challenge = world.begin(&user).await;
                assert!(
                    reason(&world, &challenge, &app.code_at(now)).await.is_some(),
                    "used by the confirmation"
                );
                let next = app.code_of_step(now.unix_seconds() / 30 + 1);
                assert_eq!(reason(&world, &challenge, &next).await, None);
            } else {
                assert_eq!(now, Timestamp::MAX);
            }
        }
        assert!(Timestamp::from_unix_seconds(u64::MAX).is_err());
    }

    async fn b064_labels_and_issuers_are_percent_encoded_and_colons_refused(world) {
        for label in ["a/b", "100%", "a&b=c", "a?b#c", "bob 🔑", "é", "a+b", "\"<>\""] {
            let user = subject(&format!("u{}", label.len())).with_label(label).unwrap();
            world.directory.put(&user).await.unwrap();
            let started = start(&world, &user, json!({})).await.unwrap();
            let uri = started.revealed.get("uri").unwrap().expose_secret().to_owned();
            assert!(uri.is_ascii() && !uri.contains(' '), "{label}");
            let app = SoftAuthenticator::scan(&uri).unwrap();
            assert!(app.label().ends_with(label), "{:?}", app.label());
            assert_eq!(app.issuer(), Some("Example"));
        }
        let user = subject("colon").with_label("Other Bank:bob").unwrap();
        world.directory.put(&user).await.unwrap();
        assert_eq!(start(&world, &user, json!({})).await.unwrap_err().code(), "invalid_label");
        for issuer in ["a:b", "", &"x".repeat(1000)] {
            assert_eq!(Totp::new(issuer).unwrap_err().code(), "invalid_issuer");
        }
    }

    async fn b065_a_confirmation_after_the_enrolments_life_is_told_so(world) {
        let user = world.add("bob").await;
        let started = start(&world, &user, json!({})).await.unwrap();
        assert_eq!(started.expires_at, world.now().plus(Duration::from_secs(600)));
        world.clock.set(started.expires_at);
        let right = app_of(&started).code_at(world.now());
        assert_eq!(confirm(&world, &started, &right).await, Some(Reason::EnrolmentExpired));
        assert!(world.engine.methods(user.account(), user.user()).await.unwrap().is_empty());
        let started = start(&world, &user, json!({})).await.unwrap();
        world.clock.set(started.expires_at.minus(Duration::from_millis(1)));
        let right = app_of(&started).code_at(world.now());
        assert_eq!(confirm(&world, &started, &right).await, None);
    }

    async fn b066_a_second_enrolment_that_is_begun_leaves_the_active_one_alone(world) {
        let (user, app) = world.enrol("bob").await;
        let first = start(&world, &user, json!({})).await.unwrap();
        let second = start(&world, &user, json!({})).await.unwrap();
        assert_ne!(app_of(&first).secret(), app_of(&second).secret());
        let challenge = world.begin(&user).await;
        assert_eq!(challenge.methods.len(), 1);
        let of_pending = app_of(&second).code_at(world.now());
        assert_eq!(reason(&world, &challenge, &of_pending).await, Some(Reason::WrongCode));
        assert_eq!(reason(&world, &challenge, &app.code_at(world.now())).await, None);
        // Neither reveals the other's secret again: the reference shows none.
        assert!(!format!("{first:?}{second:?}").contains(&base32(app_of(&first).secret())));
    }

    async fn b067_a_confirmed_enrolment_is_not_confirmed_again(world) {
        let user = world.add("bob").await;
        let started = start(&world, &user, json!({})).await.unwrap();
        let app = app_of(&started);
        assert_eq!(confirm(&world, &started, &app.code_at(world.now())).await, None);
        world.clock.advance(STEP);
        assert_eq!(confirm(&world, &started, &app.code_at(world.now())).await, Some(Reason::AlreadyVerified));
        assert_eq!(confirm(&world, &started, "000000").await, Some(Reason::AlreadyVerified));
        assert_eq!(world.engine.methods(user.account(), user.user()).await.unwrap().len(), 1);
    }

    async fn b068_a_method_that_is_not_offered_is_not_enrolled(world) {
        let user = world.add("bob").await;
        let policy = Policy::recommended().with_document(&json!({ "offered": ["sms"] })).unwrap();
        let strict = world.node().policy(policy).build().await.unwrap();
        for (engine, name) in
            [(&strict, "totp"), (&strict, "sms"), (&world.engine, "sms"), (&world.engine, "duo")]
        {
            let provider = ProviderName::parse(name).unwrap();
            let begun =
                engine.enrol_begin(user.account(), user.user(), &provider, &Choice::none(), &host()).await;
            assert_eq!(begun.unwrap_err().code(), "method_not_offered", "{name}");
        }
        let by_name = MethodSelector::Provider(totp());
        let preferred = world.engine.method_prefer(user.account(), user.user(), &by_name, &host()).await;
        assert_eq!(preferred.unwrap_err().code(), "unknown_method");
        let polled = start(&world, &user, json!({})).await.unwrap();
        // A poll is no answer: it confirms nothing.
        let waiting = world.engine.enrol_confirm(&polled.reference, &Response::poll()).await.unwrap();
        assert!(matches!(waiting, EnrolConfirm::Pending(_)), "{waiting:?}");
        assert!(world.engine.methods(user.account(), user.user()).await.unwrap().is_empty());
    }

    async fn b098_unknown_fields_of_a_choice_are_passed_over_and_those_of_a_policy_refused(world) {
        let user = world.add("bob").await;
        assert!(start(&world, &user, json!({ "colour": "blue", "digits": null })).await.is_ok());
        let errors =
            Policy::recommended().with_document(&json!({ "colour": 1, "attempts": 0, "enforced": "yes" }));
        let mut codes: Vec<_> = errors.unwrap_err().iter().map(|e| (e.field.clone(), e.code)).collect();
        codes.sort();
        let expected = [("attempts", "clamp"), ("colour", "unknown_knob"), ("enforced", "type")];
        assert_eq!(codes, expected.map(|(field, code)| (field.to_owned(), code)));
    }

    async fn b101_the_same_time_and_the_same_randomness_give_the_same_references(world) {
        let twin = World::memory().await;
        let secret = json!({ "secret": base32(b"12345678901234567890") });
        let mut references = Vec::new();
        for world in [&world, &twin] {
            let user = world.add("bob").await;
            let node =
                world.node().entropy(std::sync::Arc::new(SeededEntropy::new(101))).build().await.unwrap();
            let choice = Choice::new(secret.clone());
            let begun =
                node.enrol_begin(user.account(), user.user(), &totp(), &choice, &host()).await.unwrap();
            let code = Response::code(&app_of(&begun).code_at(world.now()));
            assert!(matches!(
                node.enrol_confirm(&begun.reference, &code).await.unwrap(),
                EnrolConfirm::Confirmed(_)
            ));
            world.clock.set(at(START + 30));
            references.push(begin(&node, &user).await.reference.expose_secret().to_owned());
        }
        assert_eq!(references[0], references[1]);
    }
}

#[test]
fn b063_codes_are_computed_at_any_time() {
    let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
    let parameters = Parameters::default();
    let last = Timestamp::MAX.unix_seconds();
    for now in [0, 1, 29, 30, 31, last - 30, last, u64::MAX - 30, u64::MAX] {
        let code = code_at(&secret, parameters, now);
        let judged =
            |used| matching_step(&secret, parameters, Window::default(), now, used, code.expose_secret());
        // Past the last time that a clock shows a refusal will do; nothing is accepted twice.
        assert!(!matches!(judged(Some(u64::MAX)), Match::Accepted(_)), "{now}");
        match judged(None) {
            Match::Accepted(step) if now <= last => {
                assert_eq!(step, now / 30);
                assert!(matches!(judged(Some(step)), Match::Replayed), "{now}");
            }
            other => assert!(now > last, "{now}: {other:?}"),
        }
    }
}

#[test]
fn b099_a_parameter_that_comes_twice_is_refused() {
    let uri =
        "otpauth://totp/a:b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    assert_eq!(OtpauthUri::parse(uri).unwrap_err().code(), "duplicate_parameter");
}

#[test]
fn b104_every_reason_and_error_has_a_name_of_its_own() {
    let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len());
    let snake = |code: &str| !code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    assert!(codes.iter().all(|code| snake(code)));
    let mut names: Vec<_> = Policy::KNOBS.iter().map(|knob| knob.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Policy::KNOBS.len());
    for error in [Error::Contention, Error::Busy, Error::UnknownUser, Error::Unavailable("the test")] {
        assert!(snake(error.code()), "{error}");
    }
}
