//! What it costs to choose the destination of a message.

use std::hint::black_box;

use criterion::Criterion;
use mfa::delivery::address::{LineType, Region};
use mfa::delivery::select::{ChannelPolicy, Flags, Reachable, SmsRules, select};
use mfa_benches::Mode;
use mfa_benches::turns::{Lane, Target, report, take_turns};

const MOBILE: &str = "+4915123456789";
const LANDLINE: &str = "+4930123456";
/// Turns are short, so that a busy machine interrupts few of them.
const ROUNDS: usize = 2_000;
const CALLS: usize = 500;

fn main() {
    let cases = cases();
    mfa_benches::run(|harness| criterion(harness, &cases), |mode| ratios(mode, &cases));
}

struct Case {
    name: &'static str,
    user: Reachable,
    policy: ChannelPolicy,
}

/// From the first row of the table to the last: the first medium, the second, none, and a list of every region with a
/// hook of the host's.
fn cases() -> Vec<Case> {
    let german = || SmsRules::allowing([Region::parse("DE").unwrap()]);
    let user = |email: &str, phone: &str| Reachable::none().with_email(email).with_phone(phone, None);
    let letters = || (b'A'..=b'Z').map(char::from);
    let all = letters().flat_map(|a| letters().map(move |b| format!("{a}{b}")));
    let all = all.filter_map(|code| Region::parse(&code).ok());
    let everywhere = SmsRules::allowing(all).with_line_types(|phone| phone.line().max(LineType::Mobile));
    vec![
        Case {
            name: "first",
            user: user("bob@example.com", MOBILE),
            policy: ChannelPolicy::total_uptime(german()),
        },
        Case {
            name: "second",
            user: user("bob@example.com", LANDLINE),
            policy: ChannelPolicy::total_uptime(german()),
        },
        Case { name: "nowhere", user: user("bob@", LANDLINE), policy: ChannelPolicy::kount(german()) },
        Case {
            name: "second, every region and a hook",
            user: user("bob@", MOBILE),
            policy: ChannelPolicy::kount(everywhere),
        },
    ]
}

fn criterion(harness: &mut Criterion, cases: &[Case]) {
    let flags = Flags::open();
    let mut group = harness.benchmark_group("delivery/select");
    for Case { name, user, policy } in cases {
        group.bench_function(*name, |b| {
            b.iter(|| select(black_box(user), black_box(policy), black_box(&flags)).is_ok());
        });
    }
    group.finish();
}

fn ratios(mode: Mode, cases: &[Case]) {
    let flags = Flags::open();
    let flags = &flags;
    let lane = |case| {
        let Case { name, user, policy }: &Case = case;
        Lane::new(format!("select, {name}"), CALLS, move || {
            select(black_box(user), black_box(policy), black_box(flags)).is_ok()
        })
    };
    let mut lanes = Vec::new();
    for case in cases {
        lanes.push(lane(case));
    }
    let figures = take_turns(mode, ROUNDS, &mut lanes);
    for (case, figures) in cases.iter().zip(figures) {
        let name = format!("delivery, select, {}", case.name);
        report(mode, &name, figures.median() / 1_000.0, " µs", Target::AtMost(1.0));
    }
}
