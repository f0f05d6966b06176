//! Which name was meant.

/// The known name nearest to `name`, where one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (distance(name, known), known)).min_by_key(|(distance, _)| *distance)?;
    (near.0 <= (name.len() / 3).clamp(1, 4)).then_some(near.1)
}

/// Whether `name` is `known` but for a slip of the fingers. Short names have to be exact: HOME is not HOST.
pub fn resembles(name: &str, known: &str) -> bool {
    distance(name, known) <= (name.len() / 5).min(2)
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_and_short_names_have_to_be_exact() {
        assert_eq!(distance("GRPC_PORT", "GRPC_PROT"), 1);
        assert_eq!(distance("", "AB"), 2);
        assert_eq!(distance("MAX_BODY", "MAX_BODIES"), 3);
        assert!(resembles("DATABSE_URL", "DATABASE_URL"));
        for innocent in ["HOME", "PATH", "SHELL", "TERM"] {
            assert!(!resembles(innocent, "HOST") && !resembles(innocent, "PORT"), "{innocent}");
        }
        assert_eq!(nearest("databse_url", ["database_url", "port"].into_iter()), Some("database_url"));
        assert_eq!(nearest("wholly_other", ["database_url", "port"].into_iter()), None);
    }
}
