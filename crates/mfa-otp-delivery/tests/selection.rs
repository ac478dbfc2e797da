//! Which address a message goes to.

#![expect(clippy::unwrap_used, reason = "a test fails so")]

use mfa_core::NotDelivered;
use mfa_otp_delivery::address::{Destination, LineType, Medium, Region};
use mfa_otp_delivery::select::{
    ChannelPolicy, Decision, Flags, Indicator, NoFallback, NoMethod, Order, Reachable, SmsRules, Unusable,
    fall_back, select,
};

const MOBILE: &str = "+4915123456789";
const LANDLINE: &str = "+4930123456";
const FOREIGN: &str = "+447400123456";

fn german() -> SmsRules {
    SmsRules::allowing([Region::parse("DE").unwrap()])
}

fn user(email: &str, phone: &str) -> Reachable {
    Reachable::none().with_email(email).with_phone(phone, None)
}

fn medium(user: &Reachable, policy: &ChannelPolicy, flags: &Flags) -> Result<Medium, NoMethod> {
    select(user, policy, flags).map(|selected| selected.destination.medium())
}

fn flags(change: impl FnOnce(&mut Flags)) -> Flags {
    let mut flags = Flags::open();
    change(&mut flags);
    flags
}

/// D5: a valid mobile number gets an SMS, everything else an e-mail.
#[test]
fn total_uptime_sends_an_sms_where_there_is_a_mobile_number_else_an_email() {
    let (policy, open) = (ChannelPolicy::total_uptime(german()), Flags::open());
    let to = |phone| medium(&user("bob@example.com", phone), &policy, &open).unwrap();
    assert_eq!(to(MOBILE), Medium::Sms);
    for other in ["", LANDLINE, FOREIGN, "0151 2345 6789", "not a number", "+4915123456789\r\n"] {
        assert_eq!(to(other), Medium::Email, "{other:?}");
    }
    assert_eq!(medium(&user("", MOBILE), &policy, &open), Ok(Medium::Sms));
}

/// C15: e-mail unless it is invalid or not available.
#[test]
fn kount_sends_an_email_unless_it_is_invalid_or_not_there() {
    let (policy, open) = (ChannelPolicy::kount(german()), Flags::open());
    let to = |user: &Reachable, flags: &Flags| medium(user, &policy, flags);
    assert_eq!(to(&user("bob@example.com", MOBILE), &open), Ok(Medium::Email));
    assert_eq!(to(&user("", MOBILE), &open), Ok(Medium::Sms));
    assert_eq!(to(&user("bob@", MOBILE), &open), Ok(Medium::Sms));
    assert_eq!(to(&user("bob@example.com", MOBILE).with_undeliverable_email(), &open), Ok(Medium::Sms));
    let sms_alone = flags(|flags| flags.email = false);
    assert_eq!(to(&user("bob@example.com", MOBILE), &sms_alone), Ok(Medium::Sms));
    // SMS alone and no number: the send fails, and the login with it.
    let failed = to(&user("bob@example.com", ""), &sms_alone).unwrap_err();
    let (email, sms) = (Some(Unusable::TypeOff), Some(Unusable::Missing));
    assert_eq!(failed, NoMethod::Unreachable { email, sms });
    assert!(!failed.is_gate());
}

/// Part 2.6: e-mail, never anything else.
#[test]
fn b3_networks_sends_emails_alone() {
    let (policy, open) = (ChannelPolicy::b3_networks(), Flags::open());
    assert_eq!(medium(&user("bob@example.com", MOBILE), &policy, &open), Ok(Medium::Email));
    let unreachable = NoMethod::Unreachable { email: Some(Unusable::Missing), sms: None };
    assert_eq!(medium(&user("", MOBILE), &policy, &open), Err(unreachable));
    let both = user("bob@example.com", MOBILE);
    let refused = fall_back(&both, &policy, &open, Medium::Email, NotDelivered::Permanent);
    assert_eq!(refused.unwrap_err(), NoFallback::NotByPolicy);
}

/// C4, C13, C14, C19, C20, edge case 56: a closed gate sends nothing and leaves the decision as it is.
#[test]
fn kounts_gates_are_all_open_or_nothing_is_sent() {
    let policy = ChannelPolicy::kount(german());
    let bob = user("bob@example.com", MOBILE);
    let table = [
        (flags(|flags| flags.vendor = false), NoMethod::VendorOff),
        (flags(|flags| flags.profile = false), NoMethod::ProfileOff),
        (flags(|flags| (flags.email, flags.sms) = (false, false)), NoMethod::EveryTypeOff),
        (flags(|flags| flags.decision = Decision::Allow), NoMethod::NotChallenged(Decision::Allow)),
        (flags(|flags| flags.decision = Decision::Block), NoMethod::NotChallenged(Decision::Block)),
    ];
    for (flags, reason) in table {
        assert_eq!(medium(&bob, &policy, &flags), Err(reason));
        assert!(reason.is_gate());
    }
    assert_eq!(medium(&bob, &policy, &Flags::open()), Ok(Medium::Email));
}

/// C18.
#[test]
fn the_indicator_is_a_function_of_three_switches() {
    for bits in 0..8_u8 {
        let (vendor, email, sms) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        let shown = flags(|flags| (flags.vendor, flags.email, flags.sms) = (vendor, email, sms)).indicator();
        let expected = if !vendor {
            Indicator::Missing
        } else if email || sms {
            Indicator::Green
        } else {
            Indicator::Grey
        };
        assert_eq!(shown, expected);
    }
}

/// C3, edge case 58.
#[test]
fn decisions_are_read_in_any_case_and_unknown_ones_are_errors() {
    for (text, decision) in
        [("Allow", Decision::Allow), ("bLOCK", Decision::Block), ("CHALLENGE", Decision::Challenge)]
    {
        assert_eq!(Decision::parse(text).unwrap(), decision);
    }
    for unknown in ["", "Review", "Allow ", "ＡLLOW"] {
        assert_eq!(Decision::parse(unknown).unwrap_err().code, "unknown_decision");
    }
}

/// Edge case 48.
#[test]
fn a_user_without_any_address_cannot_be_reached_and_is_not_let_in() {
    for policy in [
        ChannelPolicy::total_uptime(german()),
        ChannelPolicy::kount(german()),
        ChannelPolicy::b3_networks(),
        ChannelPolicy::new(Order::Sms, german()),
    ] {
        let reason = select(&Reachable::none(), &policy, &Flags::open()).unwrap_err();
        assert!(!reason.is_gate(), "{reason:?}");
    }
}

#[test]
fn s14_only_a_permanent_refusal_moves_a_message() {
    let (policy, open) = (ChannelPolicy::total_uptime(german()), Flags::open());
    let bob = user("bob@example.com", MOBILE);
    for cause in [NotDelivered::Temporary, NotDelivered::TimedOut] {
        let stays = fall_back(&bob, &policy, &open, Medium::Sms, cause);
        assert_eq!(stays.unwrap_err(), NoFallback::NotPermanent);
    }
    let moved = fall_back(&bob, &policy, &open, Medium::Sms, NotDelivered::Permanent).unwrap();
    assert_eq!(moved.destination.medium(), Medium::Email);
    assert_eq!(moved.instead_of, Some((Medium::Sms, Unusable::Refused)));
}

/// D22 and part 2.6: Total Uptime falls back to e-mail and from there nowhere, Kount nowhere at all.
#[test]
fn a_fallback_goes_down_the_order_and_never_back() {
    let (open, bob) = (Flags::open(), user("bob@example.com", MOBILE));
    let permanent = NotDelivered::Permanent;
    let total_uptime = ChannelPolicy::total_uptime(german());
    let back = fall_back(&bob, &total_uptime, &open, Medium::Email, permanent);
    assert_eq!(back.unwrap_err(), NoFallback::NotByPolicy);
    for medium in Medium::ALL {
        let kount = fall_back(&bob, &ChannelPolicy::kount(german()), &open, medium, permanent);
        assert_eq!(kount.unwrap_err(), NoFallback::NotByPolicy);
    }
    let phone_alone = user("", MOBILE);
    let unreachable = fall_back(&phone_alone, &total_uptime, &open, Medium::Sms, permanent);
    let (email, sms) = (Some(Unusable::Missing), Some(Unusable::Refused));
    assert_eq!(unreachable.unwrap_err(), NoFallback::NoMethod(NoMethod::Unreachable { email, sms }));
    // A gate that closed in the meantime stays closed.
    let closed = flags(|flags| flags.vendor = false);
    let gated = fall_back(&bob, &total_uptime, &closed, Medium::Sms, permanent);
    assert_eq!(gated.unwrap_err(), NoFallback::NoMethod(NoMethod::VendorOff));
}

#[test]
fn s20_numbers_need_an_allowed_region_and_a_mobile_line() {
    let policy = |rules| ChannelPolicy::new(Order::Sms, rules);
    let open = Flags::open();
    let reason = |phone: &str, rules: SmsRules| match select(&user("", phone), &policy(rules), &open) {
        Ok(_) => None,
        Err(NoMethod::Unreachable { sms, .. }) => sms,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(reason(MOBILE, german()), None);
    assert_eq!(reason(MOBILE, SmsRules::none()), Some(Unusable::RegionNotAllowed));
    assert_eq!(reason(MOBILE, SmsRules::allowing([])), Some(Unusable::RegionNotAllowed));
    assert_eq!(reason(FOREIGN, german()), Some(Unusable::RegionNotAllowed));
    // A satellite phone, which belongs to no region; a premium number.
    assert_eq!(reason("+870301234567", german()), Some(Unusable::RegionNotAllowed));
    assert_eq!(reason("+499001234567", german()), Some(Unusable::NotMobile));
    // What the host knows of a line counts, but it cannot make a premium number harmless.
    assert_eq!(reason(MOBILE, german().with_line_types(|_| LineType::Voip)), Some(Unusable::NotMobile));
    assert_eq!(reason(LANDLINE, german().with_line_types(|_| LineType::Mobile)), None);
    assert_eq!(reason(MOBILE, german().with_line_types(|_| LineType::Unknown)), None);
    let premium = german().with_line_types(|_| LineType::Mobile);
    assert_eq!(reason("+499001234567", premium), Some(Unusable::NotMobile));
}

#[test]
fn the_documented_choice_names_why_the_first_was_passed_over() {
    let bob = user("bob@example.com", LANDLINE);
    let selected = select(&bob, &ChannelPolicy::total_uptime(german()), &Flags::open()).unwrap();
    assert_eq!(selected.instead_of, Some((Medium::Sms, Unusable::NotMobile)));
    let Destination::Email(email) = selected.destination else { panic!("not an e-mail") };
    assert_eq!(email.as_str(), "bob@example.com");
}

/// Everything that `select` can be asked, against the table of its documentation, read row by row.
#[test]
fn every_input_is_answered_as_the_table_says() {
    let emails = [("", Some("missing")), ("bob@", Some("malformed")), ("bob@example.com", None)];
    let phones = [
        ("", Some("missing")),
        ("12", Some("malformed")),
        (FOREIGN, Some("region_not_allowed")),
        (LANDLINE, Some("not_mobile")),
        (MOBILE, None),
    ];
    let orders = [
        (Order::Email, &["email"][..]),
        (Order::Sms, &["sms"]),
        (Order::EmailThenSms, &["email", "sms"]),
        (Order::SmsThenEmail, &["sms", "email"]),
    ];
    let mut asked = 0;
    for (email, email_problem) in emails {
        for undeliverable in [false, true] {
            for (phone, phone_problem) in phones {
                let mut bob = user(email, phone);
                let mut email_problem = email_problem;
                if undeliverable {
                    bob = bob.with_undeliverable_email();
                    email_problem = email_problem.or(Some("undeliverable"));
                }
                for (order, media) in orders {
                    for bits in 0..16_u8 {
                        for decision in [Decision::Allow, Decision::Block, Decision::Challenge] {
                            let flags = flags(|flags| {
                                (flags.vendor, flags.profile) = (bits & 1 != 0, bits & 2 != 0);
                                (flags.email, flags.sms) = (bits & 4 != 0, bits & 8 != 0);
                                flags.decision = decision;
                            });
                            let policy = ChannelPolicy::new(order, german());
                            let answer = spoken(&select(&bob, &policy, &flags));
                            let expected = reference(media, email_problem, phone_problem, &flags);
                            assert_eq!(answer, expected, "{bob:?} {order:?} {flags:?}");
                            asked += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(asked, 3 * 2 * 5 * 4 * 16 * 3);
}

/// The two tables of the module's documentation, as slow and plain as they are written there.
fn reference(
    media: &[&str],
    email_problem: Option<&str>,
    phone_problem: Option<&str>,
    flags: &Flags,
) -> String {
    if !flags.vendor {
        return "vendor_off".to_owned();
    }
    if flags.decision != Decision::Challenge {
        return "not_challenged".to_owned();
    }
    if !flags.profile {
        return "profile_off".to_owned();
    }
    if !flags.email && !flags.sms {
        return "every_type_off".to_owned();
    }
    let mut problems = Vec::new();
    for medium in media {
        let (on, problem) =
            if *medium == "email" { (flags.email, email_problem) } else { (flags.sms, phone_problem) };
        let problem = if on { problem } else { Some("type_off") };
        match problem {
            None => {
                let before: Vec<_> = problems.iter().map(|problem| format!(" not {problem}")).collect();
                return format!("to {medium}{}", before.concat());
            }
            Some(problem) => problems.push(format!("{medium}:{problem}")),
        }
    }
    problems.sort();
    format!("unreachable {}", problems.join(" "))
}

fn spoken(answer: &Result<mfa_otp_delivery::select::Selected<'_>, NoMethod>) -> String {
    match answer {
        Ok(selected) => {
            let before =
                selected.instead_of.map(|(medium, why)| format!(" not {}:{}", medium.code(), why.code()));
            format!("to {}{}", selected.destination.medium().code(), before.unwrap_or_default())
        }
        Err(NoMethod::Unreachable { email, sms }) => {
            let of = |medium: &str, why: &Option<Unusable>| why.map(|why| format!("{medium}:{}", why.code()));
            let problems: Vec<_> = [of("email", email), of("sms", sms)].into_iter().flatten().collect();
            format!("unreachable {}", problems.join(" "))
        }
        Err(gate) => gate.code().to_owned(),
    }
}
