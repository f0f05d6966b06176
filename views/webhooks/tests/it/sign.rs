//! Signatures, held by the example of the standard's own libraries.

use proptest::prelude::*;
use stateset_webhooks::sign::{Secret, SignError};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

#[test]
fn the_example_of_the_standard_comes_out() {
    let secret = Secret::parse(SECRET).expect("a secret");
    assert_eq!(secret.sign(ID, AT, BODY), SIGNATURE);
    assert_eq!(*secret.text(), SECRET);
    assert_eq!(secret.verify(ID, &AT.to_string(), SIGNATURE, BODY, AT), Ok(()));
    assert_eq!(format!("{secret:?}"), "Secret(..)");
}

#[test]
fn a_receiver_believes_fresh_deliveries_of_the_secret_alone() {
    let secret = Secret::parse(SECRET).expect("a secret");
    let at = AT.to_string();
    let among_others = format!("v1,AAAA v2,{} {SIGNATURE}", &SIGNATURE[3..]);
    assert_eq!(secret.verify(ID, &at, &among_others, BODY, AT + 300), Ok(()));
    assert_eq!(secret.verify(ID, &at, SIGNATURE, BODY, AT + 301), Err(SignError::NotFresh));
    assert_eq!(secret.verify(ID, &at, SIGNATURE, BODY, AT - 301), Err(SignError::NotFresh));
    assert_eq!(secret.verify(ID, "soon", SIGNATURE, BODY, AT), Err(SignError::Timestamp));
    assert_eq!(secret.verify("msg_other", &at, SIGNATURE, BODY, AT), Err(SignError::Signature));
    assert_eq!(secret.verify(ID, &at, SIGNATURE, b"{}", AT), Err(SignError::Signature));
    assert_eq!(secret.verify(ID, &(AT + 1).to_string(), SIGNATURE, BODY, AT), Err(SignError::Signature));
    for signature in ["", "v1,", "v2,AAAA", &SIGNATURE[3..], "v1,g0hM9SsE"] {
        assert_eq!(secret.verify(ID, &at, signature, BODY, AT), Err(SignError::Signature), "{signature}");
    }
    let other = Secret::new([7; 32]);
    assert_eq!(other.verify(ID, &at, SIGNATURE, BODY, AT), Err(SignError::Signature));
    assert_eq!(secret.verify(ID, &i64::MIN.to_string(), SIGNATURE, BODY, AT), Err(SignError::NotFresh));
}

#[test]
fn while_one_secret_takes_the_place_of_another_a_receiver_with_either_believes() {
    let [old, new, other] = [1, 2, 3].map(|n| Secret::new([n; 32]));
    let signatures = Secret::sign_all(&[new.clone(), old.clone()], ID, AT, BODY);
    assert_eq!(signatures.split(' ').count(), 2);
    for secret in [&old, &new] {
        assert_eq!(secret.verify(ID, &AT.to_string(), &signatures, BODY, AT), Ok(()));
    }
    let refused = other.verify(ID, &AT.to_string(), &signatures, BODY, AT);
    assert_eq!(refused, Err(SignError::Signature));
    assert_eq!(Secret::sign_all(std::slice::from_ref(&new), ID, AT, BODY), new.sign(ID, AT, BODY));
}

#[test]
fn a_secret_has_its_form_and_length() {
    let short = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
    for text in ["", "whsec_", short, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"] {
        assert_eq!(Secret::parse(text).err(), Some(SignError::Secret), "{text}");
    }
}

proptest! {
    /// What a receiver reads comes from anyone: nothing of it may panic, and nothing made up is believed.
    #[test]
    fn nothing_made_up_is_believed(id in ".{0,40}", at in ".{0,24}", signatures in ".{0,200}", body in any::<Vec<u8>>(), now: i64) {
        let secret = Secret::new([7; 32]);
        prop_assert!(secret.verify(&id, &at, &signatures, &body, now).is_err());
        let _ = Secret::parse(&signatures);
    }

    #[test]
    fn what_is_signed_is_believed(id in "[!-~]{1,40}", at in 0i64..4_000_000_000, body in any::<Vec<u8>>(), key: [u8; 32]) {
        let secret = Secret::parse(&Secret::new(key).text()).expect("a secret");
        let signature = secret.sign(&id, at, &body);
        prop_assert_eq!(secret.verify(&id, &at.to_string(), &signature, &body, at), Ok(()));
    }
}
