//! `stateset demo`: the whole story in one process, on a store that is thrown away, every sentence checked.

mod chapters;
mod story;

use stateset_client::{Client, Identity};
use stateset_sequencer::{Clock as _, CommitPolicy, SystemClock};
use stateset_sequencer_app::telemetry::Telemetry;
use statesetd_app::UpgradeArgs;

use crate::context::{Context, identity};
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::installation::Installation;
use crate::ledger::Ledger;
use crate::server::{Commits, Listeners, OnChain, Server, Setup, Store};
use story::Story;

pub fn run(context: &Context) -> Result<(), CliError> {
    let folder = tempfile::tempdir()
        .map_err(|error| CliError::failure("IO", format!("no temporary folder: {error}")))?;
    let data = DataDir::new(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
    let mut story = Story::new(context.out);

    let mut world = start(&runtime, &data)?;
    let told = chapters::live(&mut story, &world, &data);
    let told = told.and_then(|()| on_ledger(&mut story, context, &runtime, &data));
    runtime.block_on(world.server.stop())?;
    told?;

    story.chapter("Stop the service, start it again on the same folder");
    world = start(&runtime, &data)?;
    let told = chapters::after_restart(&mut story, &world);
    runtime.block_on(world.server.stop())?;
    told?;
    chapters::audit_store(&mut story, &world.installation.profile.stream(), &world.identity, &data)?;
    story.end()
}

/// The chapters on the shared ledger, which is ended before the last of them.
fn on_ledger(
    story: &mut Story,
    context: &Context,
    runtime: &tokio::runtime::Runtime,
    data: &DataDir,
) -> Result<(), CliError> {
    let context = chapters::within(context, data);
    let listen = ([127, 0, 0, 1], 0).into();
    let ledger = runtime.block_on(Ledger::start(&context, listen, false, UpgradeArgs::default()))?;
    let told = chapters::companies(story, context, data, &ledger);
    runtime.block_on(ledger.stop())?;
    chapters::outsider(story, &told?);
    Ok(())
}

/// The running service and what its users know of it.
struct World {
    server: Server,
    client: Client,
    installation: Installation,
    identity: Identity,
    /// Keys of the two agents, apart from the service's own.
    agents: std::path::PathBuf,
    runtime: tokio::runtime::Handle,
}

fn start(runtime: &tokio::runtime::Runtime, data: &DataDir) -> Result<World, CliError> {
    let (server, installation) = runtime.block_on(async {
        let listeners = Listeners::bind(([127, 0, 0, 1], 0).into(), None).await?;
        data.create()?;
        let url = format!("http://{}", listeners.rest_address);
        let installation = Installation::open(data, None, &url, SystemClock.now())?;
        // Commitments are made by the story, not by the clock.
        let commits = Commits { policy: CommitPolicy::default(), automatic: false };
        let server = Server::start(
            listeners,
            &Store::file(&data.store_file()),
            &installation,
            commits,
            Setup::from_environment()?,
            &Telemetry::default(),
            OnChain::default(),
        )
        .await?;
        Ok::<_, CliError>((server, installation))
    })?;
    let identity = identity(&installation.profile)?;
    let client =
        Client::pinned(&installation.profile.url, Some(installation.api_key.clone()), identity.clone())?;
    let (agents, runtime) = (data.path().join("agents"), runtime.handle().clone());
    Ok(World { server, client, installation, identity, agents, runtime })
}
