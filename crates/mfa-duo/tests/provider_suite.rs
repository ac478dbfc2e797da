//! The provider contract, for each mode. What Duo says here is put together from its documentation by hand; whether
//! Duo's own programs agree is shown elsewhere.
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, clippy::unwrap_in_result, reason = "a test that fails here fails")]

use core::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use mfa_core::{Answer, Choice, HttpFault, HttpReply, Timestamp};
use mfa_duo::{ApiHosts, Duo};
use mfa_testkit::provider_suite::{ProviderCase, Shown, clauses};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const AKEY: &str = "useacustomerprovidedapplicationsecretkey";
const HOST: &str = "api-xxxxxxxx.duosecurity.com";

fn duo() -> Duo {
    Duo::new(ApiHosts::duo()).unwrap()
}

fn ok(response: Value) -> HttpReply {
    http::Response::new(json!({"stat": "OK", "response": response}).to_string().into_bytes())
}

fn every_clause_but<C: ProviderCase>(case: impl Fn() -> C, without: &str) {
    let clauses: Vec<_> = clauses::<C>().into_iter().collect();
    for clause in clauses.iter().filter(|clause| clause.name != without) {
        (clause.run)(&case());
    }
    assert!(clauses.iter().any(|clause| clause.name == without));
}

fn hmac_sha1(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

mod web_sdk {
    use super::*;

    #[derive(Debug)]
    struct Web(Duo);

    impl Web {
        fn new() -> Self {
            Self(duo())
        }

        /// What the browser posts once Duo has shown its page: a cookie about the user of the request.
        fn reply(shown: &Shown, now: Timestamp, key: &str) -> Answer {
            let request = shown.public["duo_sig_request"].as_str().unwrap();
            let (tx, app) = request.split_once(':').unwrap();
            let cookie = BASE64.decode(tx.split('|').nth(1).unwrap().as_bytes()).unwrap();
            let user = String::from_utf8(cookie).unwrap().split('|').next().unwrap().to_owned();
            let cookie = BASE64.encode(format!("{user}|{IKEY}|{}", now.unix_seconds() + 300).as_bytes());
            let cookie = format!("AUTH|{cookie}");
            Answer::reply(&format!("{cookie}|{}:{app}", hmac_sha1(key, &cookie)))
        }
    }

    impl ProviderCase for Web {
        type Provider = Duo;

        fn provider(&self) -> &Duo {
            &self.0
        }

        fn settings(&self) -> Value {
            json!({"integration_key": IKEY, "secret_key": SKEY, "application_secret_key": AKEY, "api_hostname": HOST})
        }

        fn choice(&self) -> Choice {
            Choice::none()
        }

        fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
            Self::reply(shown, now, SKEY)
        }

        fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
            Self::reply(shown, now, AKEY)
        }

        fn malformed_answers(&self) -> Vec<Answer> {
            ["", "AUTH|x|y", "123456"].map(Answer::reply).into()
        }

        fn next_answer_after(&self) -> Duration {
            Duration::from_secs(1)
        }

        fn http(&self, _: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
            Err(HttpFault::NotSent)
        }
    }

    mfa_testkit::provider_suite!(Web::new());
}

mod universal {
    use super::*;

    #[derive(Debug)]
    struct Prompted(Duo);

    impl Prompted {
        fn new() -> Self {
            Self(duo())
        }

        fn claims(token: &str) -> Value {
            let payload = token.split('.').nth(1).unwrap();
            serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
        }

        /// The callback after Duo's page. The code names whom it is for, so that nothing must be remembered here.
        fn callback(shown: &Shown, code: Option<&str>) -> Answer {
            // After a prompt that is over there is no address: whatever comes back is of no login.
            let Some(url) = shown.public["url"].as_str() else {
                return Answer::reply("state=of-a-login-that-is-over&duo_code=code");
            };
            let request = url.split("request=").nth(1).unwrap().split('&').next().unwrap();
            let claims = Self::claims(request);
            let right = json!([claims["duo_uname"], claims["nonce"]]).to_string();
            let right = BASE64URL_NOPAD.encode(right.as_bytes());
            let state = claims["state"].as_str().unwrap();
            Answer::reply(&format!("state={state}&duo_code={}", code.unwrap_or(&right)))
        }

        /// A code that was not given out has no token.
        fn token(code: &str, now: u64) -> Option<String> {
            let code: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(code.as_bytes()).ok()?).ok()?;
            let claims = json!({
                "iss": format!("https://{HOST}/oauth/v1/token"), "aud": IKEY, "sub": "bob", "iat": now,
                "exp": now + 300, "preferred_username": code[0], "nonce": code[1],
                "auth_result": {"result": "allow", "status": "allow", "status_msg": "Login Successful"},
                "auth_context": {"event_type": "authentication", "factor": "duo_push", "reason": "user_approved",
                    "result": "success"},
            });
            let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
            let signed = format!("{}.{}", encode(&json!({"alg": "HS512", "typ": "JWT"})), encode(&claims));
            let mut mac = Hmac::<Sha512>::new_from_slice(SKEY.as_bytes()).unwrap();
            mac.update(signed.as_bytes());
            Some(format!("{signed}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())))
        }
    }

    impl ProviderCase for Prompted {
        type Provider = Duo;

        fn provider(&self) -> &Duo {
            &self.0
        }

        fn settings(&self) -> Value {
            json!({"client_id": IKEY, "client_secret": SKEY, "api_hostname": HOST, "redirect_uri": "https://acme.example/duo"})
        }

        fn choice(&self) -> Choice {
            Choice::none()
        }

        fn right_answer(&self, shown: &Shown, _: Timestamp) -> Answer {
            Self::callback(shown, None)
        }

        fn wrong_answer(&self, shown: &Shown, _: Timestamp) -> Answer {
            Self::callback(shown, Some("not-a-code-of-duo"))
        }

        fn malformed_answers(&self) -> Vec<Answer> {
            ["", "state=short&duo_code=x", "duo_code=x"].map(Answer::reply).into()
        }

        fn next_answer_after(&self) -> Duration {
            Duration::ZERO
        }

        fn http(&self, request: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
            let body = std::str::from_utf8(request.body()).unwrap();
            let field = |name: &str| {
                body.split('&')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                    .unwrap_or_default()
            };
            // The assertion ends five minutes after it was made.
            let now = Self::claims(field("client_assertion"))["exp"].as_u64().unwrap() - 300;
            if request.uri().path() == "/oauth/v1/health_check" {
                return Ok(ok(json!({"timestamp": now})));
            }
            let Some(token) = Self::token(field("code"), now) else {
                let refused = http::Response::builder().status(400);
                return Ok(refused.body(json!({"error": "invalid_grant"}).to_string().into_bytes()).unwrap());
            };
            let reply = json!({
                "id_token": token, "access_token": "x", "expires_in": 300, "token_type": "Bearer",
            });
            Ok(http::Response::new(reply.to_string().into_bytes()))
        }
    }

    /// Every clause but one: a code that is refused has burnt its login, so that a second wrong answer is not judged.
    /// A callback of another login costs nothing, and is no wrong answer.
    #[test]
    fn every_clause_but_that_of_a_second_wrong_answer_holds() {
        every_clause_but(Prompted::new, "a_wrong_answer_is_rejected");
    }
}

mod auth_api {
    use super::*;

    /// A user's token shows a code that is made of the device and the second.
    #[derive(Debug)]
    struct Api(Duo);

    fn code(device: &str, seconds: u64) -> String {
        let hash = Sha256::digest(format!("{device} {seconds}"));
        let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 1_000_000;
        format!("{number:06}")
    }

    fn device(user: &str) -> String {
        format!("DP{}", HEXLOWER.encode(&Sha256::digest(user)[..8]))
    }

    impl Api {
        fn shown(shown: &Shown, now: Timestamp) -> String {
            code(shown.public["offers"][0]["device"].as_str().unwrap(), now.unix_seconds())
        }
    }

    impl ProviderCase for Api {
        type Provider = Duo;

        fn provider(&self) -> &Duo {
            &self.0
        }

        fn settings(&self) -> Value {
            json!({"integration_key": IKEY, "secret_key": SKEY, "api_hostname": HOST})
        }

        fn choice(&self) -> Choice {
            Choice::none()
        }

        fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
            Answer::code(&Self::shown(shown, now))
        }

        fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
            let right: u32 = Self::shown(shown, now).parse().unwrap();
            Answer::code(&format!("{:06}", (right + 1) % 1_000_000))
        }

        fn malformed_answers(&self) -> Vec<Answer> {
            ["", "12", "abc def"].map(Answer::code).into_iter().chain([Answer::reply("123456")]).collect()
        }

        fn next_answer_after(&self) -> Duration {
            Duration::from_secs(1)
        }

        fn http(&self, request: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
            let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let device = device(body["username"].as_str().unwrap_or_default());
            Ok(ok(match (request.uri().path(), body["factor"].as_str()) {
                ("/auth/v2/preauth", _) => json!({
                    "result": "auth", "status_msg": "Account is active",
                    "devices": [{"device": device, "type": "phone", "number": "XXX-XXX-0100", "name": "",
                                 "capabilities": ["auto", "push", "sms", "phone", "mobile_otp"]}],
                }),
                ("/auth/v2/auth", Some("passcode")) => {
                    let date = request.headers()["date"].to_str().unwrap();
                    let at = chrono::DateTime::parse_from_rfc2822(date).unwrap().timestamp();
                    let right = code(&device, u64::try_from(at).unwrap());
                    let allow = body["passcode"].as_str() == Some(&right);
                    let word = if allow { "allow" } else { "deny" };
                    json!({"result": word, "status": word, "status_msg": ""})
                }
                ("/auth/v2/auth", _) => json!({"txid": "45f7c92b-f45f-4862-8545-e0f58e78075a"}),
                _ => json!({"time": 1_700_000_000}),
            }))
        }
    }

    /// Every clause but one: that a passcode is good once is kept by Duo, which alone knows the token's counter.
    #[test]
    fn every_clause_but_that_of_duo_holds() {
        every_clause_but(|| Api(duo()), "an_accepted_answer_is_not_accepted_again");
    }
}
