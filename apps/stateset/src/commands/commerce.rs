//! `stateset commerce`: what a shopping agent does, one step a command, or all of them.

mod buy;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use stateset_commerce::business::{CARD_PATH, PROFILE_PATH};
use stateset_commerce::jose::{Jws, PublicKey, encode};

use crate::context::Context;
use crate::error::{CliError, printable};
use crate::shop::Folder;

const TIMEOUT: Duration = Duration::from_secs(90);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub enum CommerceCommand {
    /// Read the business's A2A card, and check its signature
    Card(At),
    /// Read the business's UCP profile
    Profile(At),
    /// Open a checkout, sign AP2 mandates for it, and pay for it by x402
    Buy(buy::BuyArgs),
}

#[derive(Debug, Args)]
pub struct At {
    /// Where the business is [default: the demo shop of `up --paid-demo`]
    #[arg(long, value_name = "URL")]
    pub shop: Option<String>,
}

pub fn run(context: &Context, command: &CommerceCommand) -> Result<(), CliError> {
    match command {
        CommerceCommand::Card(at) => {
            let shop = Shop::at(context, at)?;
            let (card, kid) = shop.card()?;
            let text = format!("{}\nSigned by {kid}, a key of {}{PROFILE_PATH}.", pretty(&card), shop.url);
            context.out.result(&card, &text);
        }
        CommerceCommand::Profile(at) => {
            let profile = Shop::at(context, at)?.profile()?;
            context.out.result(&profile, &pretty(&profile));
        }
        CommerceCommand::Buy(args) => buy::run(context, args)?,
    }
    Ok(())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// A business, from outside.
struct Shop {
    agent: ureq::Agent,
    url: String,
}

impl Shop {
    fn at(context: &Context, at: &At) -> Result<Self, CliError> {
        let url = match &at.shop {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => Folder::of(&context.data).record()?.map(|record| record.url).ok_or_else(|| {
                CliError::input("USAGE", "no demo shop was opened on this data directory")
                    .hint("start one with `stateset up --paid-demo`, or name a business with --shop URL")
            })?,
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .build();
        Ok(Self { agent: config.new_agent(), url })
    }

    fn get(&self, path: &str) -> Result<Value, CliError> {
        let url = format!("{}{path}", self.url);
        let (status, value) = self.read(&url, self.agent.get(&url).call())?;
        match status {
            200 => Ok(value),
            status => Err(CliError::failure("REFUSED", format!("{url} answers HTTP {status}: {value}"))),
        }
    }

    fn read(
        &self,
        url: &str,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Value), CliError> {
        let unreachable = |error: ureq::Error| {
            CliError::failure("SHOP_UNREACHABLE", format!("{url}: {error}"))
                .hint("is it still up? The demo shop runs with `stateset up --paid-demo`")
        };
        let mut response = answered.map_err(unreachable)?;
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(unreachable)?;
        let value = serde_json::from_str(&text).map_err(|error| {
            CliError::failure("UNREADABLE_ANSWER", format!("{url}: {}", printable(&error.to_string())))
        })?;
        Ok((response.status().as_u16(), value))
    }

    fn profile(&self) -> Result<Value, CliError> {
        self.get(PROFILE_PATH)
    }

    /// Keys that the business signs with.
    fn keys(&self) -> Result<Vec<PublicKey>, CliError> {
        let profile = self.profile()?;
        let keys = profile["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(keys.iter().filter_map(|key| PublicKey::from_jwk(key).ok()).collect())
    }

    /// The card, and which key signed it.
    fn card(&self) -> Result<(Value, String), CliError> {
        let card = self.get(CARD_PATH)?;
        let forged = |problem: &str| CliError::failure("BAD_SIGNATURE", format!("the agent card: {problem}"));
        let mut unsigned = card.clone();
        let signatures = unsigned.as_object_mut().and_then(|card| card.remove("signatures"));
        let signatures = signatures.ok_or_else(|| forged("it is not signed"))?;
        let payload = ves::json::to_canonical(&unsigned).map_err(|error| forged(&error.to_string()))?;
        let text = |name: &str| signatures[0][name].as_str().unwrap_or_default();
        let compact = format!("{}.{}.{}", text("protected"), encode(payload.as_bytes()), text("signature"));
        let kid = verified(&compact, &self.keys()?).map_err(|problem| forged(&problem))?;
        Ok((card, kid))
    }
}

/// Which of the keys signed a compact JWS.
fn verified(compact: &str, keys: &[PublicKey]) -> Result<String, String> {
    let jws = Jws::parse(compact).map_err(|error| error.to_string())?;
    let kid = jws.header("kid").unwrap_or_default();
    let key = keys.iter().find(|key| key.kid.as_deref() == Some(kid));
    let key = key.ok_or_else(|| format!("its key {kid:?} is not in the profile"))?;
    jws.verify(key).map_err(|error| error.to_string())?;
    Ok(kid.to_owned())
}
