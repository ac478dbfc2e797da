//! The five systems and the day of each.

use core::future::Future;
use core::pin::Pin;

use mfa::{Policy, RiskDecision};
use mfa_examples::{Failure, mail};
use serde_json::{Value, json};

use crate::site::{Site, Whose};
use crate::table::Table;

/// What comes of a day's script.
type Day<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// One system.
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The account that it happens in.
    pub(crate) id: &'static str,
    pub(crate) policy: fn() -> Policy,
    /// The settings of codes and links by e-mail.
    pub(crate) email: fn() -> Value,
    pub(crate) day: for<'a> fn(&'a mut Site, &'a mut Table) -> Day<'a>,
}

/// The systems in the order of the days.
pub(crate) const ALL: &[System] = &[
    System {
        name: "Kazoo, Authentication app",
        what: "modules ask by settings that accounts inherit each by itself",
        id: "kazoo",
        policy: Policy::kazoo,
        email: || Value::Null,
        day: |site, table| Box::pin(kazoo(site, table)),
    },
    System {
        name: "Kazoo, Crossbar of 2017",
        what: "the nearest document holds whole",
        id: "kazoo_2017",
        policy: Policy::kazoo_2017,
        email: || Value::Null,
        day: |site, table| Box::pin(kazoo_2017(site, table)),
    },
    System {
        name: "Kount Control",
        what: "a link by e-mail for logins that the host judges risky",
        id: "kount",
        policy: Policy::kount,
        email: mail::links,
        day: |site, table| Box::pin(kount(site, table)),
    },
    System {
        name: "Total Uptime",
        what: "a company asks all its users, who choose how",
        id: "total_uptime",
        policy: Policy::total_uptime,
        email: || Value::Null,
        day: |site, table| Box::pin(total_uptime(site, table)),
    },
    System {
        name: "B3Networks",
        what: "users turn it on, an organisation may ask for it from a day on",
        id: "b3_networks",
        policy: Policy::b3_networks,
        email: || Value::Null,
        day: |site, table| Box::pin(b3_networks(site, table)),
    },
];

const USER_AUTH: &str = "cb_user_auth";
const ASK: RiskDecision = RiskDecision::Challenge;

async fn kazoo(site: &mut Site, table: &mut Table) -> Result<(), Failure> {
    let (ann, bob) = (site.user("ann").await?, site.user("bob").await?);
    site.set_up_app(&ann).await?;
    site.sign_in(table, &ann, USER_AUTH, ASK).await?;
    site.an_hour_later();
    let all = json!({"multi_factor": {"enabled": true, "include_subaccounts": true}});
    site.settings(Whose::Parents, USER_AUTH, all).await?;
    site.note(table, "the parent account turns it on for all below");
    site.sign_in(table, &ann, USER_AUTH, ASK).await?;
    site.sign_in(table, &bob, USER_AUTH, ASK).await?;
    site.sign_in(table, &ann, "cb_api_auth", ASK).await?;
    site.an_hour_later();
    site.settings(Whose::Own, USER_AUTH, json!({"enabled": false})).await?;
    site.note(table, "the account disables the module");
    site.sign_in(table, &ann, USER_AUTH, ASK).await
}

async fn kazoo_2017(site: &mut Site, table: &mut Table) -> Result<(), Failure> {
    let ann = site.user("ann").await?;
    site.set_up_app(&ann).await?;
    let all = json!({"multi_factor": {"enabled": true, "include_subaccounts": true}});
    site.settings(Whose::Parents, USER_AUTH, all).await?;
    site.sign_in(table, &ann, USER_AUTH, ASK).await?;
    site.an_hour_later();
    site.settings(Whose::Own, USER_AUTH, json!({"log_failed_attempts": true})).await?;
    site.note(table, "the account sets something else, and so drops all of the parent's");
    site.sign_in(table, &ann, USER_AUTH, ASK).await?;
    site.an_hour_later();
    site.policy(Whose::Parents, json!({"enforced": true, "enforce": ["enforced"]})).await?;
    site.note(table, "the parent enforces it by its policy, which no document below weakens");
    site.sign_in(table, &ann, USER_AUTH, ASK).await
}

async fn kount(site: &mut Site, table: &mut Table) -> Result<(), Failure> {
    let (ann, bob) = (site.user("ann").await?, site.user("bob").await?);
    site.set_up_mailbox(&ann).await?;
    site.sign_in(table, &ann, "shop", RiskDecision::Allow).await?;
    site.an_hour_later();
    site.sign_in(table, &ann, "shop", ASK).await?;
    site.sign_in(table, &bob, "shop", ASK).await
}

async fn total_uptime(site: &mut Site, table: &mut Table) -> Result<(), Failure> {
    let (ann, bob, eve) = (site.user("ann").await?, site.user("bob").await?, site.user("eve").await?);
    site.set_up_app(&ann).await?;
    site.set_up_mailbox(&bob).await?;
    site.sign_in(table, &eve, "portal", ASK).await?;
    site.an_hour_later();
    site.policy(Whose::Own, json!({"enforced": true})).await?;
    site.note(table, "the company turns it on");
    for user in [&ann, &bob, &eve] {
        site.sign_in(table, user, "portal", ASK).await?;
    }
    Ok(())
}

async fn b3_networks(site: &mut Site, table: &mut Table) -> Result<(), Failure> {
    let (ann, bob) = (site.user("ann").await?, site.user("bob").await?);
    site.set_up_mailbox(&ann).await?;
    site.sign_in(table, &ann, "portal", ASK).await?;
    site.sign_in(table, &bob, "portal", ASK).await?;
    site.an_hour_later();
    let noon = site.now().saturating_add(7200);
    site.policy(Whose::Parents, json!({"enforced": true, "enforced_from": noon, "enforce": ["enforced"]}))
        .await?;
    site.note(table, "the organisation asks for it, from two hours on");
    site.sign_in(table, &bob, "portal", ASK).await?;
    site.an_hour_later();
    site.an_hour_later();
    site.sign_in(table, &bob, "portal", ASK).await
}
