//! The envelope, and which code serves which op.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::lines::MAX_LINE_BYTES;
use crate::node::Node;
use crate::{json, pure};

/// The process: at most one open engine.
#[derive(Debug, Default)]
pub(crate) struct Shim {
    node: Option<Node>,
}

impl Shim {
    /// Answers one line.
    pub(crate) async fn reply(&mut self, line: &[u8]) -> Value {
        let request = match json::parse(line) {
            Ok(Value::Object(request)) => request,
            Ok(_) => return error(&Value::Null, &Failure::bad_request("a request is one JSON object")),
            Err(problem) => {
                return error(&Value::Null, &Failure::bad_request(format!("not JSON: {problem}")));
            }
        };
        let id = request.get("id").cloned().unwrap_or_default();
        if !comes_back_as_it_is(&id) {
            let message = "the numbers of an id must be whole and have 64 bits at most";
            return error(&Value::Null, &Failure::bad_request(message).at("id"));
        }
        match self.serve(&Input::new(&request)).await {
            Ok(answer) => json!({ "id": id, "ok": answer }),
            Err(failure) => error(&id, &failure),
        }
    }

    async fn serve(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let op = input.text("op")?;
        if let Some(answer) = pure::serve(op, input) {
            return answer;
        }
        if op == "open" {
            // As when a process restarts: the former engine is gone before the next one begins.
            self.node = None;
            let (node, answer) = Node::open(input).await?;
            self.node = Some(node);
            return Ok(answer);
        }
        let not_open = || Failure::bad_request("no store is open: call `open` first");
        let is_engine_op = is_engine_op(op);
        if !is_engine_op {
            return Err(Failure::bad_request("unknown op").at("op"));
        }
        self.node.as_mut().ok_or_else(not_open)?.serve(op, input).await
    }
}

macro_rules! engine_ops {
    ($($op:literal => $method:ident),* $(,)?) => {
        fn is_engine_op(op: &str) -> bool {
            matches!(op, $($op)|*)
        }

        impl Node {
            async fn serve(&mut self, op: &str, input: &Input<'_>) -> Result<Value, Failure> {
                match op {
                    $($op => self.$method(input).await,)*
                    _ => Err(Failure::bad_request("unknown op").at("op")),
                }
            }
        }
    };
}

engine_ops! {
    "clock.set" => clock_set,
    "clock.advance" => clock_advance,
    "account.put" => account_put,
    "account.forget" => account_forget,
    "user.put" => user_put,
    "user.forget" => user_forget,
    "user.revoke" => user_revoke,
    "user.unlock" => user_unlock,
    "user.reset" => user_reset,
    "user.bypass" => user_bypass,
    "user.invite" => user_invite,
    "unlock.codes" => unlock_codes,
    "login.begin" => login_begin,
    "login.decoy" => login_decoy,
    "login.verify" => login_verify,
    "login.claim" => login_claim,
    "login.status" => login_status,
    "login.resend" => login_resend,
    "login.switch" => login_switch,
    "login.cancel" => login_cancel,
    "explain" => explain,
    "step_up.begin" => step_up_begin,
    "enrol.begin" => enrol_begin,
    "enrol.confirm" => enrol_confirm,
    "enrol.acknowledge" => enrol_acknowledge,
    "enrol.resend" => enrol_resend,
    "method.list" => method_list,
    "method.remove" => method_remove,
    "method.prefer" => method_prefer,
    "device.list" => device_list,
    "device.revoke" => device_revoke,
    "device.ban" => device_ban,
    "recovery.issue" => recovery_issue,
    "mfa.disable" => mfa_disable,
    "settings.put" => settings_put,
    "settings.get" => settings_get,
    "settings.patch" => settings_patch,
    "settings.delete" => settings_delete,
    "settings.resolve" => settings_resolve,
    "provider.create" => provider_create,
    "provider.list" => provider_list,
    "provider.get" => provider_get,
    "provider.replace" => provider_replace,
    "provider.patch" => provider_patch,
    "provider.delete" => provider_delete,
    "policy.put" => policy_put,
    "policy.resolve" => policy_resolve,
    "audit.attempts" => audit_attempts,
    "audit.attempt" => audit_attempt,
    "audit.events" => audit_events,
    "audit.checkpoint" => audit_checkpoint,
    "audit.verify" => audit_verify,
    "notices.drain" => notices_drain,
    "inbox.take" => inbox_take,
    "inbox.fail" => inbox_fail,
    "link.open" => link_open,
    "link.confirm" => link_confirm,
    "link.not_me" => link_not_me,
    "http.reply" => http_reply,
    "http.take" => http_take,
    "sealing.rotate" => sealing_rotate,
    "reseal" => reseal,
    "purge" => purge,
    "restore_barrier" => restore_barrier,
    "counters" => counters,
    "fault" => fault,
    "api_key.create" => api_key_create,
    "api_key.show" => api_key_show,
    "api_key.reset" => api_key_reset,
    "api_key.remove" => api_key_remove,
    "api_key.verify" => api_key_verify,
    "exemption.grant" => exemption_grant,
    "exemption.end" => exemption_end,
    "exemption.list" => exemption_list,
}

/// Answers a line past the limit.
pub(crate) fn too_long() -> Value {
    error(&Value::Null, &Failure::bad_request(format!("the line is longer than {MAX_LINE_BYTES} bytes")))
}

/// Any other number was rounded, or is written in another way, when it comes back.
fn comes_back_as_it_is(id: &Value) -> bool {
    match id {
        Value::Number(number) => number.is_u64() || number.is_i64(),
        Value::Array(items) => items.iter().all(comes_back_as_it_is),
        Value::Object(fields) => fields.values().all(comes_back_as_it_is),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn error(id: &Value, failure: &Failure) -> Value {
    json!({ "id": id, "error": failure.to_json() })
}
