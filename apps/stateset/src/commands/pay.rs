//! `stateset pay`: buys what a URL sells by the x402 protocol.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use set_registry::{Address, B256, ChainKey, U256, tls_config};
use stateset_x402::{
    Bill, BuyError, Buyer, ChainTable, Choice, forms::SettleResponse, header, settlement_of,
};
use ves::TimestampMs;

use crate::context::Context;
use crate::error::{CliError, printable, printable_lines};

/// The variable that may hold the key.
const KEY_VARIABLE: &str = "STATESET_PAY_KEY";
/// Longest answer taken.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Of one request: a seller may wait a minute for a block.
const TIMEOUT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_secs(2);
/// First bytes of a call of EIP-3009's `authorizationState(address,bytes32)`.
const AUTHORIZATION_STATE: &str = "0xe94a0102";
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
    /// Pay without asking; needs --max-amount
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
        let told =
            self.header(header::PAYMENT_RESPONSE).or_else(|| self.header(header::X_PAYMENT_RESPONSE))?;
        settlement_of(told).ok()
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
    if !args.yes {
        confirm(context)?;
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let nonce = B256::from(crate::installation::random::<32>()?);
    let header = buyer.pay(&bill, now_s, nonce);
    let valid_before_s = now_s.saturating_add(bill.timeout_s);
    let signed = Signed { bill: &bill, payer: key.address(), nonce, valid_before_s };
    let answer = bring(&agent, args, &header, &signed)?;
    let settlement = answer.settlement();
    match &settlement {
        Some(told) if told.success && answer.status < 400 => {
            report(context, &bill, &answer, told);
            Ok(())
        }
        _ => Err(not_served(&answer, settlement.as_ref())),
    }
}

/// A payment that was signed: what its payer has to know of it when nobody answers.
struct Signed<'a> {
    bill: &'a Bill,
    payer: Address,
    nonce: B256,
    /// Unix seconds.
    valid_before_s: u64,
}

/// Brings the payment until there is an answer to it.
fn bring(
    agent: &ureq::Agent,
    args: &PayArgs,
    header: &(&'static str, String),
    signed: &Signed<'_>,
) -> Result<Answer, CliError> {
    let started = Instant::now();
    loop {
        let lost = match send(agent, args, Some(header)) {
            Ok(answer) if answer.status >= 500 => {
                format!("it answers with status {}: {:.200}", answer.status, answer.text())
            }
            Ok(answer) => return Ok(answer),
            Err(problem) => problem,
        };
        if started.elapsed() + PAUSE >= Duration::from_secs(args.wait) {
            return Err(signed.unknown(&lost, started.elapsed()));
        }
        std::thread::sleep(PAUSE);
    }
}

impl Signed<'_> {
    /// Nobody has said what became of it. The token knows.
    fn unknown(&self, lost: &str, waited: Duration) -> CliError {
        let until_ms = self.valid_before_s.saturating_mul(1_000);
        let until = TimestampMs(i64::try_from(until_ms).unwrap_or(i64::MAX));
        let message = format!(
            "no answer in {} s, so it is not known whether the payment was taken: {}\n  it can be taken until {until}, and \
             never after\n  payer {}, authorization {}, token {} on chain {}",
            waited.as_secs(),
            printable(lost),
            self.payer,
            self.nonce,
            self.bill.token,
            self.bill.chain_id,
        );
        CliError::failure("PAYMENT_UNKNOWN", message).hint(format!(
            "ask the token by any RPC endpoint of chain {} before you pay again; a result that ends in 1 says that it was taken:\n  \
             curl -H 'content-type: application/json' RPC_URL -d '{}'",
            self.bill.chain_id,
            self.question()
        ))
    }

    /// The JSON-RPC request whose answer says whether the authorization was used.
    fn question(&self) -> Value {
        // An address is the end of a word of 32 bytes.
        let (payer, nonce) =
            (ves::hex::encode(self.payer.as_slice()), ves::hex::encode(self.nonce.as_slice()));
        let data = format!("{AUTHORIZATION_STATE}{:024}{payer}{nonce}", 0);
        let call = json!([{"to": self.bill.token, "data": data}, "latest"]);
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": call})
    }
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
    if answer.status >= 400 {
        let message =
            format!("{} answers with status {}; nothing was paid", printable(&args.url), answer.status);
        return Err(CliError::failure("NOT_SERVED", message));
    }
    context.out.result(&json!({"status": answer.status, "paid": null, "body": body(answer)}), &answer.text());
    Ok(())
}

fn report(context: &Context, bill: &Bill, answer: &Answer, told: &SettleResponse) {
    let place = &told.extensions.get("stateset").cloned().unwrap_or(Value::Null);
    let value = json!({
        "status": answer.status,
        "paid": {
            "amount": bill.amount.to_string(), "token": bill.token, "chain_id": bill.chain_id, "pay_to": bill.pay_to,
            "payer": told.payer, "transaction": told.transaction,
            "intent_id": place["intentId"], "sequence_number": place["sequenceNumber"],
        },
        "body": body(answer),
    });
    let mut text = format!(
        "{}\n\nPaid {} of {}\n  transaction {}",
        answer.text(),
        bill.amount,
        bill.token_name,
        told.transaction
    );
    if let (Some(id), Some(number)) = (place["intentId"].as_str(), place["sequenceNumber"].as_u64()) {
        text += &format!("\n  sequenced as payment {number}, intent {id}");
    }
    context.out.result(&value, &printable_lines(&text));
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| Value::String(answer.text()))
}

fn not_served(answer: &Answer, told: Option<&SettleResponse>) -> CliError {
    match told {
        Some(told) if told.success => {
            let message = format!(
                "it was paid in transaction {}, and answers with status {}",
                told.transaction, answer.status
            );
            CliError::failure("PAID_NOT_SERVED", printable(&message))
        }
        Some(SettleResponse { error_reason: Some(reason), error_message, .. }) => {
            let why = error_message.as_deref().unwrap_or_default();
            CliError::failure("PAYMENT_REFUSED", printable(&format!("{reason}: {why}")))
                .hint("this answer moved nothing; if an earlier try got none, look for its transfer before you pay again")
        }
        _ => {
            let message = format!("it answers with status {}: {:.200}", answer.status, answer.text());
            CliError::failure("PAYMENT_REFUSED", printable(&message))
        }
    }
}

fn of_buyer(error: BuyError) -> CliError {
    let code = match error {
        BuyError::Offer(_) => "OFFER",
        BuyError::NoneFits(_) => "NO_OFFER_FITS",
    };
    CliError::failure(code, error.to_string()).hint("nothing was paid")
}

fn unreachable(url: &str, problem: &str) -> CliError {
    CliError::failure("SERVER_UNREACHABLE", printable(&format!("{url} can't be reached: {problem}")))
}
