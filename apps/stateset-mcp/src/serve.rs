//! `stateset-mcp stdio` and `stateset-mcp http`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stateset_mcp::{Access, Desk, Door, Server, Token};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;
use crate::settings::{Agent, LimitArgs, Options, private_line};

/// What both ways take.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Push and pull so often when nothing else asks for it
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    sync_interval: u64,
    /// Push and pull only when a tool does
    #[arg(long)]
    manual_sync: bool,
}

#[derive(Debug, Args)]
pub struct StdioArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct HttpArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// File with the bearer token, mode 0600 [default: one that is made beside the agent's outbox]
    #[arg(long, value_name = "FILE", conflicts_with = "no_auth")]
    token_file: Option<PathBuf>,
    /// Ask for no token; only on loopback
    #[arg(long)]
    no_auth: bool,
    /// Take this Host besides those of loopback, as NAME or NAME:PORT; may be repeated
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Take requests of browsers from this origin, as https://NAME:PORT; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
}

impl ServeArgs {
    fn desk(&self, options: &Options) -> Result<(Agent, Desk), Problem> {
        let agent = Agent::open(options)?;
        let interval = (!self.manual_sync).then(|| Duration::from_secs(self.sync_interval));
        let desk = crate::desk(&agent, self.limits.limits(), interval)?;
        Ok((agent, desk))
    }
}

pub fn stdio(options: &Options, args: &StdioArgs) -> Result<(), Problem> {
    let (_, desk) = args.serve.desk(options)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let serving = Server::new(Arc::new(desk)).serve_io(tokio::io::stdin(), tokio::io::stdout());
        tokio::select! {
            served = serving => served.map_err(|error| Problem::failure("PROTOCOL", error)),
            stopped = stopped() => stopped,
        }
    });
    // A read of stdin cannot be taken back: it must not hold the program.
    runtime.shutdown_background();
    served
}

pub fn http(options: &Options, args: &HttpArgs) -> Result<(), Problem> {
    let (agent, desk) = args.serve.desk(options)?;
    let (access, told) = access(args, &agent.folder)?;
    runtime()?.block_on(async {
        let door = Door::open(args.listen, access, args.allow_host.clone(), args.allow_origin.clone()).await;
        let door = door.map_err(|error| Problem::input("LISTEN", error))?;
        let address = door.address().map_err(|error| Problem::failure("LISTEN", error))?;
        let url = format!("http://{address}/mcp");
        if options.json {
            println!(
                "{}",
                serde_json::json!({"url": url, "agent_id": agent.author.agent_id, "token_file": told})
            );
        } else {
            println!("Tools of agent {} at {url}", agent.author.agent_id);
            match &told {
                Some(path) => println!("The bearer token lies in {}", path.display()),
                None => println!("No token is asked for: whoever reaches {address} may call"),
            }
        }
        let stop = CancellationToken::new();
        let serving = door.serve(Server::new(Arc::new(desk)), stop.clone());
        tokio::pin!(serving);
        tokio::select! {
            () = serving.as_mut() => {}
            stopped = stopped() => {
                stop.cancel();
                serving.await;
                stopped?;
            }
        }
        Ok(())
    })
}

/// Who may call, and the file of the token.
fn access(args: &HttpArgs, folder: &Path) -> Result<(Access, Option<PathBuf>), Problem> {
    if args.no_auth {
        return Ok((Access::Loopback, None));
    }
    let wrong = |error: &dyn std::fmt::Display| Problem::input("BAD_TOKEN", error);
    let path = args.token_file.clone().unwrap_or_else(|| folder.join("mcp-token"));
    if args.token_file.is_none() && !path.exists() {
        let token = Token::random().map_err(|error| wrong(&error))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&path).and_then(|mut file| writeln!(file, "{}", token.reveal()));
        written.map_err(|error| Problem::failure("IO", format!("{}: {error}", path.display())))?;
        return Ok((Access::Bearer(token), Some(path)));
    }
    let token = Token::read(&private_line(&path)?).map_err(|error| wrong(&error))?;
    Ok((Access::Bearer(token), Some(path)))
}

fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Problem::failure("IO", error))
}

/// Until the system or a person ends the program.
async fn stopped() -> Result<(), Problem> {
    let failed = |error| Problem::failure("IO", error);
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}
