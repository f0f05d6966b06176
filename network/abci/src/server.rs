//! The application's Unix socket.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tendermint::v0_38::abci::{
    ConsensusRequest, ConsensusResponse, InfoRequest, InfoResponse, MempoolRequest, MempoolResponse,
    SnapshotRequest, SnapshotResponse,
};
use tokio::runtime::{Builder, Runtime};
use tower::Service;
use tower_abci::BoxError;

/// What the kernel takes as the path of a Unix socket (`sun_path`), without its end.
const PATH_BYTES_MAX: usize = 107;
const BIND_TIME_MAX: Duration = Duration::from_secs(10);
/// A call under way may end its transaction; later ones are cut.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// One reads sockets while another waits for a call.
const THREADS: usize = 2;
/// For calls that execute, write or answer queries. CometBFT asks for one block at a time; a crowd of queries waits.
const CALLS_MAX: usize = 16;

/// The four services of ABCI in one value whose clones share their state.
pub trait AbciService:
    Service<ConsensusRequest, Response = ConsensusResponse, Error = BoxError, Future: Send>
    + Service<MempoolRequest, Response = MempoolResponse, Error = BoxError, Future: Send>
    + Service<InfoRequest, Response = InfoResponse, Error = BoxError, Future: Send>
    + Service<SnapshotRequest, Response = SnapshotResponse, Error = BoxError, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> AbciService for S where
    S: Service<ConsensusRequest, Response = ConsensusResponse, Error = BoxError, Future: Send>
        + Service<MempoolRequest, Response = MempoolResponse, Error = BoxError, Future: Send>
        + Service<InfoRequest, Response = InfoResponse, Error = BoxError, Future: Send>
        + Service<SnapshotRequest, Response = SnapshotResponse, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// A listening application. Dropping it ends its connections, so stop CometBFT first.
pub struct Server {
    runtime: Option<Runtime>,
    socket: PathBuf,
}

impl Server {
    /// Listens on the Unix socket `socket`; when it returns, CometBFT may connect. A socket left by an earlier run is taken
    /// over; the store's lock keeps two applications from sharing a home.
    ///
    /// # Errors
    /// When the path is too long, is another file, or cannot be bound.
    pub fn start<S: AbciService>(service: S, socket: &Path) -> io::Result<Self> {
        if socket.as_os_str().len() > PATH_BYTES_MAX {
            return Err(io::Error::other(format!(
                "{}: a socket's path has at most {PATH_BYTES_MAX} bytes; choose a shorter home",
                socket.display()
            )));
        }
        if let Ok(found) = fs::symlink_metadata(socket) {
            if !found.file_type().is_socket() {
                return Err(io::Error::other(format!("{}: there is a file in its place", socket.display())));
            }
            fs::remove_file(socket)?;
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(CALLS_MAX)
            .enable_all()
            .build()?;
        let server = tower_abci::v038::Server::builder()
            .consensus(service.clone())
            .mempool(service.clone())
            .info(service.clone())
            .snapshot(service)
            .finish()
            .expect("all four are given");
        let path = socket.to_owned();
        let listening = runtime.spawn(async move { server.listen_unix(path).await });
        let begun = Instant::now();
        while !socket.exists() {
            if listening.is_finished() {
                let problem = match runtime.block_on(listening) {
                    Ok(Err(problem)) => problem.to_string(),
                    _ => "the listener ended".to_owned(),
                };
                return Err(io::Error::other(format!("{}: {problem}", socket.display())));
            }
            if begun.elapsed() > BIND_TIME_MAX {
                return Err(io::Error::other(format!("{}: the socket does not appear", socket.display())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { runtime: Some(runtime), socket: socket.to_owned() })
    }

    /// What CometBFT's `proxy_app` has to say.
    pub fn address(&self) -> String {
        address(&self.socket)
    }
}

/// The socket at `path` as CometBFT names it.
pub(crate) fn address(path: &Path) -> String {
    format!("unix://{}", path.display())
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_TIME_MAX);
        }
        // Gone already is as good.
        let _ = fs::remove_file(&self.socket);
    }
}
