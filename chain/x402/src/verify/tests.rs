//! Every rule of B.4 with a payment that breaks it, beside the same payment unbroken.

use std::sync::Mutex;

use alloy_primitives::{B256, Bytes, address, b256};
use serde_json::{Value, json};
use set_registry::ChainKey;

use super::*;
use crate::chain::Later;
use crate::claim::Version;
use crate::header;
use crate::offer::Token;
use crate::sender::Message;

const NOW_S: u64 = 1_800_000_000;

fn key() -> ChainKey {
    ChainKey::from_hex(&"07".repeat(32)).unwrap()
}

fn offer() -> Offer {
    Offer {
        chain_id: 84_532,
        token: Token {
            address: address!("036cbd53842c5426634e7929541ec2318f3dcf7e"),
            name: "USDC".to_owned(),
            version: "2".to_owned(),
        },
        amount: U256::from(10_000),
        pay_to: address!("209693bc6afc0c5328ba36faf03c514ef312287c"),
        timeout_s: 60,
    }
}

fn authorization() -> Authorization {
    Authorization {
        from: key().address(),
        to: offer().pay_to,
        value: U256::from(10_000),
        valid_after: U256::from(NOW_S - 600),
        valid_before: U256::from(NOW_S + 60),
        nonce: B256::repeat_byte(5),
    }
}

fn signed(authorization: &Authorization) -> Value {
    let signature = key().sign(&authorization.digest(&offer().domain())).as_bytes();
    json!({
        "signature": Bytes::from(signature.to_vec()),
        "authorization": {
            "from": authorization.from, "to": authorization.to, "value": authorization.value.to_string(),
            "validAfter": authorization.valid_after.to_string(), "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce,
        },
    })
}

fn of_v2() -> Value {
    json!({"x402Version": 2, "accepted": offer().requirements(), "payload": signed(&authorization())})
}

fn of_v1() -> Value {
    json!({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": signed(&authorization())})
}

/// What is said without a chain: a reason, or who has to be asked about the signature.
fn judge(version: Version, payment: &Value) -> Result<Signer, Reason> {
    let claim = Claim::read(version, header::write(payment).as_bytes()).map_err(|_| Reason::Payload)?;
    check_terms(&claim, &offer(), &ChainTable::default(), NOW_S)
        .and_then(|()| check_signature(&claim, &offer()))
        .map_err(|refusal| refusal.reason)
}

fn changed(mut payment: Value, pointer: &str, value: Value) -> Value {
    *payment.pointer_mut(pointer).expect(pointer) = value;
    payment
}

#[test]
fn a_sound_payment_is_accepted_in_both_versions() {
    assert_eq!(judge(Version::Two, &of_v2()), Ok(Signer::Account));
    assert_eq!(judge(Version::One, &of_v1()), Ok(Signer::Account));
}

#[test]
fn each_rule_refuses_the_payment_that_breaks_it_and_names_it() {
    let other = json!("0x00000000000000000000000000000000000000aa");
    let cases: &[(&str, Value, Reason)] = &[
        ("/x402Version", json!(3), Reason::Payload),
        ("/accepted/scheme", json!("upto"), Reason::Scheme),
        ("/accepted/network", json!("base-sepolia"), Reason::Network),
        ("/accepted/network", json!("eip155:8453"), Reason::NetworkMismatch),
        ("/accepted/asset", other.clone(), Reason::Requirements),
        ("/accepted/payTo", other.clone(), Reason::Recipient),
        ("/accepted/amount", json!("1"), Reason::Value),
        ("/accepted/maxTimeoutSeconds", json!(3600), Reason::Requirements),
        ("/accepted/extra/name", json!("USD Coin"), Reason::TokenName),
        ("/accepted/extra/version", json!("1"), Reason::TokenVersion),
        ("/accepted/extra", json!({"name": "USDC", "version": "2", "more": 1}), Reason::Requirements),
        ("/payload/authorization/to", other.clone(), Reason::Recipient),
        ("/payload/authorization/value", json!("9999"), Reason::Value),
        ("/payload/authorization/value", json!("10001"), Reason::Value),
        ("/payload/authorization/value", json!(10_000), Reason::Payload),
        ("/payload/authorization/from", json!(offer().pay_to), Reason::Payload),
        ("/payload/authorization/validAfter", json!((NOW_S + 1).to_string()), Reason::ValidAfter),
        ("/payload/authorization/validBefore", json!((NOW_S + 5).to_string()), Reason::ValidBefore),
        ("/payload/authorization/validBefore", json!((NOW_S - 1).to_string()), Reason::ValidBefore),
        ("/payload/authorization/validBefore", json!((NOW_S + 86_401).to_string()), Reason::ValidBefore),
        ("/payload/authorization/validBefore", json!(U256::MAX.to_string()), Reason::ValidBefore),
        ("/payload/authorization/nonce", json!("0x05"), Reason::Payload),
        ("/payload/signature", json!("0x"), Reason::Signature),
        ("/payload/signature", json!("0xzz"), Reason::Payload),
    ];
    for (pointer, value, reason) in cases {
        let spoiled = changed(of_v2(), pointer, value.clone());
        assert_eq!(judge(Version::Two, &spoiled), Err(*reason), "{pointer} = {value}");
    }
    let of_version_1: &[(&str, Value, Reason)] = &[
        ("/x402Version", json!(2), Reason::Payload),
        ("/scheme", json!("deferred"), Reason::Scheme),
        ("/network", json!("base"), Reason::NetworkMismatch),
        ("/network", json!("eip155:84532"), Reason::Network),
        ("/payload/authorization/value", json!("10001"), Reason::Value),
    ];
    for (pointer, value, reason) in of_version_1 {
        let spoiled = changed(of_v1(), pointer, value.clone());
        assert_eq!(judge(Version::One, &spoiled), Err(*reason), "{pointer} = {value}");
    }
}

#[test]
fn what_is_signed_for_another_token_chain_or_amount_is_nobodys_word_here() {
    // Six seconds are enough; a change of any signed member makes it another digest.
    let last = changed(of_v2(), "/payload/authorization/validBefore", json!((NOW_S + 6).to_string()));
    assert_eq!(judge(Version::Two, &last), Ok(Signer::Wallet), "no account's signature any more");
    let other_nonce = changed(of_v2(), "/payload/authorization/nonce", json!(B256::repeat_byte(6)));
    assert_eq!(judge(Version::Two, &other_nonce), Ok(Signer::Wallet));
}

/// Made with viem 2 (`hashTypedData`, `signTypedData`) from the key 0x07…07.
#[test]
fn the_digest_and_the_signature_are_those_of_another_implementation() {
    assert_eq!(key().address(), address!("4a62316623ad457f02cdc5d997ded67a383ec569"));
    let digest = authorization().digest(&offer().domain());
    assert_eq!(digest, b256!("5213764a8d79d896d04189aa9fb5c6ea691a20cf24ead24a3be7e8369ff82458"));
    let signature = "0x721a379d478c82d702ce5a4be31a9ce9f9802f88f8bad379cb5f9f6705806e000f3677f853a9e19cf1ee7eff7b1867\
                     5b5f4b8262db4a851821484d36d9ee8c471b";
    let theirs = changed(of_v2(), "/payload/signature", json!(signature));
    assert_eq!(judge(Version::Two, &theirs), Ok(Signer::Account));
    assert_eq!(theirs, of_v2(), "RFC 6979 leaves no choice");
}

/// A chain of made-up answers that counts its questions.
struct Facts {
    used: bool,
    balance: u64,
    code: &'static [u8],
    takes: bool,
    refuses: Option<&'static str>,
    asked: Mutex<Vec<&'static str>>,
}

impl Default for Facts {
    fn default() -> Self {
        Self { used: false, balance: 10_000, code: &[], takes: false, refuses: None, asked: Mutex::default() }
    }
}

impl Facts {
    fn say<T: Send + 'static>(&self, question: &'static str, answer: T) -> Later<'_, Result<T, ChainError>> {
        self.asked.lock().unwrap().push(question);
        Box::pin(async move { Ok(answer) })
    }
}

impl ChainFacts for Facts {
    fn authorization_used(&self, _: Address, _: Address, _: B256) -> Later<'_, Result<bool, ChainError>> {
        self.say("used", self.used)
    }
    fn balance(&self, _: Address, _: Address) -> Later<'_, Result<U256, ChainError>> {
        self.say("balance", U256::from(self.balance))
    }
    fn code(&self, _: Address) -> Later<'_, Result<Bytes, ChainError>> {
        self.say("code", Bytes::from_static(self.code))
    }
    fn takes_signature(&self, _: Address, _: B256, _: Bytes) -> Later<'_, Result<bool, ChainError>> {
        self.say("takes", self.takes)
    }
    fn simulate(&self, _: Message) -> Later<'_, Result<Result<(), String>, ChainError>> {
        self.say("simulate", self.refuses.map_or(Ok(()), |why| Err(why.to_owned())))
    }
}

async fn asked_of(facts: &Facts, signer: Signer) -> Result<(), Reason> {
    let claim = Claim::read(Version::Two, header::write(&of_v2()).as_bytes()).unwrap();
    match check_on_chain(&claim, &offer(), signer, facts).await {
        Ok(()) => Ok(()),
        Err(VerifyError::Refused(refusal)) => Err(refusal.reason),
        Err(VerifyError::Chain(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_chain_refuses_what_was_used_is_not_covered_or_would_fail() {
    assert_eq!(asked_of(&Facts::default(), Signer::Account).await, Ok(()));
    let used = Facts { used: true, ..Facts::default() };
    assert_eq!(asked_of(&used, Signer::Account).await, Err(Reason::NonceUsed));
    let poor = Facts { balance: 9_999, ..Facts::default() };
    assert_eq!(asked_of(&poor, Signer::Account).await, Err(Reason::Balance));
    let refusing = Facts { refuses: Some("paused"), ..Facts::default() };
    assert_eq!(asked_of(&refusing, Signer::Account).await, Err(Reason::Simulation));
}

#[tokio::test]
async fn only_a_contract_that_takes_the_signature_pays_without_a_key() {
    let no_contract = Facts::default();
    assert_eq!(asked_of(&no_contract, Signer::Wallet).await, Err(Reason::Signature));
    assert_eq!(*no_contract.asked.lock().unwrap(), ["code"], "nothing more is asked of a bad signature");
    let refuses = Facts { code: &[1], ..Facts::default() };
    assert_eq!(asked_of(&refuses, Signer::Wallet).await, Err(Reason::Signature));
    let takes = Facts { code: &[1], takes: true, ..Facts::default() };
    assert_eq!(asked_of(&takes, Signer::Wallet).await, Ok(()));
}
