//! No code, hash or typed text in any `Debug` or error.

use mfa_core::{Choice, Purpose, StepEvent, Versioned};
use mfa_recovery::{Count, RecoveryCode, RecoveryCodes, check};

use crate::support::{User, draw, with_checksum};

#[test]
fn debug_of_every_secret_type_is_redacted() {
    let user = User::with_codes(1);
    let codes = RecoveryCodes::generate(Count::default(), &mut draw(1).unwrap()).unwrap();
    let code = codes.iter().next().unwrap();
    let text = code.to_text().expose_secret().to_owned();
    let set = user.secret.clone().unwrap();
    let hash = set.encode().unwrap();
    let some_of_the_hash = format!("{:?}", &hash[hash.len() - 8..]);
    for printed in [
        format!("{code:?}"),
        format!("{codes:?}"),
        format!("{codes:#?}"),
        format!("{:?}", codes.to_text()),
        format!("{:?}", codes.to_download("Example", audit_model::Timestamp::MIN)),
        format!("{set:?}"),
        format!("{set:#?}"),
        format!("{:?}", RecoveryCode::parse(&text)),
    ] {
        assert!(printed.contains("[redacted]"), "{printed}");
        let plain = text.replace('-', "");
        for leak in [&text[..9], &plain[2..8], some_of_the_hash.trim_matches(['[', ']'])] {
            assert!(!printed.contains(leak), "{leak} in {printed}");
        }
    }
}

#[test]
fn steps_print_neither_codes_nor_answers() {
    let mut user = User::with_codes(1);
    let begun = user.run(Purpose::Enrol, 2, StepEvent::Begin(&Choice::none())).unwrap();
    let answer = mfa_core::Answer::recovery(&user.codes[0]);
    let asked = user.step(Purpose::Login, 2, StepEvent::Answer(&answer)).unwrap();
    for printed in
        [format!("{begun:?}"), format!("{asked:?}"), format!("{:?}", user.state), format!("{answer:?}")]
    {
        for code in &user.codes {
            assert!(!printed.contains(&code[..9]), "{printed}");
        }
    }
}

#[test]
fn errors_do_not_repeat_the_value() {
    const MARK: &str = "QXMARKXQ";
    let code = RecoveryCode::parse(&with_checksum(&"7".repeat(18))).unwrap();
    let errors = [
        RecoveryCode::parse(MARK).unwrap_err(),
        RecoveryCode::parse(&format!("{MARK}!")).unwrap_err(),
        RecoveryCode::parse(&format!("{MARK}{MARK}0000")).unwrap_err(),
        RecoveryCode::parse(&MARK.repeat(20)).unwrap_err(),
        check(&code, MARK).unwrap_err(),
        check(&code, &format!("$argon2id$v=19$m=19456,t=2,p=1${MARK}${MARK}")).unwrap_err(),
        check(&code, &format!("$argon2id$v=19${MARK}")).unwrap_err(),
        mfa_recovery::Recovery::new(&format!("{MARK}\n")).unwrap_err(),
        MARK.parse::<mfa_recovery::Form>().unwrap_err(),
    ];
    for error in errors {
        let text = format!("{error} {error:?} {}", error.code());
        assert!(!text.contains(MARK), "{text}");
    }
}
