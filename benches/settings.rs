//! What it costs to resolve the settings and the policy of an account ten levels deep, from parsed documents, and in a
//! store of 100,000 accounts.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::Criterion;
use mfa::settings::{Effective, Inheritance, Modules, Origin, Settings};
use mfa::{Account, AccountId, Ancestor, Module, Policy, PolicyDocument};
use mfa_benches::Mode;
use mfa_benches::turns::{Lane, Target, report, take_turns};
use serde_json::json;

const DEPTH: usize = 10;
const ROUNDS: usize = 2_000;
const CALLS: usize = 500;

fn main() {
    let tree = Tree::new(Mode::of_process().map_or(100, |mode| mode.pick(100_000, 100)));
    mfa_benches::run(|harness| tree.criterion(harness), |mode| tree.ratios(mode));
}

/// Accounts in lines of ten, each with a document of settings and one of the policy.
struct Tree {
    leaf: Account,
    module: Module,
    modules: Modules,
    settings: HashMap<Origin, Settings>,
    policies: HashMap<Origin, PolicyDocument>,
    policy: Policy,
}

impl Tree {
    fn new(accounts: usize) -> Self {
        let modules = Modules::kazoo();
        let id = |number: usize| AccountId::parse(&format!("account{number}")).unwrap();
        let (mut settings, mut policies) = (HashMap::new(), HashMap::new());
        for number in 0..accounts {
            let of_module = match number % DEPTH {
                0 => json!({"enabled": true}),
                9 => json!({"multi_factor": {"enabled": true, "include_subaccounts": true}}),
                level => json!({"token_auth_expiry_s": 60 + level}),
            };
            let document = json!({"auth_modules": {"cb_user_auth": of_module}});
            let parsed = Settings::parse(&document, &modules, Inheritance::NearestWins).unwrap();
            settings.insert(Origin::Account(id(number)), parsed);
            let document = match number % DEPTH {
                9 => json!({"enforced": true, "attempts": 3, "enforce": ["enforced", "attempts"]}),
                _ => json!({"attempts": 10}),
            };
            policies.insert(Origin::Account(id(number)), PolicyDocument::parse(&document).unwrap());
        }
        let lineage: Vec<_> = (0..DEPTH).map(|number| Ancestor::new(id(number))).collect();
        let leaf = Account::new(id(0)).with_lineage(lineage).unwrap();
        let module = Module::parse("cb_user_auth").unwrap();
        Self { leaf, module, modules, settings, policies, policy: Policy::kazoo() }
    }

    fn effective(&self) -> Effective {
        let set = |origin: &Origin| self.settings.get(origin);
        Effective::resolve(&self.module, &self.modules, Inheritance::NearestWins, self.leaf.lineage(), set)
    }

    fn attempts(&self) -> u8 {
        self.policy.resolve(self.leaf.lineage(), |origin| self.policies.get(origin)).policy.attempts()
    }

    fn criterion(&self, harness: &mut Criterion) {
        let mut group = harness.benchmark_group("settings");
        group.bench_function("effective, ten levels", |bencher| bencher.iter(|| black_box(self).effective()));
        group.bench_function("policy, ten levels", |bencher| bencher.iter(|| black_box(self).attempts()));
        group.finish();
    }

    fn ratios(&self, mode: Mode) {
        let found = self.effective();
        assert!(found.applies && found.token_auth_expiry_s.value == 61 && self.attempts() == 3);
        let mut lanes = vec![
            Lane::new("settings of an account ten levels deep", CALLS, || black_box(self).effective()),
            Lane::new("policy of an account ten levels deep", CALLS, || black_box(self).attempts()),
        ];
        let figures = take_turns(mode, ROUNDS, &mut lanes);
        for (name, figures) in ["settings", "policy"].into_iter().zip(figures) {
            let name = format!("{name}, ten levels deep, from parsed documents");
            report(mode, &name, figures.median() / 1_000.0, " µs", Target::AtMost(2.0));
        }
    }
}
