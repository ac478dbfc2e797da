//! The ops about exemptions of users' programs, and the box "API account" of a user.

use core::time::Duration;

use mfa::{
    Authority, Exemption, ExemptionId, ExemptionState, ExemptionTerms, FieldError, FirstFactorKind, Module,
    Network, Subject, Timestamp,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

/// The routes of programs, for which `api_account` exempts.
const API_MODULES: [&str; 2] = ["api_auth", "cb_api_auth"];
/// For how long it does: as long as can be.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Node {
    pub(crate) async fn exemption_grant(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.stated_authority(input)?;
        let terms = terms(input)?;
        let (account, user) = (input.account()?, input.user()?);
        Ok(shown(&self.engine.exemption_grant(&account, &user, &terms, &authority).await?))
    }

    pub(crate) async fn exemption_end(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let id = input.parsed("exemption", str::parse::<ExemptionId>)?;
        let authority = self.authority(input, "exemption.end")?;
        self.engine.exemption_end(&input.account()?, &input.user()?, id, &authority).await?;
        Ok(json!({}))
    }

    pub(crate) async fn exemption_list(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let report = self.engine.exemptions(&input.account()?).await?;
        Ok(json!({ "exemptions": report.iter().map(shown).collect::<Vec<_>>() }))
    }

    /// States the exemptions of the programs of a user whose row says that it is an API account.
    pub(crate) fn terms_of_api_account(&self, reason: &str) -> Result<Vec<ExemptionTerms>, Failure> {
        let until = self.now().plus(YEAR);
        let terms = API_MODULES.into_iter().map(|name| {
            let terms = ExemptionTerms::new(Module::parse(name)?, FirstFactorKind::ApiKey, reason, until);
            terms.map_err(|error| Failure::from(error).on("api_account"))
        });
        terms.collect()
    }

    /// Exempts the programs of a user, those that are not exempt.
    pub(crate) async fn exempt(&self, subject: &Subject, all: Vec<ExemptionTerms>) -> Result<(), Failure> {
        let (account, user) = (subject.account(), subject.user());
        for terms in all {
            let counts = |exemption: &Exemption| {
                exemption.user == *user
                    && exemption.state == ExemptionState::Live
                    && exemption.terms.module() == terms.module()
            };
            if self.engine.exemptions(account).await?.iter().any(counts) {
                continue;
            }
            let by = Authority::host_vouched("mfa-shim", "user.put");
            self.engine.exemption_grant(account, user, &terms, &by).await?;
        }
        Ok(())
    }
}

/// Reads what an exemption says.
pub(crate) fn terms(input: &Input<'_>) -> Result<ExemptionTerms, Failure> {
    let at = |error: FieldError| {
        let path = input.path(&error.field);
        Failure::from(error).on(&path)
    };
    let module = input.parsed("module", Module::parse)?;
    let name = input.optional_text("first_factor")?.unwrap_or("api_key");
    let kind = FirstFactorKind::ALL.into_iter().find(|kind| kind.code() == name);
    let kind = kind.ok_or_else(|| input.mistyped("first_factor", "the name of a kind of first factor"))?;
    let terms = ExemptionTerms::new(module, kind, input.text("reason")?, input.time("until")?).map_err(at)?;
    let networks = input.list("networks")?.iter().map(|text| {
        let text = text.as_str().ok_or_else(|| input.mistyped("networks", "a list of texts"))?;
        text.parse::<Network>().map_err(|error| Failure::from(error).on(&input.path("networks")))
    });
    terms.from_networks(networks.collect::<Result<_, Failure>>()?).map_err(at)
}

fn shown(exemption: &Exemption) -> Value {
    let terms = &exemption.terms;
    json!({
        "exemption": exemption.id.to_string(),
        "user": exemption.user.as_str(),
        "module": terms.module().as_str(),
        "first_factor": terms.first_factor().code(),
        "networks": terms.networks().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "reason": terms.reason(),
        "until": terms.until().unix_seconds(),
        "granted_by": exemption.granted_by,
        "granted_at": exemption.granted_at.unix_seconds(),
        "last_used": exemption.last_used.map(Timestamp::unix_seconds),
        "state": exemption.state.code(),
    })
}
