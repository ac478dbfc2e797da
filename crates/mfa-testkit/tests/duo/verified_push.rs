//! The transaction that `preauth` opens for a Verified Duo Push.

use mfa_testkit::duo::{Device, FakeDuo, Integration, User};
use serde_json::{Value, json};

use crate::{NOW, at, post, push, start};

fn users(duo: &FakeDuo) {
    for name in ["vic", "eve"] {
        duo.add_user(User::new(name).device(Device::phone("+15555550102")).verified_push());
    }
}

fn preauth(duo: &FakeDuo, keys: &Integration) -> Value {
    let body = json!({ "username": "vic", "client_supports_verified_push": "1" });
    post(duo, keys, "preauth", &body).json()["response"].take()
}

fn with(user: &str, txid: &Value) -> Value {
    let mut body = push(user);
    body["txid"] = txid.clone();
    body
}

#[test]
fn it_is_good_for_a_minute() {
    let (duo, keys) = start();
    users(&duo);
    let [early, late] = [preauth(&duo, &keys), preauth(&duo, &keys)];
    assert_eq!(early["expiration"], NOW + 60);
    duo.set_now(at(NOW + 59));
    assert_eq!(post(&duo, &keys, "auth", &with("vic", &early["txid"])).status, 200);
    duo.set_now(at(NOW + 60));
    assert_eq!(post(&duo, &keys, "auth", &with("vic", &late["txid"])).json()["message_detail"], "txid");
    assert_eq!(duo.rings("vic").pushes, 1);
}

#[test]
fn it_is_good_for_its_user() {
    let (duo, keys) = start();
    users(&duo);
    let found = preauth(&duo, &keys);
    assert_eq!(post(&duo, &keys, "auth", &with("eve", &found["txid"])).json()["message_detail"], "txid");
    assert_eq!(duo.rings("eve").pushes, 0);
}
