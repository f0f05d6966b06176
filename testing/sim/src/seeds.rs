//! Named seeds: runs worth repeating for ever, because they once failed or because they cover a rare path.

/// One entry of a file in `seeds/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSeed {
    pub name: String,
    pub world: String,
    pub seed: u64,
    /// What it once caught, or what it covers.
    pub covers: String,
}

const FILES: [&str; 1] = [include_str!("../seeds/sequencer.toml")];

/// Every named seed.
///
/// # Errors
/// The line that is not understood.
pub fn named_seeds() -> Result<Vec<NamedSeed>, String> {
    let mut seeds = Vec::new();
    for text in FILES {
        seeds.extend(parse(text)?);
    }
    Ok(seeds)
}

/// Reads `[[seed]]` tables of `name`, `world`, `covers` (basic strings without escapes) and `seed` (decimal): the
/// part of TOML that these files need.
fn parse(text: &str) -> Result<Vec<NamedSeed>, String> {
    let mut seeds: Vec<NamedSeed> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let bad = |why: &str| format!("line {number}: {why}: {line}");
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[[seed]]" {
            let empty = String::new;
            seeds.push(NamedSeed { name: empty(), world: empty(), seed: 0, covers: empty() });
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| bad("no key and value"))?;
        let entry = seeds.last_mut().ok_or_else(|| bad("stands before any [[seed]]"))?;
        let text = || {
            let inner = value.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            inner
                .filter(|inner| !inner.contains(['"', '\\']))
                .map(str::to_owned)
                .ok_or_else(|| bad("not a text"))
        };
        match key.trim() {
            "name" => entry.name = text()?,
            "world" => entry.world = text()?,
            "covers" => entry.covers = text()?,
            "seed" => entry.seed = value.trim().parse().map_err(|_| bad("not a number"))?,
            _ => return Err(bad("unknown key")),
        }
    }
    match seeds.iter().find(|seed| seed.name.is_empty() || seed.world.is_empty() || seed.covers.is_empty()) {
        Some(seed) => Err(format!("incomplete: {seed:?}")),
        None => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_an_error() {
        let good = "# note\n[[seed]]\nname = \"a\"\nworld = \"calm\"\nseed = 7\ncovers = \"b\"\n";
        assert_eq!(parse(good).map(|seeds| seeds[0].seed), Ok(7));
        for bad in [
            "name = \"a\"",
            "[[seed]]\nname = a",
            "[[seed]]\nseed = x",
            "[[seed]]\nother = 1",
            "[[seed]]\nname = \"a\"",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
