//! The shop of the paid demo: what agents buy by A2A, UCP and AP2, for test dollars on the local chain.
//!
//! ```text
//! demo-shop/            0700
//!   catalogue.json      what is sold: change it, and start again
//!   merchant.key        signs checkouts, receipts and the card (P-256, PKCS#8 in base64)
//!   agent.key           signs the shop's events
//!   platform.key        of a platform that the shop trusts, for `stateset commerce buy`
//!   shop.json           where the shop is
//! ```

mod journal;
mod platforms;
mod till;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stateset_commerce::business::Business;
use stateset_commerce::jose::SigningKey;
use stateset_commerce::ports::Clock;
use stateset_commerce::versions::{UCP_VERSION, capabilities};
use stateset_commerce::{Catalogue, Desk, Merchant, Parts, router};
use stateset_sequencer::SystemClock;
use stateset_sequencer_app::joined::payments::Present;
use stateset_x402::{Facilitator, Offer};
use ves::{AgentId, StreamKey, TimestampMs};

use self::journal::SequencedJournal;
use self::platforms::LocalPlatforms;
use self::till::X402Till;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::files;
use crate::installation::random;

/// The platform whose key lies in the folder. Its profile is known to the shop and fetched from nowhere.
pub const PLATFORM: &str = "https://demo-platform.invalid/profile";
const MERCHANT: &str = "stateset-demo-shop";
const CATALOGUE: &str = r#"{
  "currency": "USD",
  "items": [
    {"id": "mug", "title": "A mug", "price": 12},
    {"id": "tea", "title": "A tin of tea", "price": 5},
    {"id": "spoon", "title": "A spoon", "price": 1}
  ]
}
"#;

/// Where the shop is, for other commands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopRecord {
    pub url: String,
    /// The profile's URL of the platform whose key is here.
    pub platform: String,
}

/// The folder of the shop.
pub struct Folder(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentFile {
    agent_id: AgentId,
    seed: ves_wire::Hex<32>,
}

impl Folder {
    pub fn of(data: &DataDir) -> Self {
        Self(data.path().join("demo-shop"))
    }

    /// `None` where no shop was ever opened.
    pub fn record(&self) -> Result<Option<ShopRecord>, CliError> {
        let file = self.0.join("shop.json");
        if !file.exists() {
            return Ok(None);
        }
        let text = files::read_text(&file)?;
        let bad = |error| CliError::failure("BAD_FILE", format!("{}: {error}", file.display()));
        serde_json::from_str(&text).map(Some).map_err(bad)
    }

    pub fn platform_key_file(&self) -> PathBuf {
        self.0.join("platform.key")
    }

    /// A signing key; made where it is missing.
    fn key(&self, name: &str) -> Result<SigningKey, CliError> {
        let file = self.0.join(name);
        if file.exists() {
            return read_key(&file);
        }
        let (key, document) = SigningKey::generate().map_err(failed)?;
        let text = format!("{}\n", Base64::encode_string(&document));
        files::replace(&file, text.as_bytes()).map_err(|error| CliError::io("write", &file, &error))?;
        Ok(key)
    }

    fn agent(&self) -> Result<AgentFile, CliError> {
        let file = self.0.join("agent.key");
        if file.exists() {
            let text = files::read_text(&file)?;
            return serde_json::from_str(&text)
                .map_err(|error| CliError::failure("BAD_KEY_FILE", format!("{}: {error}", file.display())));
        }
        let made = AgentFile { agent_id: AgentId::random(random()?), seed: ves_wire::Hex(random()?) };
        let text = serde_json::to_string(&made).map_err(failed)?;
        files::replace(&file, text.as_bytes()).map_err(|error| CliError::io("write", &file, &error))?;
        Ok(made)
    }

    fn catalogue(&self) -> Result<Catalogue, CliError> {
        let file = self.0.join("catalogue.json");
        if !file.exists() {
            files::replace(&file, CATALOGUE.as_bytes())
                .map_err(|error| CliError::io("write", &file, &error))?;
        }
        Catalogue::parse(&files::read_text(&file)?)
            .map_err(|error| CliError::input("BAD_CATALOGUE", format!("{}: {error}", file.display())))
    }
}

/// A key of [`Folder`], or one like it.
pub fn read_key(file: &std::path::Path) -> Result<SigningKey, CliError> {
    let bad =
        || CliError::input("BAD_KEY_FILE", format!("{}: no P-256 key (PKCS#8 in base64)", file.display()));
    let text = files::read_text(file)?;
    let document = Base64::decode_vec(text.trim()).map_err(|_| bad())?;
    SigningKey::from_pkcs8(&document).map_err(|_| bad())
}

fn failed(problem: impl std::fmt::Display) -> CliError {
    CliError::failure("DEMO_SHOP", format!("the demo shop does not open: {problem}"))
}

struct Now;

impl Clock for Now {
    fn now(&self) -> TimestampMs {
        stateset_sequencer::Clock::now(&SystemClock)
    }
}

/// What the shop is joined to.
pub struct Joins {
    pub facilitator: Arc<Facilitator>,
    /// How it is paid; its amount is set by each checkout.
    pub offer: Offer,
    pub present: Present,
    pub stream: StreamKey,
}

/// The routes of the shop at `url`.
///
/// # Errors
/// What is missing.
pub fn open(data: &DataDir, url: &str, joins: Joins) -> Result<Router, CliError> {
    let folder = Folder::of(data);
    files::make_private_folder(&folder.0).map_err(|error| CliError::io("make", &folder.0, &error))?;
    let platform = folder.key("platform.key")?;
    let profile = json!({
        "ucp": {
            "version": UCP_VERSION, "services": {}, "payment_handlers": {}, "capabilities": capabilities(true),
        },
        "keys": [platform.public().to_jwk()],
    });
    let AgentFile { agent_id, seed } = folder.agent()?;
    let merchant =
        Merchant { id: MERCHANT.to_owned(), name: "Stateset demo shop".to_owned(), website: url.to_owned() };
    let parts = Parts {
        business: Business {
            merchant,
            description: "Sells small things for test dollars on a local chain".to_owned(),
            key: folder.key("merchant.key")?,
        },
        catalogue: folder.catalogue()?,
        journal: Arc::new(SequencedJournal::new(joins.present, joins.stream, agent_id, seed.0)),
        till: Arc::new(X402Till { facilitator: joins.facilitator, offer: joins.offer }),
        platforms: Arc::new(LocalPlatforms { known: profile.to_string().into_bytes() }),
        clock: Arc::new(Now),
    };
    let record = ShopRecord { url: url.to_owned(), platform: PLATFORM.to_owned() };
    let (file, text) = (folder.0.join("shop.json"), serde_json::to_string(&record).map_err(failed)?);
    files::replace(&file, text.as_bytes()).map_err(|error| CliError::io("write", &file, &error))?;
    router(Arc::new(Desk::new(parts))).map_err(failed)
}
