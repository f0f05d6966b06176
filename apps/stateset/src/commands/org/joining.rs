//! A company of this machine becomes a member of a ledger that others run: it asks, and comes with what they answered.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stateset_keystore::KeyName;
use stateset_ledger_types::keys::PublicKey;
use stateset_ledger_types::x509::{Root, check_entity, common_name};
use stateset_node_client::files::PeersFile;
use statesetd_app::{
    Asks, HexBytes, Joined, OrgAdmission, OrgRecord, OrgRequest, genesis_of, node_certificate, now,
};

use super::{CompanyArgs, Keys, folder, text, write};
use crate::context::Context;
use crate::error::CliError;
use crate::{files, ledger};

#[derive(Debug, Args)]
pub struct RequestArgs {
    #[command(flatten)]
    pub company: CompanyArgs,
    /// Where the request goes, for whoever admits members
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// What the company is called here, as with `request`
    pub org: KeyName,
    /// What whoever admitted it wrote, with `statesetd org admit`
    #[arg(long, value_name = "FILE")]
    pub admission: PathBuf,
    /// Genesis of the ledger, from somebody who is believed: everything that is verified goes back to it
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// A trusted block, where the genesis is older than two weeks, as `stateset ledger trust` writes it
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// RPC of a node of the ledger; nothing is taken on its word. Given again: another, for where that one can't be reached
    #[arg(long, value_name = "URL", required = true)]
    pub ledger: Vec<String>,
    /// Where the company's node listens for those of other companies
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:26654")]
    pub listen: SocketAddr,
}

/// `stateset org request`: asked again, it is the same request, since keys that are there stay.
pub fn request(context: &Context, args: &RequestArgs) -> Result<(), CliError> {
    context.data.create()?;
    let company = &args.company;
    if folder(context).join(format!("{}.json", company.org)).exists() {
        let said = format!("there is a company {} already", company.org);
        return Err(CliError::input("ORG_EXISTS", said));
    }
    let keystore = context.keystore_for_new()?;
    let keys = Keys::made(keystore.as_ref(), &company.org)?;
    let asks = Asks {
        name: company.legal_name(),
        jurisdiction: company.jurisdiction.clone(),
        registration_no: company.registration_no.clone(),
        lei: company.lei.clone(),
        roles: company.all_roles(),
        identity: keys.identity_key()?,
        ledger: keys.ledger_key()?,
        view: keys.view_key()?,
    };
    let signer = keystore.signer(&keys.identity.name)?;
    let request = OrgRequest::sign(asks, &*signer)?;
    let json = serde_json::to_string_pretty(&request).unwrap_or_default() + "\n";
    files::replace(&args.output, json.as_bytes())
        .map_err(|error| CliError::io("write", &args.output, &error))?;
    let (name, identity) = (&request.asks.name, ves::hex::encode(&keys.identity.public_key));
    let said = format!(
        "{name} asks to be a member: give {} to whoever admits members, who compares this key with you\n  {identity}",
        args.output.display()
    );
    context.out.result(&json!({"file": args.output, "name": name, "identity_key": identity}), &said);
    Ok(())
}

/// `stateset org join`.
pub fn join(context: &Context, args: &JoinArgs) -> Result<(), CliError> {
    let admission: OrgAdmission = serde_json::from_str(&files::read_text(&args.admission)?)
        .map_err(|error| CliError::input("BAD_FILE", format!("{}: {error}", args.admission.display())))?;
    let file = folder(context).join(format!("{}.json", args.org));
    if file.exists() {
        return Err(CliError::input("ORG_EXISTS", format!("there is a company {} already", args.org)));
    }
    let record = record(context, args, &admission)?;
    joined(context, args, &admission)?;
    write(context, &record)?;
    let said = format!(
        "{}  listens      {}\nIt joins {} at {}; run its node with `stateset org start`.",
        text(&record),
        args.listen,
        record.chain_id,
        args.ledger.join(", ")
    );
    context.out.result(&record, &said);
    Ok(())
}

/// The company by its certificate, which has to be of its own key.
fn record(context: &Context, args: &JoinArgs, admission: &OrgAdmission) -> Result<OrgRecord, CliError> {
    let bad = |problem: String| {
        CliError::input("BAD_ADMISSION", format!("{}: {problem}", args.admission.display()))
    };
    let root = Root::parse(&admission.root.0).map_err(|problem| bad(format!("root: {problem}")))?;
    let certified = check_entity(&[&admission.certificate.0], &[root], now())
        .map_err(|problem| bad(format!("certificate: {problem}")))?;
    let keystore = context.keystore()?;
    let keys = Keys::known(keystore.as_ref(), &args.org)?;
    let own: PublicKey = keys.identity_key()?;
    if certified.certificate().key() != &own {
        return Err(bad(format!("its certificate is of another key than {}", keys.identity.name)));
    }
    let (name, subject) = (&admission.name, certified.certificate().subject());
    if common_name(name) != subject || certified.entity_id() != admission.entity_id {
        return Err(bad(format!("its certificate is of {subject}, not of {name}")));
    }
    let of_node = node_certificate(keystore.as_ref(), name, &keys.identity.name, &keys.node.name)?;
    Ok(OrgRecord {
        org: args.org.to_string(),
        name: name.clone(),
        entity_id: admission.entity_id,
        chain_id: admission.chain_id.clone(),
        identity_key: keys.identity.name.to_string(),
        ledger_key: keys.ledger.name.to_string(),
        view_key: keys.view.name.to_string(),
        node_key: keys.node.name.to_string(),
        certificate: admission.certificate.clone(),
        root: admission.root.clone(),
        node_certificate: HexBytes(of_node),
        listen: Some(args.listen),
        resolutions: Default::default(),
    })
}

/// The ledger's files in the data directory: genesis, a trusted block, where a node is, the notaries' addresses.
fn joined(context: &Context, args: &JoinArgs, admission: &OrgAdmission) -> Result<(), CliError> {
    let here = Joined::at(&admission.chain_id, &args.ledger)?;
    let (genesis, place) = (genesis_of(&args.genesis)?, context.data.ledger());
    if genesis.hash() != admission.genesis_hash {
        let said = format!(
            "{} has hash {}, and {} is about the ledger of genesis {}",
            args.genesis.display(),
            genesis.hash(),
            args.admission.display(),
            admission.genesis_hash
        );
        return Err(CliError::input("OTHER_LEDGER", said));
    }
    if ledger::home(&context.data)?.exists() {
        let said =
            format!("{} has a ledger of its own, which `stateset up` made", context.data.path().display());
        return Err(
            CliError::input("LEDGER_EXISTS", said).hint("give the company another directory with --data")
        );
    }
    if Joined::of(&place)?.is_some() && Joined::genesis(&place)?.hash() != genesis.hash() {
        let said = format!("companies of {} have joined another ledger", context.data.path().display());
        return Err(
            CliError::input("OTHER_LEDGER", said).hint("give the company another directory with --data")
        );
    }
    context.data.create()?;
    files::make_private_folder(&place).map_err(|error| CliError::io("make", &place, &error))?;
    let put = |file: PathBuf, text: String| {
        files::replace(&file, text.as_bytes()).map_err(|error| CliError::io("write", &file, &error))
    };
    put(Joined::genesis_file(&place), files::read_text(&args.genesis)?)?;
    if let Some(trust) = &args.trust {
        put(Joined::trusted_file(&place), files::read_text(trust)?)?;
        // Refused here, and not at the start.
        Joined::trusted(&place)?;
    }
    let mut peers = PeersFile::read(&place)?;
    admission.notaries.iter().for_each(|notary| peers.set(notary.clone()));
    put(PeersFile::file(&place), serde_json::to_string_pretty(&peers).unwrap_or_default() + "\n")?;
    put(Joined::file(&place), here.to_json())
}
