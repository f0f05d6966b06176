//! Licences of everything linked (decision 9): permissive ones only, and each one known. So are those of the public client
//! that judges our payments.

use super::Findings;
use crate::metadata::{PRODUCT, workspace};
use crate::public_client;

/// What we accept, as SPDX names.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

pub fn check() -> Findings {
    let mut found = Findings::default();
    look_at(PRODUCT, &mut found);
    look_at(public_client::MANIFEST, &mut found);
    found
}

fn look_at(manifest: &str, found: &mut Findings) {
    match workspace(manifest) {
        Ok(workspace) => {
            for package in &workspace.externals {
                match &package.licence {
                    None => found.problem(format!("{} {} states no licence", package.name, package.version)),
                    Some(licence) if !accepted(licence) => {
                        found.problem(format!("{} {} is under {licence}", package.name, package.version));
                    }
                    Some(_) => {}
                }
            }
            found.note(format!("{manifest}: {} packages from elsewhere", workspace.externals.len()));
        }
        Err(problem) => found.problem(problem),
    }
}

/// Whether an SPDX expression leaves a choice that we accept. `AND` binds tighter than `OR`; `/` is the old `OR`.
fn accepted(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&words, &mut at) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut accepted = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        accepted |= all_of(words, at);
    }
    accepted
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut accepted = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        accepted &= one(words, at);
    }
    accepted
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let accepted = any_of(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return accepted && closed;
    }
    if let (Some(&"WITH"), Some(exception)) = (words.get(*at), words.get(*at + 1)) {
        *at += 2;
        return ACCEPTED.contains(&format!("{word} WITH {exception}").as_str());
    }
    ACCEPTED.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_reads_them() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR GPL-3.0-only",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "ISC AND (Apache-2.0 OR ISC) AND OpenSSL",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(accepted(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0-or-later",
            "AGPL-3.0",
            "MIT AND GPL-2.0",
            "(MIT",
            "MIT MIT",
            "LicenseRef-ours",
            "GPL-2.0 WITH Classpath-exception-2.0",
        ] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}
