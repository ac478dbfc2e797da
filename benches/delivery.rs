//! What it costs to choose the destination of a message, and to judge a code or a link over a bare HMAC-SHA256 of the
//! same bytes.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use hmac::{Hmac, KeyInit, Mac};
use mfa::delivery::Delivered;
use mfa::delivery::address::{Domain, LineType, Region};
use mfa::delivery::select::{ChannelPolicy, Flags, Reachable, SmsRules, select};
use mfa::delivery::text::{SiteName, Texts};
use mfa::engine::internal::{link_event, link_secret};
use mfa::{
    AccountId, Answer, Change, Choice, Contact, Cx, Draw, Effect, Held, KeyId, KeyRing, LinkAct, LinkToken,
    OsEntropy, Provider, Purpose, SecretBytes, StepEvent, Then, Timestamp, UserId,
};
use mfa_benches::Mode;
use mfa_benches::turns::{Lane, Target, report, show, take_turns};
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;

const MOBILE: &str = "+4915123456789";
const LANDLINE: &str = "+4930123456";
const MAILBOX: &str = "bob@example.com";
const KEY: &str = "k1";
/// Turns are short, so that a busy machine interrupts few of them.
const ROUNDS: usize = 2_000;
const CALLS: usize = 500;

fn main() {
    let (cases, checks) = (cases(), Checks::new());
    mfa_benches::run(
        |harness| {
            criterion(harness, &cases);
            checks.criterion(harness);
        },
        |mode| {
            ratios(mode, &cases);
            checks.ratios(mode);
        },
    );
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

/// A user to whom a code and a link were sent, as the provider keeps them.
struct Checks {
    provider: Delivered,
    account: AccountId,
    user: UserId,
    ring: KeyRing,
    code: Sent,
    link: Sent,
}

/// What was sent: its settings, what the provider keeps, and what came back.
struct Sent {
    settings: Value,
    state: <Delivered as Provider>::State,
    address: <Delivered as Provider>::Secret,
    body: String,
}

impl Checks {
    fn new() -> Self {
        let (site, domain) = (SiteName::parse("Acme").unwrap(), Domain::parse("login.acme.example").unwrap());
        let provider = Delivered::email(Arc::new(Texts::builder(site, domain).build().unwrap())).unwrap();
        let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("user-000001").unwrap());
        let ring = KeyRing::new(KeyId::parse(KEY).unwrap(), [0x42; 32]).unwrap();
        let links = json!({
            "form": "link",
            "link_url": "https://login.acme.example/confirm",
            "target_url": "https://acme.example/welcome",
        });
        let sent = |settings: Value| {
            let (contacts, mut draw) = ([Contact::email(MAILBOX).unwrap().verified()], draw());
            let cx = Cx::new(now(), &account, &user, Purpose::Login, &settings, &mut draw);
            let mut cx = cx.with_ring(&ring, KEY).with_contacts(&contacts);
            let (held, none) = (Held::new(None, None, None), Choice::none());
            let step = provider.handle(&mut cx, held, StepEvent::Begin(&none)).unwrap();
            let Then::Run(Effect::Deliver(message), _) = step.then else { panic!("nothing is sent") };
            let (Change::Set(state), Change::Set(address)) = (step.state, step.secret) else { panic!() };
            Sent { settings, state, address, body: message.body.expose_secret().to_owned() }
        };
        let (code, link) = (sent(Value::Null), sent(links));
        Self { provider, account, user, ring, code, link }
    }

    /// The provider's step about what was sent.
    fn step(&self, draw: &mut Draw, sent: &Sent, event: StepEvent<'_>) -> bool {
        let mut cx = Cx::new(now(), &self.account, &self.user, Purpose::Login, &sent.settings, draw)
            .with_ring(&self.ring, KEY);
        let held = Held::new(Some(sent.state.clone()), None, Some(sent.address.clone()));
        matches!(self.provider.handle(&mut cx, held, event).unwrap().then, Then::Accept(_))
    }

    fn typed(&self) -> String {
        self.code.body[..6].to_owned()
    }

    fn token(&self) -> LinkToken {
        let mut words = self.link.body.split_whitespace();
        LinkToken::from_text(words.find_map(|word| word.split_once('#')).unwrap().1)
    }

    fn link_secret(&self) -> SecretBytes {
        link_secret(&self.ring, &self.token()).unwrap()
    }

    fn code_check(&self, draw: &mut Draw, answer: &Answer) -> bool {
        self.step(draw, &self.code, StepEvent::Answer(answer))
    }

    /// Confirmed by the browser that began: the digits are known to nobody here.
    fn link_check(&self, draw: &mut Draw, secret: &SecretBytes) -> bool {
        let confirm = LinkAct::Confirm { same_browser: true, digits: None };
        self.step(draw, &self.link, StepEvent::Link(link_event(secret, confirm)))
    }

    /// What both hash: the user's place, and the parts of a code or a link, each behind its length.
    fn hashed(&self, parts: &[&[u8]]) -> Vec<u8> {
        let challenge = [0; 16];
        let place: [&[u8]; 4] =
            [self.account.as_str().as_bytes(), self.user.as_str().as_bytes(), &challenge, b"login"];
        let behind_length =
            |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
        place.iter().chain(parts).flat_map(behind_length).collect()
    }

    fn criterion(&self, harness: &mut Criterion) {
        let (mut draw, answer, secret) = (draw(), Answer::code(&self.typed()), self.link_secret());
        let mut group = harness.benchmark_group("delivery/check");
        group.bench_function("code", |b| b.iter(|| self.code_check(&mut draw, &answer)));
        group.bench_function("link", |b| b.iter(|| self.link_check(&mut draw, &secret)));
        group.finish();
    }

    fn ratios(&self, mode: Mode) {
        let (answer, secret, token) = (Answer::code(&self.typed()), self.link_secret(), self.token());
        let (mut first, mut second) = (draw(), draw());
        assert!(self.code_check(&mut first, &answer) && self.link_check(&mut first, &secret));
        let code_bytes = self.hashed(&[b"code", MAILBOX.as_bytes(), &[0; 4], self.typed().as_bytes()]);
        let link_bytes = self.hashed(&[b"link", secret.expose_secret()]);
        let expected = [bare(&code_bytes), bare(&link_bytes)];
        let mut lanes = [
            Lane::new("code: handle", CALLS, || self.code_check(&mut first, &answer)),
            Lane::new("code: bare HMAC-SHA256", CALLS, || is(&bare(&code_bytes), &expected[0])),
            Lane::new("link: handle", CALLS, || self.link_check(&mut second, &secret)),
            Lane::new("link: bare HMAC-SHA256", CALLS, || is(&bare(&link_bytes), &expected[1])),
            Lane::new("link: opening the token", CALLS, || link_secret(&self.ring, black_box(&token))),
        ];
        let figures = take_turns(mode, ROUNDS, &mut lanes);
        show(mode, &figures);
        for (pair, name) in figures.chunks_exact(2).zip(["code", "link"]) {
            let ratio = pair[0].median() / pair[1].median();
            report(mode, &format!("delivery, {name} check / HMAC-SHA256"), ratio, "", Target::AtMost(3.0));
        }
    }
}

/// One HMAC-SHA256 from the bytes of a key.
fn bare(bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&[0x17; 32])).unwrap();
    mac.update(black_box(bytes));
    mac.finalize().into_bytes().into()
}

fn is(mac: &[u8; 32], expected: &[u8; 32]) -> bool {
    mac.ct_eq(expected).into()
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000).unwrap()
}

fn draw() -> Draw {
    Draw::from_source(Arc::new(OsEntropy::new())).unwrap()
}
