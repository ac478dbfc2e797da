//! The forms of ids and contacts for serde: text where people read it, and the bytes of stored records elsewhere.
#![cfg(test)]

use core::fmt::{Debug, Display};

use mfa_core::{ChallengeId, Channel, ConfigurationId, Contact, DeviceId, EnrolmentId, ExemptionId};
use serde::Serialize;
use serde::de::DeserializeOwned;

const BYTES: [u8; 16] =
    [0x6f, 0x1c, 0x0f, 0x6e, 0x6a, 0x3d, 0x4c, 0x8e, 0x9f, 0x57, 0x0d, 0x6a, 0x3d, 0x2b, 0x1c, 0x00];
const UUID: &str = "6f1c0f6e-6a3d-4c8e-9f57-0d6a3d2b1c00";
const DIGITS: &str = "6f1c0f6e6a3d4c8e9f570d6a3d2b1c00";

/// The encoding of postcard 1: bytes and text behind their length as a varint, a variant as its number.
fn stored(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn is_text_in_json_and_bytes_in_postcard<T>(id: T, text: &str)
where
    T: Serialize + DeserializeOwned + Copy + PartialEq + Debug + Display,
{
    assert_eq!(id.to_string(), text);
    let json = format!("\"{text}\"");
    assert_eq!(serde_json::to_string(&id).unwrap(), json);
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), id);

    let bytes = stored(&[&[16], &BYTES]);
    assert_eq!(postcard::to_allocvec(&id).unwrap(), bytes);
    assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), id);

    let others = [
        serde_json::to_string(&BYTES).unwrap(),
        "\"../../etc/passwd\"".to_owned(),
        "\"\"".to_owned(),
        "null".to_owned(),
        format!("\"{text} \""),
        format!("\"{}\"", &text[1..]),
        format!("\"{{{UUID}}}\""),
        format!("\"urn:uuid:{UUID}\""),
    ];
    for other in others {
        let error = serde_json::from_str::<T>(&other).unwrap_err().to_string();
        assert!(!error.contains("passwd"), "{error}");
    }
}

#[test]
fn random_ids_are_their_uuid_in_json_and_sixteen_bytes_in_postcard() {
    is_text_in_json_and_bytes_in_postcard(ChallengeId::from_bytes(BYTES), UUID);
    is_text_in_json_and_bytes_in_postcard(EnrolmentId::from_bytes(BYTES), UUID);
    is_text_in_json_and_bytes_in_postcard(DeviceId::from_bytes(BYTES), UUID);
    is_text_in_json_and_bytes_in_postcard(ExemptionId::from_bytes(BYTES), UUID);
    assert!(serde_json::from_str::<EnrolmentId>(&format!("\"{DIGITS}\"")).is_err());
}

#[test]
fn the_id_of_a_configuration_is_its_digits_in_json_and_sixteen_bytes_in_postcard() {
    is_text_in_json_and_bytes_in_postcard(ConfigurationId::from_random(BYTES), DIGITS);
    assert!(serde_json::from_str::<ConfigurationId>(&format!("\"{UUID}\"")).is_err());
}

#[test]
fn a_uuid_is_read_in_either_case_and_in_no_form_but_the_hyphenated_one() {
    // RFC 9562 section 4: output in lower case, input in either.
    assert_eq!(UUID.to_uppercase().parse::<DeviceId>().unwrap(), DeviceId::from_bytes(BYTES));
    let others = [DIGITS.to_owned(), format!("{{{UUID}}}"), format!("urn:uuid:{UUID}"), format!("{UUID}0")];
    assert!(others.iter().all(|other| other.parse::<DeviceId>().unwrap_err().code() == "invalid_id"));
}

#[test]
fn a_contact_is_kept_with_its_mark_in_the_bytes_of_stored_records() {
    let mail = Contact::email("bob@acme.example").unwrap();
    let phone = Contact::phone("+4915123456789").unwrap();
    let kept = [
        (mail.clone().verified(), stored(&[&[2, 16], b"bob@acme.example", &[1]])),
        (mail, stored(&[&[2, 16], b"bob@acme.example", &[0]])),
        (phone.verified(), stored(&[&[3, 14], b"+4915123456789", &[1]])),
    ];
    for (contact, bytes) in kept {
        assert_eq!(postcard::to_allocvec(&contact).unwrap(), bytes);
        assert_eq!(postcard::from_bytes::<Contact>(&bytes).unwrap(), contact);
    }
}

#[test]
fn a_contact_that_was_typed_is_checked_and_is_not_verified() {
    let sent = |channel: &str, address: &str, verified: bool| {
        let body = serde_json::json!({"channel": channel, "address": address, "verified": verified});
        serde_json::from_value::<Contact>(body)
    };
    let mail = sent("Email", "bob@acme.example", true).unwrap();
    assert_eq!((mail.channel(), mail.is_verified()), (Channel::Email, false));
    let phone = sent("Phone", "+4915123456789", true).unwrap();
    assert_eq!((phone.channel(), phone.is_verified()), (Channel::Phone, false));
    assert!(
        !serde_json::from_str::<Contact>(r#"{"channel":"Phone","address":"+4915123456789"}"#)
            .unwrap()
            .is_verified()
    );

    let refused = [
        ("Email", "bob@x\r\nBcc: eve@evil.example"),
        ("Email", "bob"),
        ("Email", "+4915123456789"),
        ("Phone", "bob@acme.example"),
        ("Phone", "4915123456789"),
        ("Push", "bob@acme.example"),
    ];
    for (channel, address) in refused {
        let error = sent(channel, address, false).unwrap_err().to_string();
        assert!(error.contains("contact.") && !error.contains(address), "{error}");
    }
    // What was shown as JSON comes back without the mark.
    let shown = serde_json::to_string(&Contact::email("bob@acme.example").unwrap().verified()).unwrap();
    assert_eq!(shown, r#"{"channel":"Email","address":"bob@acme.example","verified":true}"#);
    assert!(!serde_json::from_str::<Contact>(&shown).unwrap().is_verified());
}
