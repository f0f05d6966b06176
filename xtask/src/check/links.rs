//! Links in Markdown: relative ones lead to a file of the repository, `#…` to a heading, and the book lists its pages.

use std::path::{Component, Path, PathBuf};

use super::{Findings, files, text_of};

const CONTENTS: &str = "docs/SUMMARY.md";

pub fn check() -> Findings {
    let mut found = Findings::default();
    let files = files(&mut found);
    let pages: Vec<&String> = files.iter().filter(|file| file.ends_with(".md")).collect();
    let mut listed = Vec::new();
    for page in &pages {
        let Some(text) = text_of(page) else { continue };
        for (line, target) in links(&text) {
            match resolve(page, &target) {
                Some(problem) => found.problem(format!("{page}:{line}: {problem}")),
                None if page.as_str() == CONTENTS => {
                    listed.push(place(page, target.split('#').next().unwrap_or_default()))
                }
                None => {}
            }
        }
    }
    for page in pages.iter().filter(|page| page.starts_with("docs/") && page.as_str() != CONTENTS) {
        if !listed.contains(&PathBuf::from(page)) {
            found.problem(format!("{page} is not listed in {CONTENTS}"));
        }
    }
    found
}

/// What is wrong with the link, if anything.
fn resolve(page: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) =
        target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { PathBuf::from(page) } else { place(page, file) };
    if !path.exists() {
        return Some(format!("the link to {target} leads nowhere"));
    }
    let heading = heading.filter(|_| path.extension().is_some_and(|extension| extension == "md"))?;
    let text = text_of(&path.to_string_lossy())?;
    let known =
        prose(&text).any(|(_, line)| line.starts_with('#') && slug(line.trim_start_matches('#')) == heading);
    (!known).then(|| format!("{} has no heading #{heading}", path.display()))
}

/// Where `target`, written in `page`, lies relative to the root.
fn place(page: &str, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in Path::new(page).parent().unwrap_or(Path::new("")).join(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// Heading text as an anchor: lower case, spaces as dashes, punctuation left out.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Lines outside code blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(n, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!in_code && !fence).then_some((n + 1, line))
    })
}

/// Targets of `[text](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        // Code spans may hold brackets that are no links.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let mut rest = plain.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find(')').unwrap_or(rest.len());
            links.push((number, rest[..end].trim().to_owned()));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "See [a](a.md) and [b](b.md#c).\n```\n[no](x)\n```\n`[no](y)` [c](#d)";
        let found: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["a.md", "b.md#c", "#d"]);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(slug(" The write path, for speed"), "the-write-path-for-speed");
    }

    #[test]
    fn a_target_is_placed_beside_its_page() {
        assert_eq!(place("docs/operator/run.md", "../../README.md"), PathBuf::from("README.md"));
        assert_eq!(place("README.md", "./docs/SUMMARY.md"), PathBuf::from("docs/SUMMARY.md"));
    }
}
