//! How answers are judged.

use core::time::Duration;

use mfa_core::{Answer, AnswerKind, Provider, Reason, StepEvent};

use super::ProviderCase;
use super::session::{End, Session};

/// The right answer confirms an enrolment and completes logins, each new one again; where the uses of an
/// enrolment run out, so does a new one's.
pub fn the_right_answer_is_accepted<C: ProviderCase>(case: &C) {
    let mut session = Session::logging_in(case, 1);
    for login in 0..3 {
        let end = session.answer(&session.right());
        assert!(matches!(end, End::Accepted(_)), "login {login}: {end:?}");
        session.pass(case.next_answer_after());
        session.renew();
        session.begin_login();
    }
}

/// An enrolment of a factor is confirmed by the right answer. One of recovery is issued: it ends with something
/// that is revealed and something that is kept, and no answer is judged, charged or accepted in it.
pub fn an_enrolment_ends_as_its_role_says<C: ProviderCase>(case: &C) {
    let mut session = Session::enrolling(case, 1);
    let right = session.right();
    if !session.is_issued() {
        let end = session.answer(&right);
        assert!(matches!(end, End::Accepted(_)), "the right answer confirms a factor: {end:?}");
        return;
    }
    let last = session.seen.last().expect("an enrolment has a step");
    assert!(!last.revealed.is_empty(), "what is issued is revealed");
    assert!(last.kept.secret.is_some(), "what is issued is kept");
    let answers = [vec![right, session.wrong()], case.malformed_answers()].concat();
    for answer in &answers {
        let mut after = session.clone();
        let end = after.answer(answer);
        assert!(!matches!(end, End::Accepted(_)), "an answer confirms what is issued: {end:?}");
        assert_eq!(after.asked, session.asked, "an answer in an enrolment costs something");
        assert_eq!(after.kept, session.kept, "an answer in an enrolment changes what is kept");
    }
}

/// A wrong answer is a rejection, in an enrolment and in a login, never an error; a right one still counts
/// after it.
pub fn a_wrong_answer_is_rejected<C: ProviderCase>(case: &C) {
    for mut session in Session::answering(case) {
        for _ in 0..2 {
            let end = session.answer(&session.wrong());
            let judged = [Reason::WrongCode, Reason::Denied].map(End::Rejected);
            assert!(judged.contains(&end), "a wrong answer: {end:?}");
        }
        let end = session.answer(&session.right());
        assert!(matches!(end, End::Accepted(_)), "the right answer after wrong ones: {end:?}");
    }
}

/// An answer that is not of the provider's form is rejected as malformed, so that it costs no attempt, and
/// changes nothing that is kept.
pub fn a_malformed_answer_is_rejected_as_such<C: ProviderCase>(case: &C) {
    let answers = case.malformed_answers();
    assert!(!answers.is_empty(), "the case names malformed answers");
    for session in Session::answering(case) {
        for answer in &answers {
            let mut judged = session.clone();
            let end = judged.answer(answer);
            assert_eq!(end, End::Rejected(Reason::Malformed), "{:?}", answer.text().expose_secret());
            assert_eq!(judged.kept.enrolment, session.kept.enrolment, "the enrolment stays");
            assert_eq!(judged.kept.secret, session.kept.secret, "the secret stays");
        }
    }
}

/// Whatever a user types is a rejection: empty, long, not ASCII, the right answer with something around it.
pub fn a_hostile_answer_is_rejected<C: ProviderCase>(case: &C) {
    let session = Session::logging_in(case, 1);
    let right = session.right();
    let text = right.text().expose_secret();
    let mut typed: Vec<String> =
        ["", "0", "\0", "-1", "+1", "1e5", "NaN", "\u{202e}654321", "%s%n", "٣٤٥٦٧٨", "é"]
            .map(String::from)
            .into();
    typed.extend([
        "9".repeat(5000),
        "\u{1f511}".repeat(2000),
        "0".repeat(20),
        "18446744073709551616".to_owned(),
    ]);
    typed.extend([format!("{text}0"), format!("0{text}"), format!("{text}\0"), format!("{text}{text}")]);
    typed.extend(text.char_indices().skip(1).map(|(end, _)| text[..end].to_owned()));
    for typed in typed {
        let answer = of_kind(right.kind(), &typed);
        let end = session.clone().answer(&answer);
        assert!(matches!(end, End::Rejected(_)), "{typed:?}: {end:?}");
    }
}

/// The text of a right answer, given as another kind of answer, is not accepted.
pub fn an_answer_of_another_kind_is_not_accepted<C: ProviderCase>(case: &C) {
    let session = Session::logging_in(case, 1);
    let right = session.right();
    let taken = &case.provider().describe().answers;
    assert!(taken.contains(&right.kind()), "the right answer is of a described kind");
    for kind in [AnswerKind::Code, AnswerKind::Recovery, AnswerKind::Reply] {
        if !taken.contains(&kind) {
            let end = session.clone().answer(&of_kind(kind, right.text().expose_secret()));
            assert!(matches!(end, End::Rejected(_) | End::Failed(_)), "as {kind:?}: {end:?}");
        }
    }
}

/// An accepted answer is refused in a later login, at once and until the user has a new one, as long as
/// the enrolment's values that came with the acceptance are there; so is the one that confirmed the
/// enrolment.
pub fn an_accepted_answer_is_not_accepted_again<C: ProviderCase>(case: &C) {
    for mut session in Session::answering(case) {
        let used = session.right();
        let end = session.answer(&used);
        assert!(matches!(end, End::Accepted(_)), "the first time: {end:?}");
        session.purpose = mfa_core::Purpose::Login;
        for wait in [Duration::ZERO, Duration::from_secs(1), case.next_answer_after()] {
            let mut later = session.clone();
            later.pass(wait);
            later.begin_login();
            let end = later.answer(&used);
            assert!(matches!(end, End::Rejected(_)), "again, {wait:?} later: {end:?}");
        }
    }
}

/// The right answer of one enrolment is wrong for another one.
pub fn the_answer_of_another_enrolment_is_not_accepted<C: ProviderCase>(case: &C) {
    let [mut one, two] = [1, 2].map(|user| Session::logging_in(case, user));
    let end = one.answer(&two.right());
    assert!(matches!(end, End::Rejected(_)), "another user's answer: {end:?}");
    let mut enrolling = Session::enrolling(case, 3);
    if enrolling.is_issued() {
        return;
    }
    let end = enrolling.event("answer", StepEvent::Answer(&two.right()));
    assert!(matches!(end, End::Rejected(_)), "another user's answer in an enrolment: {end:?}");
}

/// An enrolment whose uses are counted is good for so many right answers, each of which takes one, and for none
/// after the last. A refused answer takes none. What is issued for recovery is counted.
pub fn uses_are_counted_down<C: ProviderCase>(case: &C) {
    const MOST: u8 = 100;
    let mut session = Session::logging_in(case, 1);
    let Some(total) = session.uses_left() else {
        assert!(!session.is_issued(), "what is issued for recovery is counted");
        let _ = session.answer(&session.right());
        assert_eq!(session.uses_left(), None, "uses are counted from the beginning or not at all");
        return;
    };
    assert!((1..=MOST).contains(&total), "{total} uses of a new enrolment");
    let mut answers = Vec::new();
    for left in (0..total).rev() {
        for refused in [vec![session.wrong()], case.malformed_answers()].concat() {
            let _ = session.answer(&refused);
            assert_eq!(session.uses_left(), Some(left + 1), "a refused answer takes no use");
        }
        answers.push(session.right());
        let end = session.answer(&answers[answers.len() - 1]);
        assert!(matches!(end, End::Accepted(_)), "with {} uses left: {end:?}", left + 1);
        assert_eq!(session.uses_left(), Some(left), "an accepted answer takes one use");
        session.pass(case.next_answer_after());
        session.begin_login();
    }
    answers.push(session.right());
    for answer in &answers {
        let end = session.answer(answer);
        assert!(matches!(end, End::Rejected(_)), "with no uses left: {end:?}");
    }
}

fn of_kind(kind: AnswerKind, text: &str) -> Answer {
    match kind {
        AnswerKind::Code => Answer::code(text),
        AnswerKind::Recovery => Answer::recovery(text),
        AnswerKind::Reply => Answer::reply(text),
        other => panic!("the suite does not know answers of kind {other:?}"),
    }
}
