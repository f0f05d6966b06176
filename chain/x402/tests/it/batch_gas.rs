//! Gas of batches: payers whose accounts burn it harm nobody else, and none is burnt again and again for nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, address, hex};
use alloy_sol_types::SolCall as _;
use serde_json::{Value, json};
use set_registry::abi::TestDollar::{balanceOfCall, mintCall};
use set_registry::devnet::Wallet;
use set_registry::{BlockAt, ChainKey};
use stateset_x402::batch::{
    BatchError, BatchFate, BatchSettler, Expected, ItemFate, Outbound, Progress, REVERTED_MAX, batch_payment,
};
use stateset_x402::{Authorization, Domain, Outgoing, RpcChain, Sender};

use crate::batches::{OWNER, deploy, terms};
use crate::world::{
    BASE_SEPOLIA, FUNDS, KNOWN_DOLLAR, MERCHANT, PAYER, PRICE, SETTLER, STRANGER, World, key, nonce, now_s,
};

/// Where the token stands that asks the code of its payers.
const WARY_DOLLAR: Address = address!("00000000000000000000000000000000000d011a");

struct Bank {
    world: World,
    contract: Address,
    settler: BatchSettler,
    sender: Sender,
    sent: Mutex<Vec<Outgoing>>,
}

impl Bank {
    async fn open() -> Option<Self> {
        let world = World::open(BASE_SEPOLIA).await?;
        let contract = tokio::task::block_in_place(|| {
            put_token(&world);
            deploy(&world, WARY_DOLLAR)
        });
        let connect = || RpcChain::connect(world.anvil.node(), Some(BASE_SEPOLIA), key(OWNER).address());
        let chain = Arc::new(tokio::task::block_in_place(connect).unwrap());
        let settler = BatchSettler::new(chain.clone(), contract, 1);
        let sender = Sender::new(chain, key(OWNER));
        Some(Self { world, contract, settler, sender, sent: Mutex::default() })
    }

    /// One batch of so many payments of each payer, the payers taking turns.
    fn batch(&self, payers: &[(usize, usize)]) -> Outbound {
        let offer = self.world.offer();
        let domain = Domain { token: WARY_DOLLAR, ..offer.domain() };
        let most = payers.iter().map(|(_, count)| *count).max().unwrap();
        let turns = (0..most).flat_map(|turn| payers.iter().filter(move |of| turn < of.1).map(|of| of.0));
        let (mut items, mut payments) = (Vec::new(), Vec::new());
        for (place, payer) in turns.enumerate() {
            let authorization = authorization(&key(payer));
            let id = B256::from(U256::from(place + 1));
            let signature = key(payer).sign(&authorization.digest(&domain)).as_bytes();
            payments.push(batch_payment(id, &authorization, &signature).unwrap());
            items.push((id, Some(authorization)));
        }
        let terms = terms(WARY_DOLLAR, u32::try_from(items.len()).unwrap());
        let (batch_id, merkle_root) = (terms.batchId, terms.merkleRoot);
        let expected = Expected { batch_id, merkle_root, token: WARY_DOLLAR, items, since_s: 0 };
        Outbound { expected, terms, payments, valid_until_s: now_s() + 600, attempts: Vec::new() }
    }

    async fn step(&self, batch: &Outbound) -> Result<Progress, BatchError> {
        let batch = Outbound { attempts: self.sent.lock().unwrap().clone(), ..batch.clone() };
        let note = |outgoing| async move {
            self.sent.lock().unwrap().push(outgoing);
            Ok(())
        };
        self.settler.advance(&self.sender, &batch, note, |_| std::future::ready(Ok(true))).await
    }

    async fn outcome(&self, batch: &Outbound) -> Vec<ItemFate> {
        for _ in 0..500 {
            match self.step(batch).await {
                // A busy node shows what a block changed a moment before it shows the block.
                Ok(Progress::Underway) | Err(BatchError::Hindered(_)) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(Progress::Done { fate: BatchFate::Done { items, .. }, .. }) => return items,
                other => panic!("{other:?}"),
            }
        }
        panic!("the batch is in no block");
    }

    fn give_code(&self, account: usize) {
        self.tell("anvil_setCode", &json!([key(account).address(), "0x00"]));
    }

    fn tell(&self, method: &str, params: &Value) {
        let node = self.world.anvil.node();
        tokio::task::block_in_place(|| node.request::<Value>(method, params)).unwrap();
    }

    fn paid(&self) -> u64 {
        let (node, asked) = (self.world.anvil.node(), balanceOfCall { account: MERCHANT });
        tokio::task::block_in_place(|| node.view(WARY_DOLLAR, &asked, BlockAt::Latest)).unwrap().to::<u64>()
            / PRICE
    }
}

fn authorization(payer: &ChainKey) -> Authorization {
    Authorization {
        from: payer.address(),
        to: MERCHANT,
        value: U256::from(PRICE),
        valid_after: U256::ZERO,
        valid_before: U256::from(now_s() + 600),
        nonce: nonce(),
    }
}

/// The dollar behind code that burns all gas of a transfer whose payer has code, as a payer's own
/// check of signatures may (EIP-7702 with ERC-1271).
fn put_token(world: &World) {
    let mut code = hex!("60c836116004353b02603957365f5f375f5f365f73").to_vec();
    code.extend(KNOWN_DOLLAR);
    code.extend(hex!("5af43d5f5f3e6035573d5ffd5b3d5ff35bfe"));
    let node = world.anvil.node();
    node.request::<Value>("anvil_setCode", &json!([WARY_DOLLAR, hex::encode_prefixed(code)])).unwrap();
    let minter = Wallet::new(node, key(OWNER)).unwrap();
    for payer in [PAYER, STRANGER] {
        let call = mintCall { to: key(payer).address(), value: U256::from(FUNDS) };
        minter.send(Some(WARY_DOLLAR), call.abi_encode().into(), U256::ZERO).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payers_that_burn_their_gas_fail_alone_and_the_others_of_their_batch_are_paid() {
    let Some(bank) = Bank::open().await else { return };
    bank.give_code(STRANGER);
    // As many as the service makes of itself.
    let batch = bank.batch(&[(PAYER, 4), (STRANGER, 96)]);
    let items = bank.outcome(&batch).await;
    let paid = items.iter().filter(|item| **item == ItemFate::Paid).count();
    assert_eq!((paid, bank.paid(), bank.sent.lock().unwrap().len()), (4, 4, 1), "{items:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_that_is_too_dear_for_a_transaction_leaves_out_those_that_burn_gas() {
    let Some(bank) = Bank::open().await else { return };
    bank.give_code(STRANGER);
    let batch = bank.batch(&[(STRANGER, 120), (PAYER, 100)]);
    let items = bank.outcome(&batch).await;
    let paid = items.iter().filter(|item| **item == ItemFate::Paid).count();
    assert_eq!((paid, bank.paid(), bank.sent.lock().unwrap().len()), (100, 100, 1), "{items:?}");
    let left_out = |item: &&ItemFate| matches!(item, ItemFate::Failed(why) if why.contains("too much gas"));
    assert!(items.iter().filter(left_out).count() > 20, "{items:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_that_do_not_fit_a_block_are_left_out_and_the_rest_is_paid() {
    let Some(bank) = Bank::open().await else { return };
    bank.tell("evm_setBlockGasLimit", &json!(["0x1e8480"]));
    bank.tell("evm_mine", &json!([]));
    let batch = bank.batch(&[(PAYER, 60)]);
    let items = bank.outcome(&batch).await;
    let paid = items.iter().filter(|item| **item == ItemFate::Paid).count();
    assert!((10..60).contains(&paid), "{items:?}");
    assert_eq!((u64::try_from(paid).unwrap(), bank.sent.lock().unwrap().len()), (bank.paid(), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_two_reverted_transactions_none_is_sent_any_more() {
    let Some(bank) = Bank::open().await else { return };
    let batch = bank.batch(&[(PAYER, 1)]);
    bank.tell("evm_setAutomine", &json!([false]));
    let node = bank.world.anvil.node();
    let code = tokio::task::block_in_place(|| node.code(bank.contract, BlockAt::Latest)).unwrap();
    for sent in 1..=REVERTED_MAX {
        assert_eq!(bank.step(&batch).await, Ok(Progress::Underway));
        assert_eq!(bank.sent.lock().unwrap().len(), sent);
        // Before a block takes it, the contract refuses everything.
        bank.tell("anvil_setCode", &json!([bank.contract, "0x5f5ffd"]));
        bank.tell("evm_mine", &json!([]));
        let refused = bank.step(&batch).await;
        assert!(matches!(&refused, Err(BatchError::Hindered(_))), "{refused:?}");
        assert_eq!(bank.sent.lock().unwrap().len(), sent, "what the contract would refuse is not sent");
        bank.tell("anvil_setCode", &json!([bank.contract, code]));
    }
    let stopped = bank.step(&batch).await;
    let is_told = |why: &str| why.contains("reverted") && why.contains("X402_BATCH_MAX_SIZE");
    assert!(matches!(&stopped, Err(BatchError::Hindered(why)) if is_told(why)), "{stopped:?}");
    assert_eq!((bank.sent.lock().unwrap().len(), bank.paid()), (REVERTED_MAX, 0));
}

/// Has none of the token.
const POOR: usize = SETTLER;

/// Signatures cost nothing: wallets without money had gas burnt for each of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_gas_is_burnt_for_payers_without_the_money() {
    let Some(bank) = Bank::open().await else { return };
    let step = bank.step(&bank.batch(&[(POOR, 3)])).await;
    let Ok(Progress::Unsent(items)) = &step else { panic!("{step:?}") };
    let why = "does not have the amount";
    assert!(items.iter().all(|item| matches!(item, ItemFate::Failed(reason) if reason.contains(why))));
    assert_eq!((items.len(), bank.sent.lock().unwrap().len()), (3, 0));

    // Money for one of its two.
    let minter = || Wallet::new(bank.world.anvil.node(), key(OWNER)).unwrap();
    let call = mintCall { to: key(POOR).address(), value: U256::from(PRICE) };
    let mint = || minter().send(Some(WARY_DOLLAR), call.abi_encode().into(), U256::ZERO).unwrap();
    tokio::task::block_in_place(mint);
    let items = bank.outcome(&bank.batch(&[(PAYER, 2), (POOR, 2)])).await;
    assert_eq!(items[..3], [ItemFate::Paid, ItemFate::Paid, ItemFate::Paid]);
    let why = "did not have the amount";
    assert!(matches!(&items[3], ItemFate::Failed(reason) if reason.contains(why)), "{items:?}");
    assert_eq!((bank.paid(), bank.sent.lock().unwrap().len()), (3, 1));
}

/// It kept the price of the spike, and waited for funds that it did not need.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_that_was_put_down_while_gas_was_dear_is_sent_at_the_fees_of_today() {
    let Some(bank) = Bank::open().await else { return };
    let takes = |gwei: u64| {
        bank.tell("anvil_setNextBlockBaseFeePerGas", &json!([format!("{:#x}", gwei * 1_000_000_000)]));
        bank.tell("evm_mine", &json!([]));
    };
    // A twentieth of a coin.
    bank.tell("anvil_setBalance", &json!([key(OWNER).address(), "0xb1a2bc2ec50000"]));
    takes(300);
    let batch = bank.batch(&[(PAYER, 1)]);
    for _ in 0..2 {
        let hindered = bank.step(&batch).await;
        let is_named = |problem: &str| problem.contains("can't pay for gas");
        assert!(matches!(&hindered, Err(BatchError::Hindered(problem)) if is_named(problem)), "{hindered:?}");
        assert_eq!(bank.sent.lock().unwrap().len(), 1, "put down before the node sees it");
    }
    takes(1);
    assert_eq!(bank.outcome(&batch).await, [ItemFate::Paid]);
    let sent = bank.sent.lock().unwrap().clone();
    assert_eq!((sent.len(), sent[0].account_nonce), (2, sent[1].account_nonce), "of one number");
}
