//! The ops for a user who is locked out, leaves, or is to begin.

use core::time::Duration;

use mfa::{ProviderName, Unlocked};
use serde_json::{Value, json};

use crate::answer::rejected_json;
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

/// How long a bypass code is good unless the request says otherwise, in seconds.
const BYPASS_SECONDS: u64 = 3600;

impl Node {
    pub(crate) async fn user_forget(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "user.forget")?;
        let subject = self.subject(input).await?;
        let (account, user) = (subject.account(), subject.user());
        self.engine.forget_user(account, user, &authority).await?;
        // The host's row goes last: a crash before it leaves a user who can be forgotten again.
        self.host.remove_user(account, user).await?;
        Ok(json!({}))
    }

    pub(crate) async fn user_revoke(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "user.revoke")?;
        self.engine.revoke(&input.account()?, &input.user()?, &authority).await?;
        Ok(json!({}))
    }

    pub(crate) async fn user_unlock(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.stated_authority(input)?;
        self.engine.user_unlock(&input.account()?, &input.user()?, &authority).await?;
        Ok(json!({}))
    }

    pub(crate) async fn user_reset(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.stated_authority(input)?;
        self.engine.user_reset(&input.account()?, &input.user()?, &authority).await?;
        Ok(json!({}))
    }

    pub(crate) async fn user_bypass(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.stated_authority(input)?;
        let life = Duration::from_secs(input.optional_whole("life")?.unwrap_or(BYPASS_SECONDS));
        let issued = self.engine.bypass_issue(&input.account()?, &input.user()?, life, &authority).await?;
        Ok(json!({ "code": issued.code.expose_secret(), "expires_at": issued.expires_at.unix_seconds() }))
    }

    pub(crate) async fn user_invite(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let method = input.parsed("method", ProviderName::parse)?;
        let authority = self.authority(input, "user.invite")?;
        let issued = self.engine.user_invite(&input.account()?, &input.user()?, &method, &authority).await?;
        Ok(json!({
            "invitation": issued.invitation.expose_secret(),
            "expires_at": issued.expires_at.unix_seconds(),
        }))
    }

    pub(crate) async fn unlock_codes(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let codes: Option<Vec<_>> = input.list("codes")?.iter().map(Value::as_str).collect();
        let codes = codes.and_then(|codes| <[&str; 3]>::try_from(codes).ok());
        let codes = codes.ok_or_else(|| input.mistyped("codes", "a list of three texts"))?;
        let (login, _) = self.login_of(input, "unlock").await?;
        Ok(match self.engine.unlock_with_codes(&login, codes).await? {
            Unlocked::Done => json!({ "outcome": "unlocked" }),
            Unlocked::Rejected(rejected) => rejected_json(&rejected),
            _ => return Err(crate::answer::unknown_outcome()),
        })
    }
}
