//! `stateset org`: companies on the shared ledger of this machine.

mod attesters;
mod joining;
mod peers;
mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stateset_keystore::{Algorithm, KeyInfo, KeyName, Keystore, KeystoreError};
use stateset_ledger_types::bank::{BankCommand, Mint};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::entity::{Role, Roles};
use stateset_ledger_types::ids::{AccountId, Amount, EntityId, TxId};
use stateset_ledger_types::keys::{PublicKey, Purpose, Scheme};
use statesetd_app::{Admitted, HexBytes, Joined, LocalHome, Newcomer, OrgRecord, node_certificate};
use ves::Digest;

use self::attesters::{AttestersArgs, TrustArgs};
use self::joining::{JoinArgs, RequestArgs};
use self::peers::PeerCommand;
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::ledger::money::{Currency, Money};
use crate::ledger::nodes;
use crate::{files, ledger};

/// Most denominations of an account that are shown.
const BALANCES_MAX: usize = 1_000;

#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Make a company's keys and certificate, and have it admitted to the ledger that `stateset up` runs
    Create(CompanyArgs),
    /// Make a company's keys, and a request to be a member of a ledger that others run
    Request(RequestArgs),
    /// Join a ledger that others run, with the admission that answers the request
    Join(JoinArgs),
    /// Run the nodes of the companies that joined a ledger of others, until a signal ends them
    Start,
    /// Show or change which nodes of a ledger that others run are asked
    Nodes(peers::NodesArgs),
    /// Where the nodes of other companies are, on a ledger that others run
    #[command(subcommand)]
    Peer(PeerCommand),
    /// List the companies that were made here
    List,
    /// Show one company, and what it has in the bank of the ledger
    Show(ShowArgs),
    /// Show the digest of a company's vault: the same before a loss and after the recovery
    Vault(ShowArgs),
    /// Give a company money of this ledger, for trying things: the founder mints it, and it is worth nothing elsewhere
    Deposit(DepositArgs),
    /// Show or set whose attestations the ledger asks for under a policy; its founder decides
    Attesters(AttestersArgs),
    /// Show or set whose attestation a company takes instead of an invoice's history
    Trust(TrustArgs),
}

#[derive(Debug, Args)]
pub struct CompanyArgs {
    /// What to call it here: its keys are ORG.identity, ORG.ledger, ORG.view and ORG.node
    pub org: KeyName,
    /// Its legal name [default: ORG]
    #[arg(long)]
    pub name: Option<String>,
    /// Country of its registration, ISO 3166
    #[arg(long, value_name = "CODE", default_value = "ZZ")]
    pub jurisdiction: String,
    /// Its number in the register there
    #[arg(long, value_name = "NUMBER", default_value = "")]
    pub registration_no: String,
    /// Legal entity identifier, ISO 17442
    #[arg(long)]
    pub lei: Option<String>,
    /// What it may do besides holding states; may be given again
    #[arg(long = "role", value_name = "ROLE", value_enum)]
    pub roles: Vec<RoleName>,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The company's name here
    pub org: KeyName,
}

#[derive(Debug, Args)]
pub struct DepositArgs {
    /// The company's name here
    pub org: KeyName,
    /// How much, as 1000.00
    pub amount: String,
    #[arg(long, default_value = "usd")]
    pub currency: String,
}

/// Roles that a company may ask for (network.md 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    Attester,
    Factor,
    Lender,
    Financer,
    Compliance,
    Arbiter,
}

impl RoleName {
    const fn role(self) -> Role {
        match self {
            Self::Attester => Role::Attester,
            Self::Factor => Role::Factor,
            Self::Lender => Role::Lender,
            Self::Financer => Role::Financer,
            Self::Compliance => Role::Compliance,
            Self::Arbiter => Role::Arbiter,
        }
    }
}

pub fn run(context: &Context, command: &OrgCommand) -> Result<(), CliError> {
    match command {
        OrgCommand::Create(args) => create(context, args),
        OrgCommand::Request(args) => joining::request(context, args),
        OrgCommand::Nodes(args) => peers::nodes(context, args),
        OrgCommand::Join(args) => joining::join(context, args),
        OrgCommand::Start => start::run(context),
        OrgCommand::Peer(command) => peers::run(context, command),
        OrgCommand::List => list(context),
        OrgCommand::Show(args) => show(context, &read(context, &args.org)?),
        OrgCommand::Vault(args) => vault(context, &read(context, &args.org)?),
        OrgCommand::Deposit(args) => deposit(context, args),
        OrgCommand::Attesters(args) => attesters::policy(context, args),
        OrgCommand::Trust(args) => attesters::trust(context, args),
    }
}

fn folder(context: &Context) -> PathBuf {
    context.data.ledger().join("orgs")
}

/// The ledger of this machine, where it has one of its own.
///
/// # Errors
/// NO_LEDGER, and LEDGER_ELSEWHERE where others run it.
pub fn running(context: &Context) -> Result<LocalHome, CliError> {
    let home = ledger::home(&context.data)?;
    if home.exists() {
        return Ok(home);
    }
    if let Some(joined) = Joined::of(&context.data.ledger())? {
        let said = format!("{} is run by others: nothing is decided for it here", joined.chain_id);
        return Err(CliError::input("LEDGER_ELSEWHERE", said)
            .hint("they admit companies, mint money and name attesters; see `stateset org request`"));
    }
    let said = format!("there is no ledger in {}", context.data.path().display());
    Err(CliError::input("NO_LEDGER", said).hint("run `stateset up` there, and leave it running"))
}

/// A key of the company, made where it is missing: an attempt that failed later is gone on with.
fn key(keys: &dyn Keystore, org: &KeyName, use_: &str, algorithm: Algorithm) -> Result<KeyInfo, CliError> {
    let name: KeyName = format!("{org}.{use_}").parse()?;
    let labels = BTreeMap::from([("Org".to_owned(), org.to_string())]);
    match keys.info(&name) {
        Ok(info) if info.algorithm == algorithm && info.labels.get("Org") == labels.get("Org") => Ok(info),
        Ok(_) => Err(CliError::input("KEY_EXISTS", format!("the key {name} is another one"))
            .hint("choose another name for the company")),
        Err(KeystoreError::NotFound { .. }) => Ok(keys.generate(&name, algorithm, &labels)?),
        Err(error) => Err(error.into()),
    }
}

/// No ledger of others is joined from here.
fn not_joined(context: &Context) -> CliError {
    let said = format!("no company of {} has joined a ledger of others", context.data.path().display());
    CliError::input("NOT_JOINED", said).hint("see `stateset org request` and `stateset org join`")
}

impl CompanyArgs {
    fn legal_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.org.to_string())
    }

    fn all_roles(&self) -> Roles {
        let all = [Role::Member].into_iter().chain(self.roles.iter().map(|role| role.role()));
        Roles::of(&all.collect::<Vec<_>>())
    }
}

/// A company's keys: of its certificate, of its transactions, of its capsules, of its node.
struct Keys {
    identity: KeyInfo,
    ledger: KeyInfo,
    view: KeyInfo,
    node: KeyInfo,
}

fn public(scheme: Scheme, info: &KeyInfo) -> Result<PublicKey, CliError> {
    PublicKey::new(scheme, &info.public_key)
        .map_err(|error| CliError::failure("WRONG_ALGORITHM", error.to_string()))
}

impl Keys {
    /// Makes those that are missing.
    fn made(keys: &dyn Keystore, org: &KeyName) -> Result<Self, CliError> {
        Ok(Self {
            identity: key(keys, org, "identity", Algorithm::Ed25519)?,
            ledger: key(keys, org, "ledger", Algorithm::Ed25519)?,
            view: key(keys, org, "view", Algorithm::X25519)?,
            node: key(keys, org, "node", Algorithm::Ed25519)?,
        })
    }

    /// # Errors
    /// NO_SUCH_KEY where they were not made.
    fn known(keys: &dyn Keystore, org: &KeyName) -> Result<Self, CliError> {
        let info = |use_: &str| -> Result<KeyInfo, CliError> {
            keys.info(&format!("{org}.{use_}").parse()?).map_err(|error| {
                CliError::from(error).hint(format!("`stateset org request {org}` makes the keys"))
            })
        };
        Ok(Self {
            identity: info("identity")?,
            ledger: info("ledger")?,
            view: info("view")?,
            node: info("node")?,
        })
    }

    fn identity_key(&self) -> Result<PublicKey, CliError> {
        public(Scheme::Ed25519, &self.identity)
    }
    fn ledger_key(&self) -> Result<PublicKey, CliError> {
        public(Scheme::Ed25519, &self.ledger)
    }
    fn view_key(&self) -> Result<PublicKey, CliError> {
        public(Scheme::X25519, &self.view)
    }
}

fn create(context: &Context, args: &CompanyArgs) -> Result<(), CliError> {
    let record = made(context, args)?;
    context.out.result(&record, &format!("{}Admitted to {}.", text(&record), record.chain_id));
    Ok(())
}

/// Makes a company's keys and certificates, and has it admitted.
pub fn made(context: &Context, args: &CompanyArgs) -> Result<OrgRecord, CliError> {
    let home = running(context)?;
    let file = folder(context).join(format!("{}.json", args.org));
    if file.exists() {
        return Err(CliError::input("ORG_EXISTS", format!("there is a company {} already", args.org)));
    }
    let keystore = context.keystore()?;
    let keys = Keys::made(keystore.as_ref(), &args.org)?;
    let newcomer = Newcomer {
        name: args.legal_name(),
        jurisdiction: args.jurisdiction.clone(),
        registration_no: args.registration_no.clone(),
        lei: args.lei.clone(),
        roles: args.all_roles(),
        identity: keys.identity_key()?,
        keys: vec![(Purpose::LedgerSigning, keys.ledger_key()?), (Purpose::View, keys.view_key()?)],
    };
    let of_node = node_certificate(keystore.as_ref(), &newcomer.name, &keys.identity.name, &keys.node.name)?;
    let Admitted { entity, certificate, root, .. } = home.admit(&newcomer)?;
    let record = OrgRecord {
        org: args.org.to_string(),
        name: entity.name.to_string(),
        entity_id: entity.entity_id,
        chain_id: home.genesis()?.chain_id.to_string(),
        identity_key: keys.identity.name.to_string(),
        ledger_key: keys.ledger.name.to_string(),
        view_key: keys.view.name.to_string(),
        node_key: keys.node.name.to_string(),
        certificate: HexBytes(certificate),
        root: HexBytes(root),
        node_certificate: HexBytes(of_node),
        listen: None,
        resolutions: Default::default(),
    };
    write(context, &record)?;
    Ok(record)
}

/// `orgs/ORG.json`.
fn write(context: &Context, record: &OrgRecord) -> Result<(), CliError> {
    let folder = folder(context);
    let file = folder.join(format!("{}.json", record.org));
    files::make_private_folder(&folder).map_err(|error| CliError::io("make", &folder, &error))?;
    let json = serde_json::to_string_pretty(record).unwrap_or_default() + "\n";
    files::replace(&file, json.as_bytes()).map_err(|error| CliError::io("write", &file, &error))
}

fn text(record: &OrgRecord) -> String {
    let OrgRecord { org, name, entity_id, chain_id, identity_key, ledger_key, view_key, node_key, .. } =
        record;
    let certificate = &record.certificate;
    let hash = ves::hash::Hasher::bare().bytes(&certificate.0).finish();
    format!(
        "{org}  {}\n  entity       {entity_id}\n  ledger       {chain_id}\n  keys         {identity_key}, {ledger_key}, \
         {view_key}, {node_key}\n  certificate  {}\n",
        printable(name),
        hash
    )
}

/// The record, and what its account holds, by the node's word, where the ledger runs.
fn show(context: &Context, record: &OrgRecord) -> Result<(), CliError> {
    let held = balances(context, &record.entity_id.account()).ok();
    let mut lines = text(record);
    for money in held.iter().flatten() {
        lines += &format!("  has          {money}\n");
    }
    let views = held.map(|held| held.iter().map(Money::view).collect::<Vec<_>>());
    let mut shown = json!(record);
    shown["balances"] = json!(views);
    context.out.result(&shown, &lines);
    Ok(())
}

/// What an account holds, by the node's word.
///
/// # Errors
/// A node that does not answer.
pub fn balances(context: &Context, account: &AccountId) -> Result<Vec<Money>, CliError> {
    let (rpc, api) = (ledger::rpc(&context.data)?, nodes::of(&context.data)?);
    let path = format!("/ssn/bank/{account}");
    let held: Option<List<Amount, BALANCES_MAX>> = statesetd_app::read(&rpc, &path)?;
    let held = held.unwrap_or_default();
    let money = |held: &Amount| Ok(Currency::of(&api, held.denom.as_str())?.of_units(held.units));
    held.iter().map(money).collect()
}

/// As the company's node tells it.
#[derive(Debug, Serialize, Deserialize)]
struct VaultView {
    org: String,
    entity_id: EntityId,
    digest: Digest,
    /// Whether the node has taken in what the ledger held at its start.
    ready: bool,
}

fn vault(context: &Context, record: &OrgRecord) -> Result<(), CliError> {
    let path = format!("/orgs/{}/vault", record.org);
    let view: VaultView = nodes::of(&context.data)?.get(&path, &[])?;
    let ready = if view.ready { "" } else { "\n  not abreast of the ledger yet: ask again" };
    context.out.result(&view, &format!("{}\n  vault  {}{ready}", view.org, view.digest));
    Ok(())
}

fn deposit(context: &Context, args: &DepositArgs) -> Result<(), CliError> {
    let (money, tx_id) = deposited(context, args)?;
    context.out.result(
        &json!({"org": args.org.to_string(), "deposited": money.view(), "tx_id": tx_id}),
        &format!("{} has {money} more.", args.org),
    );
    Ok(())
}

/// Mints as the founder.
pub fn deposited(context: &Context, args: &DepositArgs) -> Result<(Money, TxId), CliError> {
    let (home, record) = (running(context)?, read(context, &args.org)?);
    let currency = Currency::of(&nodes::of(&context.data)?, &args.currency)?;
    let money = currency.read_positive("AMOUNT", &args.amount)?;
    let founder = home.founder()?;
    let (issuer, to, amount) = (founder.entity, record.entity_id.account(), money.amount.clone());
    let (tx_id, _) = founder.bank(&[BankCommand::Mint(Mint { issuer, to, amount })])?;
    Ok((money, tx_id))
}

/// Whether a company of that name is of this machine.
pub fn exists(context: &Context, org: &KeyName) -> bool {
    folder(context).join(format!("{org}.json")).exists()
}

pub fn read(context: &Context, org: &KeyName) -> Result<OrgRecord, CliError> {
    let file = folder(context).join(format!("{org}.json"));
    if !file.exists() {
        return Err(CliError::input("NO_SUCH_ORG", format!("there is no company {org} here"))
            .hint("see `stateset org list`"));
    }
    let bad = |error: serde_json::Error| {
        CliError::failure("BAD_ORG", format!("{} cannot be read: {error}", file.display()))
    };
    serde_json::from_str(&files::read_text(&file)?).map_err(bad)
}

/// Companies that were made here, by name.
pub fn records(context: &Context) -> Result<Vec<OrgRecord>, CliError> {
    let folder = folder(context);
    let mut names = Vec::new();
    if folder.is_dir() {
        let io = |error: std::io::Error| CliError::io("read", &folder, &error);
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let org = name.to_str().and_then(|name| name.strip_suffix(".json"));
            names.extend(org.and_then(|org| org.parse::<KeyName>().ok()));
        }
    }
    names.sort_by_key(ToString::to_string);
    names.iter().map(|name| read(context, name)).collect()
}

fn list(context: &Context) -> Result<(), CliError> {
    let records = records(context)?;
    let lines: String = records
        .iter()
        .map(|record| format!("{:<16} {}  {}\n", record.org, record.entity_id, printable(&record.name)))
        .collect();
    context.out.result(&records, &lines);
    Ok(())
}
