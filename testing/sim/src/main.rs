//! `stateset-sim WORLD SEED [--trace]`, `stateset-sim WORLD FROM..TO`, `stateset-sim list`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::process::ExitCode;

use stateset_sim::{LEDGER_WORLDS, PROFILES, ledger_world, named_seeds, profile, run_seeds, run_with};

const USAGE: &str = "usage: stateset-sim WORLD SEED [--trace]
       stateset-sim WORLD FROM..TO
       stateset-sim list

Runs one simulated world, or one for each seed from FROM to below TO, on all cores. The same WORLD and SEED always give
the same trace.
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
    if profile(world).is_none() && ledger_world(world).is_none() {
        return usage(&format!("there is no world {world}; see `stateset-sim list`"));
    }
    if let Some((from, to)) = seed.split_once("..") {
        return match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) if from < to => simulate_all(world, from..to),
            _ => usage("FROM..TO are two decimal numbers, the first below the second"),
        };
    }
    let Ok(seed) = seed.parse() else { return usage("SEED is a decimal number") };
    match run_with(world, seed, None, keeps_lines) {
        Ok(trace) => {
            if keeps_lines {
                trace.lines.iter().for_each(|line| println!("{line}"));
            }
            println!("{trace}");
            println!("met: {}", trace.reached.iter().copied().collect::<Vec<_>>().join(", "));
            told(&trace.attacks);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn simulate_all(world: &str, seeds: Range<u64>) -> ExitCode {
    let runs = run_seeds(world, seeds.clone());
    let mut reached = BTreeSet::new();
    let mut attacks = BTreeMap::new();
    let (mut steps, mut failed) = (0, 0);
    for run in &runs {
        match run {
            Ok(trace) => {
                steps += trace.steps;
                reached.extend(trace.reached.iter().copied());
                for (name, count) in &trace.attacks {
                    *attacks.entry(*name).or_default() += count;
                }
            }
            Err(failure) => {
                failed += 1;
                println!("{failure}\n");
            }
        }
    }
    println!(
        "{world} {}..{}: {} held, {failed} failed, {steps} steps",
        seeds.start,
        seeds.end,
        runs.len() - failed
    );
    println!("met: {}", reached.into_iter().collect::<Vec<_>>().join(", "));
    told(&attacks);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Attacks of submitters and how many of each were refused, where a world has some.
fn told(attacks: &BTreeMap<&str, u64>) {
    if !attacks.is_empty() {
        let each: Vec<_> = attacks.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("refused: {}", each.join(", "));
    }
}

fn list() -> ExitCode {
    println!("Worlds");
    for profile in &PROFILES {
        println!("  {:<14}{}", profile.name, profile.about);
    }
    for world in &LEDGER_WORLDS {
        println!("  {:<14}{}", world.name, world.about);
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
