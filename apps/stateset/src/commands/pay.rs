//! `stateset pay`: buys what a URL sells by the x402 protocol.
//!
//! From the moment that a signed authorization was sent, whoever holds it can take the money until it ends. So nothing but the
//! seller's word that it settled, or the token's word, ends a purchase; all else is `PAYMENT_UNKNOWN`.

mod signed;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use set_registry::{Address, B256, ChainKey, Node, RpcSettings, U256, tls_config};
use stateset_x402::{
    Bill, BuyError, Buyer, ChainTable, Choice, forms::SettleResponse, header, settlement_of,
};

use self::signed::{Signed, TokenSays};
use crate::context::Context;
use crate::error::{CliError, printable, printable_lines};
use crate::local_chain::ChainRecord;

/// The variable that may hold the key.
const KEY_VARIABLE: &str = "STATESET_PAY_KEY";
/// Longest answer taken.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Of one request: a seller may wait a minute for a block.
const TIMEOUT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for a sale, in seconds: an authorization is valid no longer.
const VALID_S_MAX: u64 = 3_600;

#[derive(Debug, Args)]
pub struct PayArgs {
    /// What to buy
    #[arg(value_name = "URL")]
    pub url: String,
    /// File with the key of the account that pays, 64 hex digits [default: STATESET_PAY_KEY]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Most to pay, in the token's smallest unit
    #[arg(long, value_name = "AMOUNT")]
    pub max_amount: Option<U256>,
    /// Pay without asking; needs --max-amount, and but for the local chain's test dollar --chain and --token
    #[arg(long, requires = "max_amount")]
    pub yes: bool,
    /// Pay on this chain alone (EIP-155)
    #[arg(long, value_name = "ID")]
    pub chain: Option<u64>,
    /// Pay in this token alone
    #[arg(long, value_name = "ADDRESS")]
    pub token: Option<Address>,
    /// Bring the same payment again for so many seconds, where the seller does not answer: it is never taken twice
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub wait: u64,
    /// JSON-RPC endpoint of the chain that is paid on, to ask the token where the seller's answer leaves open whether it was paid
    /// [default: that of `up --paid-demo`, where it is that chain]
    #[arg(long, value_name = "URL")]
    pub rpc_url: Option<String>,
    /// Send this text by POST
    #[arg(long, value_name = "TEXT")]
    pub post: Option<String>,
}

/// An answer, whole.
struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(|value| value.as_bytes())
    }

    /// How the payment went, by the seller's word.
    fn settlement(&self) -> Option<SettleResponse> {
        settlement_of(self.payment_response()?).ok()
    }

    /// Whether it says anything of the payment, readable or not.
    fn tells_of_payment(&self) -> bool {
        self.payment_response().is_some()
    }

    fn payment_response(&self) -> Option<&[u8]> {
        self.header(header::PAYMENT_RESPONSE).or_else(|| self.header(header::X_PAYMENT_RESPONSE))
    }

    /// Whether what was bought is in it.
    fn delivers(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn run(context: &Context, args: &PayArgs) -> Result<(), CliError> {
    let agent = agent(Duration::from_secs(args.wait));
    let asked = send(&agent, args, None).map_err(|problem| unreachable(&args.url, &problem))?;
    if asked.status != 402 {
        return free(context, args, &asked);
    }
    let key = key(args)?;
    let choice =
        Choice { amount_max: args.max_amount.unwrap_or(U256::MAX), chain_id: args.chain, token: args.token };
    let buyer = Buyer::new(&key, ChainTable::default());
    let bill = buyer.bill(asked.header(header::PAYMENT_REQUIRED), &asked.body, &choice).map_err(of_buyer)?;
    context.out.note(&shown(&bill, &key));
    if bill.timeout_s > VALID_S_MAX {
        let message =
            format!("the seller asks for an authorization of {} s, more than an hour", bill.timeout_s);
        return Err(CliError::failure("OFFER", message));
    }
    if args.yes && (args.chain.is_none() || args.token.is_none()) && !is_test_dollar(context, &bill) {
        let message = format!(
            "the seller asks for token {} on chain {}, and --yes without --chain and --token pays in the test dollar of the \
             local chain alone",
            bill.token, bill.chain_id
        );
        // A limit is of no worth without its unit, and the unit is the seller's choice.
        return Err(CliError::input("UNNAMED_TOKEN", message)
            .hint("nothing was paid; name the chain and the token that you mean, or leave out --yes"));
    }
    let node = node(context, args, bill.chain_id)?;
    if !args.yes {
        confirm(context)?;
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let nonce = B256::from(crate::installation::random::<32>()?);
    let header = buyer.pay(&bill, now_s, nonce);
    let valid_before_s = now_s.saturating_add(bill.timeout_s);
    let signed = Signed { bill: &bill, payer: key.address(), nonce, valid_before_s };
    let brought = bring(&agent, args, &header);
    conclude(context, &signed, node.as_ref(), &brought)
}

/// Whether it is paid in what the local chain of this data directory gives away. The chain's id alone does not say so: a
/// public chain has the same.
fn is_test_dollar(context: &Context, bill: &Bill) -> bool {
    let local = ChainRecord::read(&context.data).ok().flatten();
    local.is_some_and(|local| local.chain_id == bill.chain_id && local.dollar == Some(bill.token))
}

/// An endpoint of the chain that is paid on: the named one, which has to be of that chain; else the local chain's.
fn node(context: &Context, args: &PayArgs, chain_id: u64) -> Result<Option<Node>, CliError> {
    let node = |url: &str| {
        Node::new(url, RpcSettings::default())
            .map_err(|error| CliError::input("BAD_ADDRESS", format!("--rpc-url: {error}")))
    };
    let Some(url) = &args.rpc_url else {
        let local = ChainRecord::read(&context.data).ok().flatten();
        return local
            .filter(|local| local.chain_id == chain_id)
            .map(|local| node(&local.rpc_url))
            .transpose();
    };
    let node = node(url)?;
    let found = node.chain_id().map_err(|error| {
        CliError::failure("CHAIN_UNAVAILABLE", format!("--rpc-url: {error}")).hint("nothing was paid")
    })?;
    if found != chain_id {
        let message =
            format!("--rpc-url: {} is of chain {found}, and it is paid on chain {chain_id}", node.endpoint());
        return Err(CliError::input("OTHER_CHAIN", message).hint("nothing was paid"));
    }
    Ok(Some(node))
}

/// Brings the payment until there is an answer to it, or the time is over: then the last answer, or why there was none.
fn bring(agent: &ureq::Agent, args: &PayArgs, header: &(&'static str, String)) -> Result<Answer, String> {
    let started = Instant::now();
    loop {
        let last = send(agent, args, Some(header));
        if last.as_ref().is_ok_and(|answer| answer.status < 500) {
            return last;
        }
        if started.elapsed() + PAUSE >= Duration::from_secs(args.wait) {
            return last
                .map_err(|problem| format!("no answer in {} s: {problem}", started.elapsed().as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What became of a payment that was brought.
fn conclude(
    context: &Context,
    signed: &Signed<'_>,
    node: Option<&Node>,
    brought: &Result<Answer, String>,
) -> Result<(), CliError> {
    let told = brought.as_ref().ok().and_then(Answer::settlement);
    let delivered = brought.as_ref().ok().filter(|answer| answer.delivers());
    if let Some(told) = told.as_ref().filter(|told| told.success) {
        return match delivered {
            Some(answer) => {
                report(context, signed, answer, Some(told));
                Ok(())
            }
            None => {
                let paid = format!(
                    "it was paid in transaction {}, and the seller {}",
                    told.transaction,
                    said(brought)
                );
                Err(CliError::failure("PAID_NOT_SERVED", printable(&paid)))
            }
        };
    }
    let says = signed.look_up(node);
    match (&says, delivered) {
        (TokenSays::Taken { .. }, Some(answer)) => {
            report(context, signed, answer, None);
            Ok(())
        }
        (TokenSays::Taken { block }, None) => {
            let paid = format!(
                "the token says in block {block} that the payment was taken, and the seller {}",
                said(brought)
            );
            Err(CliError::failure("PAID_NOT_SERVED", printable(&paid)).hint(format!(
                "payer {}, authorization {}, token {} on chain {}: show that to the seller",
                signed.payer, signed.nonce, signed.bill.token, signed.bill.chain_id
            )))
        }
        (TokenSays::Over { block }, None) => {
            let refused = format!(
                "the seller {}; the payment was not taken up to block {block}, when it had ended",
                said(brought)
            );
            Err(CliError::failure("PAYMENT_REFUSED", printable(&refused)).hint("nothing was paid"))
        }
        (TokenSays::Open { .. } | TokenSays::Over { .. } | TokenSays::Nothing(_), delivered) => {
            // What was delivered is not lost with the doubt.
            if let Some(answer) = delivered {
                context.out.result(
                    &json!({"status": answer.status, "paid": "unknown", "body": body(answer)}),
                    &printable_lines(&answer.text()),
                );
            }
            Err(signed.unknown(&format!("the seller {}", said(brought)), &says))
        }
    }
}

/// What the seller did, as the end of a sentence that begins with him.
fn said(brought: &Result<Answer, String>) -> String {
    let answer = match brought {
        Ok(answer) => answer,
        Err(problem) => return format!("gave {problem}"),
    };
    let of_payment = match (answer.settlement(), answer.tells_of_payment()) {
        (Some(SettleResponse { error_reason: Some(reason), error_message, .. }), _) => {
            format!(", refusing the payment ({reason}: {})", error_message.as_deref().unwrap_or_default())
        }
        (Some(_), _) => String::new(),
        (None, true) => ", with a PAYMENT-RESPONSE that can't be read".to_owned(),
        (None, false) => ", without PAYMENT-RESPONSE".to_owned(),
    };
    let to = answer.header("location").map(|to| format!(", sending to {}", String::from_utf8_lossy(to)));
    let text = match of_payment.starts_with(", refusing") || answer.delivers() || answer.body.is_empty() {
        true => String::new(),
        false => format!(": {:.200}", answer.text()),
    };
    format!("answers with status {}{}{of_payment}{text}", answer.status, to.unwrap_or_default())
}

fn agent(wait: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // A payment is for the one who asked for it.
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT.min(wait)))
        .tls_config(tls_config())
        .user_agent(concat!("stateset/", env!("CARGO_PKG_VERSION")));
    config.build().new_agent()
}

fn send(
    agent: &ureq::Agent,
    args: &PayArgs,
    payment: Option<&(&'static str, String)>,
) -> Result<Answer, String> {
    let sent = match &args.post {
        Some(text) => {
            let mut request = agent.post(&args.url);
            if let Some((name, value)) = payment {
                request = request.header(*name, value);
            }
            request.send(text)
        }
        None => {
            let mut request = agent.get(&args.url);
            if let Some((name, value)) = payment {
                request = request.header(*name, value);
            }
            request.call()
        }
    };
    let mut response = sent.map_err(|problem| problem.to_string())?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    Ok(Answer { status, headers, body: read.map_err(|problem| problem.to_string())? })
}

fn key(args: &PayArgs) -> Result<ChainKey, CliError> {
    let read = match (&args.key_file, std::env::var(KEY_VARIABLE)) {
        (Some(file), _) => ChainKey::from_file(file),
        (None, Ok(text)) => ChainKey::from_hex(&text),
        (None, Err(_)) => {
            return Err(CliError::input("NO_KEY", "this costs something, and there is no key to pay with")
                .hint(format!("give --key-file FILE, or set {KEY_VARIABLE}")));
        }
    };
    read.map_err(|error| CliError::input("BAD_KEY", error.to_string()))
}

fn shown(bill: &Bill, key: &ChainKey) -> String {
    printable_lines(&format!(
        "{}\n  {}\n  asks for {} of the smallest unit of {} (token {} on chain {})\n  to       {}\n  from     {}",
        bill.resource.replace('\n', " "),
        bill.description.replace('\n', " "),
        bill.amount,
        bill.token_name.replace('\n', " "),
        bill.token,
        bill.chain_id,
        bill.pay_to,
        key.address(),
    ))
}

fn confirm(context: &Context) -> Result<(), CliError> {
    let terminal = console::Term::stderr();
    if context.out.is_json() || !std::io::stdin().is_terminal() || !terminal.is_term() {
        return Err(CliError::input("NOT_CONFIRMED", "nobody can be asked whether to pay")
            .hint("give --yes and --max-amount AMOUNT"));
    }
    let asked = terminal.write_str("Pay? [y/N] ").and_then(|()| terminal.read_line());
    let answer =
        asked.map_err(|error| CliError::failure("IO", format!("cannot read the answer: {error}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CliError::failure("NOT_CONFIRMED", "nothing was paid")),
    }
}

fn free(context: &Context, args: &PayArgs, answer: &Answer) -> Result<(), CliError> {
    if !answer.delivers() {
        let message =
            format!("{} answers with status {}; nothing was paid", printable(&args.url), answer.status);
        let error = CliError::failure("NOT_SERVED", message);
        return Err(match answer.header("location") {
            Some(to) => error.hint(format!("it sends to {}", printable(&String::from_utf8_lossy(to)))),
            None => error,
        });
    }
    let value = json!({"status": answer.status, "paid": null, "body": body(answer)});
    context.out.result(&value, &printable_lines(&answer.text()));
    Ok(())
}

/// What was bought. `told`: what the seller says of the payment; without it the token has said that it was taken.
fn report(context: &Context, signed: &Signed<'_>, answer: &Answer, told: Option<&SettleResponse>) {
    let bill = signed.bill;
    let place = told.and_then(|told| told.extensions.get("stateset")).cloned().unwrap_or(Value::Null);
    let transaction = told.map(|told| told.transaction.as_str());
    let value = json!({
        "status": answer.status,
        "paid": {
            "amount": bill.amount.to_string(), "token": bill.token, "chain_id": bill.chain_id, "pay_to": bill.pay_to,
            "payer": signed.payer, "authorization": signed.nonce, "transaction": transaction,
            "intent_id": place["intentId"], "sequence_number": place["sequenceNumber"],
        },
        "body": body(answer),
    });
    let by = match transaction {
        Some(transaction) => format!("transaction {transaction}"),
        None => format!("the seller does not say so, and the token does: authorization {}", signed.nonce),
    };
    let mut text = format!("{}\n\nPaid {} of {}\n  {by}", answer.text(), bill.amount, bill.token_name);
    if let (Some(id), Some(number)) = (place["intentId"].as_str(), place["sequenceNumber"].as_u64()) {
        text += &format!("\n  sequenced as payment {number}, intent {id}");
    }
    context.out.result(&value, &printable_lines(&text));
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| Value::String(answer.text()))
}

fn of_buyer(error: BuyError) -> CliError {
    let code = match error {
        BuyError::Offer(_) => "OFFER",
        BuyError::NoneFits(_) => "NO_OFFER_FITS",
    };
    CliError::failure(code, printable_lines(&error.to_string())).hint("nothing was paid")
}

fn unreachable(url: &str, problem: &str) -> CliError {
    CliError::failure("SERVER_UNREACHABLE", printable(&format!("{url} can't be reached: {problem}")))
}
