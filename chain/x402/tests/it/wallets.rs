//! A payer that is a contract (ERC-1271), on a real chain: what its owners sign pays, in both versions, and nothing else does.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolValue as _};
use axum::http::StatusCode;
use serde_json::{Value, json};
use set_registry::Node;
use set_registry::abi::TestDollar;
use set_registry::artifact::Contract;
use set_registry::devnet::Wallet;
use stateset_x402::forms::{ExactPayload, PaymentPayload, PaymentPayloadV1};
use stateset_x402::{Authorization, ChainFacts as _, Claim, Domain, Message, Version, header};

use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, SETTLER, STRANGER, World, key, nonce, now_s};

/// Owners of the wallets.
const OWNERS: [usize; 2] = [PAYER, 0];

impl World {
    /// A wallet of both owners, with money for three payments.
    fn wallet(&self) -> Address {
        let deployer = Wallet::new(self.anvil.node(), key(0)).unwrap();
        let [first, second] = OWNERS.map(|owner| key(owner).address());
        let input = Contract::TestWallet.creation(first, second);
        let wallet = deployer.send(None, input, U256::ZERO).unwrap().contract.unwrap();
        let mint = TestDollar::mintCall { to: wallet, value: U256::from(3 * PRICE) };
        deployer.send(Some(self.dollar), mint.abi_encode().into(), U256::ZERO).unwrap();
        wallet
    }

    /// A contract of these bytes with money for three payments.
    fn contract(&self, at: u8, code: &str) -> Address {
        let wallet = Address::repeat_byte(at);
        set_code(&self.anvil.node(), wallet, code);
        let mint = TestDollar::mintCall { to: wallet, value: U256::from(3 * PRICE) };
        let deployer = Wallet::new(self.anvil.node(), key(0)).unwrap();
        deployer.send(Some(self.dollar), mint.abi_encode().into(), U256::ZERO).unwrap();
        wallet
    }

    /// By a signature that only these contracts take.
    fn payment_of(&self, wallet: Address) -> (&'static str, String) {
        let (authorization, _) = self.authorization(wallet);
        self.in_version_2(authorization, Bytes::from_static(&[0xab; 70]))
    }

    fn authorization(&self, from: Address) -> (Authorization, B256) {
        let now_s = now_s();
        let authorization = Authorization {
            from,
            to: MERCHANT,
            value: U256::from(PRICE),
            valid_after: U256::from(now_s - 600),
            valid_before: U256::from(now_s + 60),
            nonce: nonce(),
        };
        let domain = Domain { name: "USDC", version: "2", chain_id: self.chain_id, token: self.dollar };
        (authorization, authorization.digest(&domain))
    }

    /// As the wallet asks for it: the owner's number, and his signature over the hash together with wallet and chain.
    fn signed_for(&self, wallet: Address, digest: B256, number: u64, signer: usize) -> Bytes {
        let bound = keccak256((digest, wallet, U256::from(self.chain_id)).abi_encode());
        let signature = key(signer).sign(&bound).as_bytes();
        let word = |at: usize| B256::from_slice(&signature[at..at + 32]);
        (U256::from(number), word(0), word(32), U256::from(signature[64])).abi_encode().into()
    }

    fn in_version_2(&self, authorization: Authorization, signature: Bytes) -> (&'static str, String) {
        let paid = PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted: self.offer().requirements(),
            payload: ExactPayload { signature, authorization: authorization.into() },
            extensions: Default::default(),
        };
        (header::PAYMENT_SIGNATURE, header::write(&paid))
    }
}

/// Takes every signature.
const TAKES: &str = "0x631626ba7e60e01b60005260206000f3";
const REFUSES: &str = "0x60006000fd";
/// Takes every signature where more than a million of gas is left, and burns all of it elsewhere.
const TAKES_FOR_GAS: &str = "0x5a620f424010600d575b6009565b631626ba7e60e01b60005260206000f3";

fn set_code(node: &Node, contract: Address, code: &str) {
    node.request::<Value>("anvil_setCode", &json!([contract, code])).unwrap();
}

fn in_version_1(authorization: Authorization, signature: Bytes) -> (&'static str, String) {
    let payload = ExactPayload { signature, authorization: authorization.into() };
    let (scheme, network) = ("exact".to_owned(), "base-sepolia".to_owned());
    (header::X_PAYMENT, header::write(&PaymentPayloadV1 { x402_version: 1, scheme, network, payload }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_contract_wallet_pays_in_both_versions_by_what_its_owners_sign() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let wallet = tokio::task::block_in_place(|| world.wallet());
    let (first, digest) = world.authorization(wallet);
    let two = world.in_version_2(first, world.signed_for(wallet, digest, 0, OWNERS[0]));
    let (second, digest) = world.authorization(wallet);
    let one = in_version_1(second, world.signed_for(wallet, digest, 1, OWNERS[1]));
    for (paid, count) in [(two, 1), (one, 2)] {
        let answer = world.ask("/paid", std::slice::from_ref(&paid)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.reason());
        assert_eq!(world.balance(MERCHANT), count * PRICE);
        // The same again is the same payment.
        assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
        assert_eq!(world.balance(MERCHANT), count * PRICE);
    }
    let told = world.log.told.lock().unwrap().clone();
    assert_eq!(told.iter().map(|paid| paid.authorization.from).collect::<Vec<_>>(), [wallet; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_wallet_does_not_take_moves_nothing() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (wallet, other) = tokio::task::block_in_place(|| (world.wallet(), world.wallet()));
    let (authorization, digest) = world.authorization(wallet);
    let bare = Bytes::from(key(OWNERS[0]).sign(&digest).as_bytes().to_vec());
    for (signature, whose) in [
        (world.signed_for(wallet, digest, 0, STRANGER), "a stranger's"),
        (world.signed_for(wallet, digest, 1, OWNERS[0]), "another owner's number"),
        (world.signed_for(wallet, digest, 7, OWNERS[0]), "no owner's number"),
        (world.signed_for(other, digest, 0, OWNERS[0]), "for another wallet of the same owners"),
        (bare, "the owner's own, not bound to the wallet"),
    ] {
        for paid in
            [world.in_version_2(authorization, signature.clone()), in_version_1(authorization, signature)]
        {
            let answer = world.ask("/paid", &[paid]).await;
            assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{whose}");
            assert_eq!(answer.reason().as_deref(), Some("invalid_exact_evm_signature"), "{whose}");
        }
    }
    assert_eq!((world.balance(MERCHANT), world.balance(wallet)), (0, 3 * PRICE));
}

/// What was tried with all the gas of a node, and sent with that of a transfer, failed at the facilitator's cost each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_wallet_takes_for_more_gas_than_is_sent_is_not_sent() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let wallet = tokio::task::block_in_place(|| world.contract(0xa1, TAKES_FOR_GAS));
    let ether = world.ether(key(SETTLER).address());
    let (name, value) = world.payment_of(wallet);
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    let verified = world.facilitator().verify(&claim, &world.offer()).await;
    assert!(verified.is_err(), "{verified:?}");
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{answer:?}");
    assert_eq!(world.ether(key(SETTLER).address()), ether);
    assert!(world.chain().sent.lock().unwrap().is_empty());
    // Simulating has the gas of the message.
    for (gas, passes) in [(300_000, false), (2_000_000, true)] {
        let message = Message { to: wallet, data: Bytes::new(), gas };
        let simulated = world.chain().simulate(message).await.expect("an answer of the contract");
        assert_eq!(simulated.is_ok(), passes, "{gas}: {simulated:?}");
    }
}

/// It takes the signature while it is asked, and refuses it once the first transaction is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wallet_whose_transactions_fail_is_sent_three_and_no_more() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let wallet = tokio::task::block_in_place(|| world.contract(0xa2, TAKES));
    let sent = || world.chain().sent.lock().unwrap().len();
    let changes_its_mind = || {
        let node = world.anvil.node();
        tokio::task::block_in_place(|| set_code(&node, wallet, TAKES));
        *world.chain().before_send.lock().unwrap() = Some(Box::new(move || {
            std::thread::sleep(Duration::from_millis(300));
            set_code(&node, wallet, REFUSES);
        }));
    };
    changes_its_mind();
    let paid = [(); 6].map(|()| world.payment_of(wallet));
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|at: usize| world.ask("/paid", &paid[at..=at]));
    let answers = tokio::join!(a, b, c, d, e, f);
    assert!((1..=3).contains(&sent()), "{} at once: {answers:?}", sent());
    let mut last = answers.0;
    for _ in 0..4 {
        changes_its_mind();
        last = world.ask("/paid", &[world.payment_of(wallet)]).await;
        assert_eq!(last.status, StatusCode::PAYMENT_REQUIRED, "{last:?}");
    }
    assert_eq!(sent(), 3);
    assert_eq!(last.reason().as_deref(), Some("invalid_exact_evm_transaction_failed"));
    assert!(last.json()["error"].as_str().unwrap().contains("pay from another account"), "{last:?}");
    let (_, value) = world.payment_of(wallet);
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    assert!(world.facilitator().verify(&claim, &world.offer()).await.is_err());
    // Nobody else is held up by it.
    *world.chain().before_send.lock().unwrap() = None;
    assert_eq!(world.ask("/paid", &[world.payment().await]).await.status, StatusCode::OK);
}
