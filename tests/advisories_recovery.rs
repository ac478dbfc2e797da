//! Recovery codes that are used more than once, or never used up: T1, T2 and T4.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use mfa::{
    Begin, Challenge, Changed, Channel, Engine, Error, FirstFactor, FirstFactorKind, Intent, KeyId, Login,
    Module, Reason, Rejected, Status, Subject, Target, Verify,
};
use mfa_testkit::race::{GateStore, race};
use mfa_tests::probe::{Gate, failures_today, meet, refusal};
use mfa_tests::saved::{Meeting, PAST_A_DELAY, guess, left, recover, recovery, recovery_node_on};
use mfa_tests::{World, begin, login, on_stores, session, totp};

/// How many answers race.
const MANY: usize = 64;
/// How many of them are charged before the delays begin.
const CHARGED: usize = 5;

on_stores! {
    // CVE-2026-33624. Every node has read the challenge before the first of them charges it.
    async fn t01_one_code_on_one_challenge_and_64_nodes_is_granted_once(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        let (gate, _, nodes) = nodes(&world, MANY).await;
        let challenge = world.begin(&bob).await;
        meet(&gate, MANY);
        let answers = race(MANY, |n| recover(&nodes[n], &challenge, &codes[3]));
        let losers = expect_one(&world, answers).await;
        assert!(losers.iter().all(|reason| *reason == Reason::AlreadyUsed), "{losers:?}");
        expect_spent_once(&world, &bob, &codes[3]).await;
    }

    // Five challenges are charged before the delays begin, and their hashes are all there before one is judged.
    async fn t01_one_code_on_64_challenges_and_64_nodes_is_granted_once(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        let (gate, hashes, nodes) = nodes(&world, MANY).await;
        let mut challenges = Vec::new();
        for _ in 0..MANY {
            challenges.push(world.begin(&bob).await);
        }
        meet(&gate, MANY);
        hashes.arm(CHARGED);
        let answers = race(MANY, |n| recover(&nodes[n], &challenges[n], &codes[3]));
        assert_eq!(hashes.ran(), CHARGED);
        let losers = expect_one(&world, answers).await;
        assert!(losers.iter().all(|r| matches!(r, Reason::Superseded | Reason::Locked)), "{losers:?}");
        expect_spent_once(&world, &bob, &codes[3]).await;
    }

    async fn t01_one_code_on_one_engine_is_granted_once_to_64_threads(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        let hashes = Meeting::new(&world.clock);
        let node = recovery_node_on(&world, world.store.clone(), Arc::new(hashes.clone()));
        let node = node.build().await.unwrap();
        let mut challenges = Vec::new();
        for _ in 0..MANY {
            challenges.push(world.begin(&bob).await);
        }
        hashes.arm(CHARGED);
        let answers = race(MANY, |n| recover(&node, &challenges[n], &codes[3]));
        expect_one(&world, answers).await;
        expect_spent_once(&world, &bob, &codes[3]).await;
    }

    // CVE-2026-34224. Whichever way comes first, the code is used for all of them.
    async fn t02_a_code_used_in_any_way_is_used_in_every_other(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        for (used, first) in Way::ALL.into_iter().enumerate() {
            world.clock.advance(PAST_A_DELAY);
            let asked = first.ask(&world, &bob).await;
            let first_told = told(first.answer(&world.engine, &asked, &codes[used]).await);
            assert_eq!(first_told, "accepted", "{first:?}");
            for again in Way::ALL {
                world.clock.advance(PAST_A_DELAY);
                let asked = again.ask(&world, &bob).await;
                let again_told = told(again.answer(&world.engine, &asked, &codes[used]).await);
                assert_eq!(again_told, "already_used", "{first:?} {again:?}");
                drop(world.engine.cancel(&asked.challenge.reference).await.unwrap());
            }
            assert_eq!(usize::from(left(&world.engine, &bob).await), 9 - used);
        }
        assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), Way::ALL.len());
        assert_eq!(failures_today(&world, &bob).await, 0);
    }

    async fn t02_every_way_at_once_consumes_a_code_once(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        let n = Way::ALL.len();
        let (gate, hashes, nodes) = nodes(&world, n).await;
        let mut asked = Vec::new();
        for way in Way::ALL {
            asked.push(way.ask(&world, &bob).await);
        }
        // The repeated login reads its list of challenges first.
        meet(&gate, n);
        hashes.arm(CHARGED);
        let answers = race(n, |i| Way::ALL[i].answer(&nodes[i], &asked[i], &codes[3]));
        let losers = expect_one(&world, answers).await;
        assert!(losers.iter().all(|r| matches!(r, Reason::Superseded | Reason::Locked)), "{losers:?}");
        expect_spent_once(&world, &bob, &codes[3]).await;
    }

    // The challenge was begun and the set sealed with a key that is gone by the time of the answer.
    async fn t02_a_code_is_used_once_across_a_change_of_keys(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        let (before, other) = (world.begin(&bob).await, world.begin(&bob).await);
        let new = KeyId::parse("k2").unwrap();
        world.ring.add(new.clone(), [0x77; 32]).unwrap();
        world.engine.key_activate(&new, "test-host", "a test").await.unwrap();
        let during = world.begin(&bob).await;
        world.engine.reseal().await.unwrap();
        let (gate, hashes, nodes) = nodes(&world, 4).await;
        let challenges = [before, other, during, world.begin(&bob).await];
        meet(&gate, 4);
        hashes.arm(4);
        let answers = race(4, |n| recover(&nodes[n], &challenges[n], &codes[3]));
        let losers = expect_one(&world, answers).await;
        assert_eq!(losers, [Reason::Superseded; 3]);
        expect_spent_once(&world, &bob, &codes[3]).await;
        // And in the other order: used first, then the keys change.
        let newer = KeyId::parse("k3").unwrap();
        world.ring.add(newer.clone(), [0x78; 32]).unwrap();
        world.engine.key_activate(&newer, "test-host", "a test").await.unwrap();
        world.engine.reseal().await.unwrap();
        expect_spent_once(&world, &bob, &codes[3]).await;
        world.clock.advance(PAST_A_DELAY);
        assert_eq!(told(recover(&world.engine, &world.begin(&bob).await, &codes[4]).await), "accepted");
    }

    // CVE-2026-31875. The host learns that a code was used, from whoever has it; the browser learns nothing.
    async fn t04_a_used_code_is_refused_and_one_less_is_left(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, codes) = bob(&world).await;
        assert_eq!(left(&world.engine, &bob).await, 10);
        let first = world.begin(&bob).await;
        assert_eq!(told(recover(&world.engine, &first, &codes[0]).await), "accepted");
        assert_eq!(left(&world.engine, &bob).await, 9);
        let challenge = world.begin(&bob).await;
        let used = rejected(recover(&world.engine, &challenge, &codes[0]).await);
        let wrong = rejected(recover(&world.engine, &challenge, &guess(&codes[0], 0)).await);
        assert_eq!((used.reason, wrong.reason), (Reason::AlreadyUsed, Reason::WrongCode));
        assert_eq!((used.attempts_left, wrong.attempts_left), (4, 3), "both are charged");
        assert_eq!(used.public(), wrong.public());
        let answers = [used, wrong].map(Verify::Rejected);
        let [used, wrong] = [0, 1].map(|n| mfa::http_status(&answers[n]));
        assert_eq!(used, wrong);
        let reasons: Vec<_> = world.events_of(Kind::AnswerRejected).await;
        let mut reasons: Vec<_> = reasons.iter().filter_map(|event| event.reason()).collect();
        // Both at one moment: the log orders them by ids that are random.
        reasons.sort_unstable();
        assert_eq!(reasons, ["already_used", "wrong_code"]);
        // The challenge it was used in is over, whatever is answered now.
        assert_eq!(rejected(recover(&world.engine, &first, &codes[1]).await).reason, Reason::AlreadyUsed);
        assert_eq!(left(&world.engine, &bob).await, 9);
        assert_eq!(told(recover(&world.engine, &challenge, &codes[1]).await), "accepted");
        assert_eq!(left(&world.engine, &bob).await, 8);
    }
}

/// A way to give a recovery code.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By the reference alone.
    Reference,
    /// With the whole login repeated.
    Current,
    /// After a switch to the set.
    Switched,
    /// With the set named in the answer.
    Named,
    /// In a challenge that asks for the set.
    Wanted,
    /// In a challenge of a change.
    StepUp,
}

struct Asked {
    bob: Subject,
    challenge: Challenge,
}

impl Way {
    const ALL: [Self; 6] =
        [Self::Reference, Self::Current, Self::Switched, Self::Named, Self::Wanted, Self::StepUp];

    async fn ask(self, world: &World, bob: &Subject) -> Asked {
        let set = || "recovery".parse().unwrap();
        let begun = match self {
            Self::Wanted => world.engine.begin(login(bob).with_method(set())).await.unwrap(),
            Self::StepUp => {
                let intent = Intent::add_method(bob, &totp());
                world.engine.step_up_begin(login(bob), &intent).await.unwrap()
            }
            Self::Current => world.engine.begin(self.login(bob)).await.unwrap(),
            _ => Begin::Challenge(begin(&world.engine, bob).await),
        };
        let Begin::Challenge(challenge) = begun else { panic!("{self:?}: {begun:?}") };
        if matches!(self, Self::Switched) {
            let switched = world.engine.switch(&challenge.reference, &set()).await.unwrap();
            assert!(matches!(switched, Changed::Done(_)), "{switched:?}");
        }
        Asked { bob: bob.clone(), challenge }
    }

    /// A repeated login means the newest challenge of its module.
    fn login(self, bob: &Subject) -> Login {
        let first =
            FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(&session(bob)));
        let module = if matches!(self, Self::Current) { "api_auth" } else { "user_auth" };
        Login::new(bob.clone(), first, Module::parse(module).unwrap())
    }

    async fn answer(self, engine: &Engine, asked: &Asked, code: &str) -> Result<Verify, Error> {
        let reference = &asked.challenge.reference;
        match self {
            Self::Current => {
                engine.verify(Target::Current(Box::new(self.login(&asked.bob))), recovery(code)).await
            }
            Self::Named => {
                engine.verify(reference, recovery(code).with_method("recovery".parse().unwrap())).await
            }
            _ => engine.verify(reference, recovery(code)).await,
        }
    }
}

async fn bob(world: &World) -> (Subject, Vec<String>) {
    let bob = world.add_reachable("bob").await;
    let (_, codes) = world.enrol_with_recovery(&bob).await;
    (bob, codes)
}

/// Makes `n` nodes on one gate, whose slow hashes can be made to meet too.
async fn nodes(world: &World, n: usize) -> (Arc<Gate>, Meeting, Vec<Engine>) {
    let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
    let hashes = Meeting::new(&world.clock);
    let mut nodes = Vec::new();
    for _ in 0..n {
        let node = recovery_node_on(world, Arc::clone(&gate) as _, Arc::new(hashes.clone()));
        nodes.push(node.build().await.unwrap());
    }
    (gate, hashes, nodes)
}

/// Checks that one answer was accepted, and that the log knows of one; returns why the others were refused.
async fn expect_one(world: &World, answers: Vec<Result<Verify, Error>>) -> Vec<Reason> {
    let (mut accepted, mut losers) = (0, Vec::new());
    for answer in answers {
        match answer {
            Ok(Verify::Verified(_) | Verify::Proven(_)) => accepted += 1,
            Ok(Verify::Rejected(rejected)) => losers.push(rejected.reason),
            // An earlier answer to the same challenge is being hashed.
            Ok(Verify::Pending(_)) | Err(Error::Contention) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), 1);
    losers
}

/// Checks that one code is gone, and that it is `code`.
async fn expect_spent_once(world: &World, bob: &Subject, code: &str) {
    assert_eq!(left(&world.engine, bob).await, 9);
    world.clock.advance(PAST_A_DELAY);
    let challenge = world.begin(bob).await;
    let again = recover(&world.engine, &challenge, code).await.unwrap();
    assert_eq!(refusal(again), Some(Reason::AlreadyUsed));
    let status = world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
    assert_eq!((status.status, status.verify_attempts), (Status::Sent, 1));
    assert_eq!(left(&world.engine, bob).await, 9);
}

fn rejected(answer: Result<Verify, Error>) -> Rejected {
    match answer {
        Ok(Verify::Rejected(rejected)) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

fn told(answer: Result<Verify, Error>) -> &'static str {
    match answer {
        Ok(Verify::Verified(_) | Verify::Proven(_)) => "accepted",
        Ok(Verify::Rejected(rejected)) => rejected.reason.code(),
        Ok(_) => "pending",
        Err(error) => error.code(),
    }
}
