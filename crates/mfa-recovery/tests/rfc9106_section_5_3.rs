//! RFC 9106 §5.3: the test vector of Argon2id. It has a secret key, associated data and four lanes, which this
//! crate does not use: it shows that the engine is Argon2id. The crate's own use of it is held against the
//! vectors of the reference implementation.
#![cfg(test)]

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use data_encoding::HEXLOWER;

const TAG: &str = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659";

#[test]
fn rfc9106_section_5_3_argon2id() {
    let mut params = ParamsBuilder::new();
    params.m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).unwrap()).output_len(32);
    let params = params.build().unwrap();
    let engine = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    engine.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
    assert_eq!(HEXLOWER.encode(&tag), TAG);
}
