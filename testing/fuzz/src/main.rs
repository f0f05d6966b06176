//! `stateset-fuzz [TARGET] [--seconds N] [--inputs N] [--round N]`, `--input FILE` to replay, `--list` to see the targets,
//! `--seeds-to DIR` to write a target's seeds as files.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stateset_fuzz::{Bounds, Failure, TARGETS, Target, run_bounded, target};

const FOLDER: &str = "testing/fuzz";
/// Where neither a time nor a number of inputs is asked for.
const SECONDS: u64 = 10;

/// What the command line asks for.
struct Wanted {
    targets: Vec<&'static Target>,
    seconds: Option<u64>,
    inputs: Option<u64>,
    round: u64,
    input: Option<PathBuf>,
    seeds_to: Option<PathBuf>,
    list: bool,
}

fn main() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    if wanted.list {
        TARGETS.iter().for_each(|target| println!("{:<18}{}", target.name, target.holds));
        return ExitCode::SUCCESS;
    }
    if let Some(file) = &wanted.input {
        return replay(wanted.targets[0], file);
    }
    if let Some(folder) = &wanted.seeds_to {
        return write_seeds(wanted.targets[0], folder);
    }
    let failed = wanted.targets.iter().filter(|target| !fuzz(target, &wanted)).count();
    println!("fuzz: {} passed, {failed} failed", wanted.targets.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    // Each longer run looks elsewhere; the round is printed, so that it can be had again.
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut wanted = Wanted {
        targets: Vec::new(),
        seconds: None,
        inputs: None,
        round: today,
        input: None,
        seeds_to: None,
        list: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
        match arg.as_str() {
            "--seconds" => wanted.seconds = Some(number(value()?)?),
            "--inputs" => wanted.inputs = Some(number(value()?)?),
            "--round" => wanted.round = number(value()?)?,
            "--input" => wanted.input = Some(value()?.into()),
            "--seeds-to" => wanted.seeds_to = Some(value()?.into()),
            "--list" => wanted.list = true,
            name => wanted
                .targets
                .push(target(name).ok_or_else(|| format!("there is no target {name}; see --list"))?),
        }
    }
    let needs_one = wanted.input.is_some() || wanted.seeds_to.is_some();
    if wanted.targets.is_empty() && !needs_one {
        wanted.targets = TARGETS.iter().collect();
    }
    if needs_one && wanted.targets.len() != 1 {
        return Err("--input and --seeds-to take exactly one target".to_owned());
    }
    Ok(wanted)
}

fn fuzz(target: &Target, wanted: &Wanted) -> bool {
    // A number of inputs alone has no bound in time.
    let seconds = wanted.seconds.or(wanted.inputs.is_none().then_some(SECONDS));
    let bounds = Bounds {
        inputs_max: wanted.inputs.unwrap_or(u64::MAX),
        time_max: seconds.map_or(Duration::MAX, Duration::from_secs),
        round: wanted.round,
    };
    let started = Instant::now();
    match run_bounded(target, &Path::new(FOLDER).join("corpus").join(target.name), bounds) {
        Ok(summary) => {
            println!(
                "{:<18}ok      {:>9} inputs, {:>9} accepted, {:>7.0} inputs/s, round {}",
                target.name,
                summary.inputs,
                summary.accepted,
                summary.inputs as f64 / started.elapsed().as_secs_f64(),
                wanted.round
            );
            true
        }
        Err(failure) => {
            println!("{:<18}FAILED  {}", target.name, failure.problem);
            println!("    {}", kept(target, &failure));
            false
        }
    }
}

/// Writes the input down; says how to have it again.
fn kept(target: &Target, failure: &Failure) -> String {
    let folder = Path::new(FOLDER).join("artifacts");
    let name = failure
        .input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let file = folder.join(format!("{}-{name:016x}", target.name));
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &failure.input)) {
        Ok(()) => format!("replay: cargo xtask fuzz {} --input {}", target.name, file.display()),
        Err(problem) => {
            format!("the input could not be written ({problem}): {}", ves::hex::encode(&failure.input))
        }
    }
}

fn write_seeds(target: &Target, folder: &Path) -> ExitCode {
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        (target.seeds)()
            .iter()
            .enumerate()
            .try_for_each(|(n, seed)| std::fs::write(folder.join(format!("seed-{n}")), seed))
    };
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {}: {problem}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn replay(target: &Target, file: &Path) -> ExitCode {
    match std::fs::read(file) {
        Ok(input) => {
            // A broken property panics here, with its place.
            let accepted = (target.run)(&input);
            println!(
                "{}: holds, the input is {}",
                target.name,
                if accepted { "accepted" } else { "refused" }
            );
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("error: {}: {problem}", file.display());
            ExitCode::from(2)
        }
    }
}
