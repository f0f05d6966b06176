//! `stateset-sim WORLD SEED [--trace]`, `stateset-sim list`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use stateset_sim::{PROFILES, named_seeds, run_with};

const USAGE: &str = "usage: stateset-sim WORLD SEED [--trace]
       stateset-sim list

Runs one simulated world. The same WORLD and SEED always give the same trace.
  --trace   print every step
  list      the worlds and the named seeds";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => list(),
        [world, seed] => simulate(world, seed, false),
        [world, seed, "--trace"] => simulate(world, seed, true),
        _ => usage("two words are needed: a world and a seed"),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\n{USAGE}");
    ExitCode::from(2)
}

fn simulate(world: &str, seed: &str, keeps_lines: bool) -> ExitCode {
    let Ok(seed) = seed.parse() else { return usage("SEED is a decimal number") };
    if stateset_sim::profile(world).is_none() {
        return usage(&format!("there is no world {world}; see `stateset-sim list`"));
    }
    match run_with(world, seed, None, keeps_lines) {
        Ok(trace) => {
            if keeps_lines {
                trace.lines.iter().for_each(|line| println!("{line}"));
            }
            println!("{trace}");
            println!("met: {}", trace.reached.iter().copied().collect::<Vec<_>>().join(", "));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> ExitCode {
    println!("Worlds");
    for profile in &PROFILES {
        println!("  {:<14}{}", profile.name, profile.about);
    }
    match named_seeds() {
        Ok(seeds) => {
            println!("\nNamed seeds");
            for seed in seeds {
                println!("  {:<30}{:<14}{:<8}{}", seed.name, seed.world, seed.seed, seed.covers);
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("seeds: {problem}");
            ExitCode::FAILURE
        }
    }
}
