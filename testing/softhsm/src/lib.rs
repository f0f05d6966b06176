//! A token in software (SoftHSM 2, of the distribution), initialised for one test in a folder of its own.
//!
//! The module reads its configuration from `SOFTHSM2_CONF` when a process loads it, so what uses the token runs in a process
//! that was started with [`SoftToken::env`]: a program, or this test's own binary by [`in_own_process`].

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where distributions put the module.
const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
];
const LABEL: &str = "stateset test";
const PIN: &str = "0417-test";

/// A test that takes longer hangs.
const TEST_TIME_MAX: Duration = Duration::from_secs(60);
/// Name the folder of a token and its module to the process that a test runs in.
const FOLDER_VARIABLE: &str = "STATESET_TEST_TOKEN";
const MODULE_VARIABLE: &str = "STATESET_TEST_MODULE";

/// A token; its files go when it is dropped by the process that made it.
pub struct SoftToken {
    folder: PathBuf,
    module: PathBuf,
    _own: Option<tempfile::TempDir>,
}

impl SoftToken {
    /// A new token. `None`, and a line on stderr, where SoftHSM is not installed; in continuous integration that panics.
    pub fn new() -> Option<Self> {
        let module = MODULES.iter().map(PathBuf::from).find(|path| path.is_file());
        let Some(module) = module else {
            assert!(std::env::var_os("CI").is_none(), "SoftHSM is missing: install the package `softhsm2`");
            // Written past the test's capture: whoever runs the tests should see what did not run.
            let said =
                "NOT RUN: SoftHSM is missing; install the package `softhsm2`, or run `cargo xtask test`\n";
            let _ = std::io::stderr().write_all(said.as_bytes());
            return None;
        };
        let own = tempfile::tempdir().expect("a temporary folder");
        let token = Self { folder: own.path().to_owned(), module, _own: Some(own) };
        std::fs::create_dir(token.tokens()).expect("a new folder");
        let lines = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            token.tokens().display()
        );
        std::fs::write(token.conf(), lines).expect("a file of the new folder");
        token.add(LABEL);
        Some(token)
    }

    /// Initialises a further token beside the first.
    pub fn add(&self, label: &str) {
        let mut init = Command::new("softhsm2-util");
        init.args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "0417-officer"]);
        init.arg("--module").arg(&self.module).env("SOFTHSM2_CONF", self.conf());
        let output = init.output().expect("softhsm2-util runs: it is in the package `softhsm2`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn module(&self) -> &Path {
        &self.module
    }
    pub fn label(&self) -> &str {
        LABEL
    }
    pub fn pin(&self) -> &str {
        PIN
    }
    /// For files of the test, beside the token's.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    /// The variable that a process needs to see this token.
    pub fn env(&self) -> (&'static str, PathBuf) {
        ("SOFTHSM2_CONF", self.conf())
    }
    /// A file of mode 0600 with the PIN.
    pub fn pin_file(&self) -> PathBuf {
        let path = self.folder.join("pin");
        std::fs::write(&path, format!("{PIN}\n")).expect("a file of the new folder");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
        }
        path
    }
    /// Takes the token out, as a person pulls out a device.
    pub fn pull(&self) {
        std::fs::rename(self.tokens(), self.pulled()).expect("the token is in");
        std::fs::create_dir(self.tokens()).expect("it was moved away");
    }
    /// Puts it back.
    pub fn put_back(&self) {
        std::fs::remove_dir_all(self.tokens()).expect("the place of the token");
        std::fs::rename(self.pulled(), self.tokens()).expect("the token is out");
    }

    fn conf(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }
    fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }
    fn pulled(&self) -> PathBuf {
        self.folder.join("pulled")
    }
}

/// Runs `test` in a process of its own that sees a new token. `name` is the full name of the test that calls: that process is
/// this same binary, told to run this one test.
pub fn in_own_process(name: &str, test: impl FnOnce(&SoftToken)) {
    if let (Some(folder), Some(module)) =
        (std::env::var_os(FOLDER_VARIABLE), std::env::var_os(MODULE_VARIABLE))
    {
        return test(&SoftToken { folder: folder.into(), module: module.into(), _own: None });
    }
    let Some(token) = SoftToken::new() else { return };
    let (variable, conf) = token.env();
    let mut process = Command::new(std::env::current_exe().expect("this test"))
        .args([name, "--exact", "--nocapture"])
        .env(variable, conf)
        .env(FOLDER_VARIABLE, &token.folder)
        .env(MODULE_VARIABLE, &token.module)
        .stdout(std::fs::File::create(token.folder.join("stdout")).expect("a file of the new folder"))
        .stderr(std::fs::File::create(token.folder.join("stderr")).expect("a file of the new folder"))
        .spawn()
        .expect("this test starts again");
    let started = Instant::now();
    let status = loop {
        match process.try_wait().expect("the state of our own process") {
            Some(status) => break Some(status),
            None if started.elapsed() > TEST_TIME_MAX => {
                let _ = process.kill();
                let _ = process.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let said =
        ["stdout", "stderr"].map(|file| std::fs::read_to_string(token.folder.join(file)).unwrap_or_default());
    let passed = status.is_some_and(|status| status.success()) && said[0].contains("1 passed");
    assert!(passed, "{name} in a process of its own, {status:?}:\n{}\n{}", said[0], said[1]);
}
