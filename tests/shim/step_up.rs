//! The op that begins a step-up: which change a proof is asked for.

use mfa::{
    AccountId, DeviceId, EnrolmentId, ExemptionId, ExemptionTerms, Intent, MethodSelector, Operation,
    ProviderName, Subject, UserId,
};
use serde_json::Value;

use crate::exemptions::terms;
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

impl Node {
    pub(crate) async fn step_up_begin(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let operation = Operation::from_code(input.text("purpose")?);
        let operation = operation.ok_or_else(|| input.mistyped("purpose", "the name of an operation"))?;
        let about = About::read(operation, input)?;
        let (login, holder) = self.login_of(input, "step_up").await?;
        let intent = self.intent(operation, &about).await?;
        let begun = self.engine.step_up_begin(login, &intent).await?;
        self.begun_json(begun, holder)
    }

    async fn intent(&self, operation: Operation, about: &About<'_>) -> Result<Intent, Failure> {
        if let Some(intent) = self.intent_of_account(operation, about).await? {
            return Ok(intent);
        }
        let whom = self.directory.subject(&about.account, &about.user).await?;
        let whom = &whom.ok_or_else(Failure::unknown_user)?;
        Ok(match operation {
            Operation::AddMethod => {
                let provider = ProviderName::parse(about.method()?);
                Intent::add_method(whom, &provider.map_err(|error| Failure::from(error).at("subject"))?)
            }
            Operation::RemoveMethod => Intent::remove_method(whom, self.named(whom, about.method()?).await?),
            Operation::PreferMethod => Intent::prefer_method(whom, self.named(whom, about.method()?).await?),
            Operation::IssueRecovery => Intent::issue_recovery(whom),
            Operation::Disable => Intent::disable(whom),
            Operation::Unlock => Intent::unlock(whom),
            Operation::Reset => Intent::reset(whom),
            Operation::Bypass => Intent::bypass(whom),
            Operation::Forget => Intent::forget(whom),
            Operation::RevokeDevice => Intent::revoke_device(whom, about.device),
            Operation::BanDevice => Intent::ban_device(whom, must_name("device", about.device)?),
            Operation::GrantExemption => {
                Intent::grant_exemption(whom, must_name("terms", about.terms.as_ref())?)
            }
            Operation::EndExemption => Intent::end_exemption(whom, must_name("exemption", about.exemption)?),
            _ => return Err(Failure::not_served().at("purpose")),
        })
    }

    /// Returns what is meant where the operation is about an account and none of its users.
    async fn intent_of_account(
        &self,
        operation: Operation,
        about: &About<'_>,
    ) -> Result<Option<Intent>, Failure> {
        let intent = match operation {
            Operation::IssueApiKey => Intent::issue_api_key,
            Operation::ShowApiKey => Intent::show_api_key,
            Operation::RemoveApiKey => Intent::remove_api_key,
            _ => return Ok(None),
        };
        Ok(Some(intent(&self.host.known_account(&about.account).await?)))
    }

    /// Finds the enrolment that a method's id, or a provider's name where it is unique, means.
    async fn named(&self, whom: &Subject, method: &str) -> Result<EnrolmentId, Failure> {
        let id = match method.parse().map_err(|error| Failure::from(error).at("subject"))? {
            MethodSelector::Enrolment(id) => Some(id),
            MethodSelector::Provider(name) => {
                let methods = self.engine.methods(whom.account(), whom.user()).await?;
                let mut of_provider = methods.iter().filter(|method| method.provider == name);
                of_provider.next().map(|method| method.id).filter(|_| of_provider.next().is_none())
            }
            _ => None,
        };
        let message =
            "subject is not one of the user's methods, or names a provider of which there are several";
        id.ok_or_else(|| Failure::new("unknown_method", message).at("subject"))
    }
}

/// Whom the change is about, who asks unless the request says otherwise, and which of their methods, devices or
/// exemptions.
struct About<'a> {
    account: AccountId,
    user: UserId,
    method: Option<&'a str>,
    device: Option<DeviceId>,
    exemption: Option<ExemptionId>,
    terms: Option<ExemptionTerms>,
}

impl<'a> About<'a> {
    /// Reads `subject`: {`account`, `user`, `method`, `device`, `exemption`, or an exemption's terms}, or the text of the
    /// one that the operation is about.
    fn read(operation: Operation, input: &Input<'a>) -> Result<Self, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        let mut about = Self { account, user, method: None, device: None, exemption: None, terms: None };
        let about_a_method =
            matches!(operation, Operation::AddMethod | Operation::RemoveMethod | Operation::PreferMethod);
        let about_a_device = matches!(operation, Operation::RevokeDevice | Operation::BanDevice);
        if input.get("subject").is_some_and(|subject| !subject.is_string()) {
            let given = input.object("subject")?;
            if let Some(account) = given.optional_parsed("account", AccountId::parse)? {
                about.account = account;
            }
            if let Some(user) = given.optional_parsed("user", UserId::parse)? {
                about.user = user;
            }
            about.method = given.optional_text("method")?;
            about.device = given.optional_parsed("device", str::parse::<DeviceId>)?;
            about.exemption = given.optional_parsed("exemption", str::parse::<ExemptionId>)?;
            if operation == Operation::GrantExemption {
                about.terms = Some(terms(&given)?);
            }
        } else if about_a_method {
            about.method = input.optional_text("subject")?;
        } else if about_a_device {
            about.device = input.optional_parsed("subject", str::parse::<DeviceId>)?;
        } else if let Some(user) = input.optional_parsed("subject", UserId::parse)? {
            about.user = user;
        }
        Ok(about)
    }

    fn method(&self) -> Result<&'a str, Failure> {
        must_name("method", self.method)
    }
}

/// Returns what the subject must name.
fn must_name<T>(what: &str, given: Option<T>) -> Result<T, Failure> {
    given.ok_or_else(|| Failure::bad_request(format!("subject names no {what}")).at("subject"))
}
