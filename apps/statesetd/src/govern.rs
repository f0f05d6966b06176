//! `statesetd org admit`, `propose`, `vote` and `mint`: what a member of a chain decides, and does for others.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stateset_abci::comet::Rpc;
use stateset_ledger_types::bank::{BankCommand, Mint};
use stateset_ledger_types::ids::{Amount, Denom, Units};
use stateset_node_client::files::Address;

use crate::args::{AdmitArgs, HomeProposeArgs, MintArgs, OrgCommand, ProposalsArgs, VoteArgs};
use crate::home::Home;
use crate::local::LocalHome;
use crate::output::{Failure, Output};
use crate::participant::HexBytes;
use crate::proposals::{Ids, proposal_lines, proposal_view};
use crate::request::{OrgAdmission, OrgRequest};

pub fn org(command: &OrgCommand, output: Output) -> Result<(), Failure> {
    match command {
        OrgCommand::Admit(args) => admit(args, output),
    }
}

/// Where the capsule store of `home` is for others: as said, else as it is configured.
fn notary(home: &Home, said: Option<&str>) -> Result<Vec<Address>, Failure> {
    let (genesis, settings) = (crate::trust::genesis_of(&home.file("genesis.json"))?, home.settings()?);
    let Some(seat) = home.seat(&genesis)? else { return Ok(Vec::new()) };
    let configured = settings.capsules.filter(|at| at.port() != 0 && !at.ip().is_unspecified());
    let Some(address) = said.map(str::to_owned).or_else(|| configured.map(|at| at.to_string())) else {
        return Ok(Vec::new());
    };
    let record = genesis.entities.iter().find(|entity| entity.entity_id == seat.entity);
    let name = record.map(|entity| entity.name.to_string()).unwrap_or_default();
    Ok(vec![Address { name, entity_id: seat.entity, address }])
}

/// `statesetd org admit`: the certificate is written before anybody has voted, since others may take their time.
fn admit(args: &AdmitArgs, output: Output) -> Result<(), Failure> {
    let (home, ledger) = (Home::at(&args.home)?, LocalHome::at(&args.home)?);
    home.settings()?;
    let newcomer = OrgRequest::read(&args.request)?;
    let root = match &args.root {
        Some(file) => seed_in(file)?,
        None => root_of(&home)?,
    };
    let certified = ledger.certified(&newcomer, &root)?;
    let member = certified.record.entity_id;
    if let Some(open) = ledger.open_admission(&member)? {
        let (id, status) = (open.id, format!("{:?}", open.status));
        let said = format!(
            "proposal {id} to admit {} is open already ({status}, until height {}): the other members say `statesetd vote {id}`",
            newcomer.name, open.deadline_height
        );
        return Err(Failure::input("PROPOSAL_OPEN", said));
    }
    let proposal = ledger.propose(certified.admission()?)?;
    let (genesis, entity_id) = (ledger.genesis()?, certified.record.entity_id);
    let admission = OrgAdmission {
        chain_id: genesis.chain_id.to_string(),
        genesis_hash: genesis.hash(),
        name: newcomer.name.clone(),
        entity_id,
        certificate: HexBytes(certified.certificate),
        root: HexBytes(certified.root),
        proposal,
        notaries: notary(&home, args.capsules_at.as_deref())?,
    };
    let text = serde_json::to_string_pretty(&admission).map_err(|error| Failure::failed("IO", error))? + "\n";
    std::fs::write(&args.output, text).map_err(|error| Failure::io("write", &args.output, &error))?;
    ledger.decide(proposal, Duration::from_secs(args.wait)).map_err(|failure| {
        let file = args.output.display();
        let cure = format!(
            "{file} is written and counts once the proposal is executed; the other members say \
                            `statesetd vote {proposal}`"
        );
        Failure { message: format!("{}; {cure}", failure.message), ..failure }
    })?;
    let file = args.output.display();
    output.result(
        &json!({"entity_id": entity_id, "proposal": proposal, "file": args.output, "name": admission.name,
            "notaries": admission.notaries}),
        &format!(
            "{} is a member, as {entity_id}\n  give it {file} and {}",
            newcomer.name,
            home.file("genesis.json").display()
        ),
    );
    Ok(())
}

/// The seed beside the member's home, or beside the homes of a network of this machine.
fn root_of(home: &Home) -> Result<ves::SigningKey, Failure> {
    let name = crate::certificates::ROOT_SEED;
    let own = home.file(name);
    let beside = home.folder().parent().map(|folder| folder.join(name));
    let found = [Some(own.clone()), beside].into_iter().flatten().find(|file| file.exists());
    let missing = || {
        let said = format!("{} is not there: name the file of the root's key with --root", own.display());
        Failure::input("NO_ROOT", said)
    };
    seed_in(&found.ok_or_else(missing)?)
}

fn seed_in(file: &Path) -> Result<ves::SigningKey, Failure> {
    if !file.exists() {
        return Err(Failure::input("NO_ROOT", format!("{}: there is no such file", file.display())));
    }
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Home::at(folder)?.seed(name)
}

/// `statesetd propose`.
pub fn propose(args: &HomeProposeArgs, output: Output) -> Result<(), Failure> {
    // An option that may stand behind the kind can't be required by the reader of arguments.
    let home = args.home.as_ref().ok_or_else(|| {
        Failure::input("NO_HOME", "name the member's home with --home DIR, or by STATESETD_HOME")
    })?;
    let member = LocalHome::at(home)?.founder()?;
    let proposal = args.what.propose(&member, &Ids)?;
    output.result(&proposal_view(&member.rpc, &proposal)?, &proposal_lines(&proposal));
    Ok(())
}

/// `statesetd proposals`.
pub fn proposals(args: &ProposalsArgs, output: Output) -> Result<(), Failure> {
    let rpc = Rpc::new(&args.node.node);
    if let Some(id) = args.proposal {
        let proposal = crate::proposals::proposal(&rpc, id)?;
        output.result(&proposal_view(&rpc, &proposal)?, &proposal_lines(&proposal));
        return Ok(());
    }
    let mut all = crate::lists::proposals(&rpc)?;
    all.retain(|proposal| !args.open || proposal.status.is_open());
    output.result(&json!(all), &all.iter().map(proposal_lines).collect::<String>());
    Ok(())
}

/// `statesetd vote`.
pub fn vote(args: &VoteArgs, output: Output) -> Result<(), Failure> {
    let member = LocalHome::at(&args.home)?.founder()?;
    let voted = crate::proposals::vote(&member, args.proposal, args.choice)?;
    output.result(&voted.view(), &voted.line());
    Ok(())
}

/// `statesetd mint`.
pub fn mint(args: &MintArgs, output: Output) -> Result<(), Failure> {
    let issuer = LocalHome::at(&args.home)?.founder()?;
    let denom =
        Denom::new(&args.denom).map_err(|problem| Failure::input("DENOM", format!("--denom: {problem}")))?;
    let amount = Amount { denom, units: Units(args.units) };
    let mint = Mint { issuer: issuer.entity, to: args.to.account(), amount };
    let (tx_id, committed) = issuer.bank(&[BankCommand::Mint(mint)])?;
    output.result(
        &json!({"tx_id": tx_id, "height": committed.height, "to": args.to, "units": args.units.to_string(),
            "denom": args.denom}),
        &format!("{} has {} minor units of {} more", args.to, args.units, args.denom),
    );
    Ok(())
}
