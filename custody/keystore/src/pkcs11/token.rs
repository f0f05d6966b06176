//! One token: its module, the log-in, and a pool of sessions.
//!
//! What happens when it can't be used:
//! - a session that ended is normal (tokens time out): the token is connected to anew at once, and the act is tried again
//!   one time;
//! - a token that can't be connected to is asked again only after a pause, which doubles from 100 ms to 30 s; until then
//!   every act fails at once with the last problem;
//! - some modules see a token that was put back only after they were started anew: a module that this token alone uses is ended
//!   after a connection that failed, and started at the next;
//! - a PIN that was refused is not shown to the token again by this process, since tokens lock after a few.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use crate::{KeystoreError, Passphrase, TokenProblem};

/// Sessions that work at once; further acts wait for one.
const SESSIONS_MAX: usize = 16;
/// Longest wait for a session.
const SESSION_WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause after the first failed connection, and the longest one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A token by its label, connected to when it is needed.
pub(crate) struct Token {
    module: PathBuf,
    label: String,
    /// `None` looks at public objects only.
    pin: Option<Passphrase>,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Counts connections: what belongs to an earlier one is thrown away.
    generation: u64,
    lent: usize,
    failing: Option<Failing>,
    /// Held while this token uses its module.
    uses: Option<Arc<()>>,
}

struct Connection {
    module: Pkcs11,
    slot: Slot,
    /// Stays open as long as the connection: the log-in ends with the last session.
    _keeper: Session,
    idle: Vec<Session>,
}

struct Failing {
    problem: TokenProblem,
    not_before: Instant,
    pause: Duration,
}

/// A session and the connection it is of.
struct Lent {
    session: Session,
    generation: u64,
}

/// Why an act on a session failed.
pub(crate) enum ActError {
    /// What the module answered.
    Module(Error),
    /// What we found.
    Ours(KeystoreError),
}

impl From<Error> for ActError {
    fn from(error: Error) -> Self {
        Self::Module(error)
    }
}
impl From<KeystoreError> for ActError {
    fn from(error: KeystoreError) -> Self {
        Self::Ours(error)
    }
}

impl Token {
    pub fn new(module: PathBuf, label: String, pin: Option<Passphrase>) -> Self {
        Self { module, label, pin, state: Mutex::default(), freed: Condvar::new() }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn module(&self) -> &Path {
        &self.module
    }

    pub fn problem(&self, problem: TokenProblem) -> KeystoreError {
        KeystoreError::Token { token: self.label.clone(), problem }
    }

    /// Runs `act` on a session; `generation` names the connection, so that handles of objects can be kept with it. After a
    /// session that ended, the act runs a second time: it has to be one that may.
    pub fn repeatable<T>(
        &self,
        mut act: impl FnMut(&Session, u64) -> Result<T, ActError>,
    ) -> Result<T, KeystoreError> {
        match self.attempt(&mut act)? {
            Ok(done) => Ok(done),
            Err(_ended) => self.attempt(&mut act)?.map_err(|error| {
                let problem = said(&error);
                self.note_failure(&mut self.lock(), problem.clone());
                self.problem(problem)
            }),
        }
    }

    /// Runs `act` on a session that may write, one time.
    pub fn once<T>(&self, act: impl FnOnce(&Session) -> Result<T, ActError>) -> Result<T, KeystoreError> {
        // A look first: an act that can't be repeated should not find out that the session ended.
        self.repeatable(|session, _| Ok(session.get_session_info().map(drop)?))?;
        let (session, generation) = {
            let mut state = self.lock();
            self.connect(&mut state)?;
            let connection = state.connection.as_ref().expect("connected above");
            let session = connection.module.open_rw_session(connection.slot);
            let session = session.map_err(|error| self.problem(said(&error)))?;
            state.lent += 1;
            (session, state.generation)
        };
        let done = act(&session);
        drop(session);
        self.returned();
        match done {
            Ok(done) => Ok(done),
            Err(ActError::Ours(error)) => Err(error),
            Err(ActError::Module(error)) => {
                if ends_connection(&error) {
                    self.disconnect(generation);
                }
                Err(self.problem(said(&error)))
            }
        }
    }

    /// One try. The inner error says that the connection is gone.
    fn attempt<T>(
        &self,
        act: &mut impl FnMut(&Session, u64) -> Result<T, ActError>,
    ) -> Result<Result<T, Error>, KeystoreError> {
        let lent = self.lend()?;
        let done = act(&lent.session, lent.generation);
        let generation = lent.generation;
        match done {
            Ok(done) => {
                self.give_back(lent);
                Ok(Ok(done))
            }
            Err(ActError::Ours(error)) => {
                self.give_back(lent);
                Err(error)
            }
            Err(ActError::Module(error)) if ends_connection(&error) => {
                drop(lent);
                self.disconnect(generation);
                self.returned();
                Ok(Err(error))
            }
            Err(ActError::Module(error)) => {
                // What the failed act left in the session is unknown: another takes its place.
                drop(lent);
                self.returned();
                Err(self.problem(said(&error)))
            }
        }
    }

    fn lend(&self) -> Result<Lent, KeystoreError> {
        let mut state = self.lock();
        let started = Instant::now();
        while state.lent >= SESSIONS_MAX {
            let left = SESSION_WAIT_MAX.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(self.problem(TokenProblem::Busy));
            }
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.connect(&mut state)?;
        let generation = state.generation;
        let connection = state.connection.as_mut().expect("connected above");
        let session = match connection.idle.pop() {
            Some(session) => session,
            None => match connection.module.open_ro_session(connection.slot) {
                Ok(session) => session,
                Err(error) => {
                    // The token went away between two acts.
                    state.connection = None;
                    self.connect(&mut state)?;
                    let again = state.connection.as_ref().expect("connected above");
                    let opened = again.module.open_ro_session(again.slot);
                    let session = opened.map_err(|_| self.problem(said(&error)))?;
                    state.lent += 1;
                    return Ok(Lent { session, generation: state.generation });
                }
            },
        };
        state.lent += 1;
        Ok(Lent { session, generation })
    }

    fn give_back(&self, lent: Lent) {
        let mut state = self.lock();
        state.lent -= 1;
        let is_current = state.generation == lent.generation;
        if let Some(connection) = state.connection.as_mut().filter(|_| is_current) {
            connection.idle.push(lent.session);
        }
        drop(state);
        self.freed.notify_one();
    }

    /// A session that is not given back.
    fn returned(&self) {
        self.lock().lent -= 1;
        self.freed.notify_one();
    }

    fn disconnect(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.connection = None;
        }
    }

    fn connect(&self, state: &mut State) -> Result<(), KeystoreError> {
        if state.connection.is_some() {
            return Ok(());
        }
        if let Some(failing) = &state.failing {
            if failing.problem.is_final() {
                return Err(self.problem(failing.problem.clone()));
            }
            let left = failing.not_before.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let left_ms = left.as_millis() as u64;
                return Err(self.problem(TokenProblem::Waiting(left_ms, failing.problem.to_string())));
            }
        }
        match self.new_connection(&mut state.uses) {
            Ok(connection) => {
                state.generation += 1;
                state.connection = Some(connection);
                state.failing = None;
                Ok(())
            }
            Err(problem) => {
                if state.lent == 0 && !problem.is_final() {
                    end_module(&self.module, state.uses.take());
                }
                self.note_failure(state, problem.clone());
                Err(self.problem(problem))
            }
        }
    }

    fn note_failure(&self, state: &mut State, problem: TokenProblem) {
        let pause = match &state.failing {
            Some(failing) => (failing.pause * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        state.connection = None;
        state.failing = Some(Failing { problem, not_before: Instant::now() + pause, pause });
    }

    fn new_connection(&self, uses: &mut Option<Arc<()>>) -> Result<Connection, TokenProblem> {
        let (module, used) = module(&self.module)?;
        *uses = Some(used);
        let slot = self.slot(&module)?;
        let info = module.get_token_info(slot).map_err(|error| said(&error))?;
        let keeper = module.open_ro_session(slot).map_err(|error| said(&error))?;
        if let Some(pin) = self.pin.as_ref().filter(|_| info.login_required()) {
            if info.user_pin_locked() {
                return Err(TokenProblem::PinLocked);
            }
            // A supervisor may start this program again and again with the same wrong PIN.
            if info.user_pin_final_try() {
                return Err(TokenProblem::PinFinalTry);
            }
            log_in(&keeper, pin)?;
        }
        Ok(Connection { module, slot, _keeper: keeper, idle: Vec::new() })
    }

    fn slot(&self, module: &Pkcs11) -> Result<Slot, TokenProblem> {
        let slots = match module.get_slots_with_initialized_token() {
            Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {
                initialize(module, &self.module)?;
                module.get_slots_with_initialized_token()
            }
            answer => answer,
        };
        let mut found = None;
        for slot in slots.map_err(|error| said(&error))? {
            // A token that is pulled out while it is looked at is not the one.
            let Ok(info) = module.get_token_info(slot) else { continue };
            if info.label() == self.label {
                match found {
                    None => found = Some(slot),
                    Some(_) => return Err(TokenProblem::Ambiguous),
                }
            }
        }
        found.ok_or(TokenProblem::NotFound)
    }

    /// Whether private keys can be used: a PIN was given.
    pub fn has_pin(&self) -> bool {
        self.pin.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is whole in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_in(session: &Session, pin: &Passphrase) -> Result<(), TokenProblem> {
    let text = std::str::from_utf8(pin.as_bytes()).expect("a passphrase is UTF-8");
    let pin = AuthPin::from(text.to_owned());
    match session.login(UserType::User, Some(&pin)) {
        // Another keystore of this process has logged in to the same token.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            Err(TokenProblem::PinIncorrect)
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenProblem::PinLocked),
        Err(Error::Pkcs11(RvError::PinExpired | RvError::UserPinNotInitialized, _)) => {
            Err(TokenProblem::PinNotUsable)
        }
        Err(error) => Err(said(&error)),
    }
}

/// A module of this process, and who uses it: each use holds a copy.
struct Loaded {
    module: Pkcs11,
    used: Arc<()>,
}

static LOADED: Mutex<BTreeMap<PathBuf, Loaded>> = Mutex::new(BTreeMap::new());

/// The module of this path, loaded once for the process, as PKCS#11 demands.
fn module(path: &Path) -> Result<(Pkcs11, Arc<()>), TokenProblem> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Loaded { module, used }) = loaded.get(path) {
        return Ok((module.clone(), used.clone()));
    }
    let not_usable = |error: &dyn std::fmt::Display| TokenProblem::Module {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    if !path.is_file() {
        return Err(not_usable(&"there is no such file"));
    }
    let module = Pkcs11::new(path).map_err(|error| not_usable(&error))?;
    initialize(&module, path)?;
    let used = Arc::new(());
    loaded.insert(path.to_owned(), Loaded { module: module.clone(), used: used.clone() });
    Ok((module, used))
}

/// Ends the module, unless another token uses it too. Whoever uses it next starts it again.
fn end_module(path: &Path, uses: Option<Arc<()>>) {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(Loaded { module, used }), Some(_)) = (loaded.get(path), &uses)
        // The one of the map, and the caller's.
        && Arc::strong_count(used) == 2
    {
        // Where it can't be ended, it is asked as it is.
        let _ = module.clone().finalize();
    }
}

fn initialize(module: &Pkcs11, path: &Path) -> Result<(), TokenProblem> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(TokenProblem::Module { path: path.to_owned(), problem: short(&error) }),
    }
}

/// What the module said, in a few words: its long texts explain the standard, not the case.
pub(crate) fn short(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{function} answered {code:?}"),
        other => other.to_string(),
    }
}

pub(crate) fn said(error: &Error) -> TokenProblem {
    match error {
        Error::Pkcs11(RvError::PinLocked, _) => TokenProblem::PinLocked,
        error => TokenProblem::Failed(short(error)),
    }
}

/// Answers after which sessions, log-in and handles are worth nothing. Some modules know no better word for a token that was
/// pulled out than that something failed.
fn ends_connection(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::CryptokiNotInitialized
            | RvError::DeviceError
            | RvError::DeviceRemoved
            | RvError::FunctionFailed
            | RvError::GeneralError
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::SlotIdInvalid
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::UserNotLoggedIn
    )
}
