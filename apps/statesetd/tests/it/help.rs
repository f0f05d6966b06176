//! The command line is a public surface: its help is a golden file.

use std::fmt::Write as _;
use std::path::Path;

#[test]
fn the_help_is_the_reviewed_one() {
    let mut all = String::new();
    let mut root = statesetd_app::command().term_width(100);
    root.build();
    let names: Vec<String> = root
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .filter(|name| name != "help")
        .collect();
    writeln!(all, "$ statesetd --help\n\n{}", root.render_long_help().to_string().trim_end()).unwrap();
    for name in names {
        let command = root.find_subcommand_mut(&name).unwrap();
        let help = command.render_long_help().to_string();
        writeln!(all, "\n$ statesetd {name} --help\n\n{}", help.trim_end()).unwrap();
        for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
            let (of, help) = (below.get_name().to_owned(), below.render_long_help().to_string());
            writeln!(all, "\n$ statesetd {name} {of} --help\n\n{}", help.trim_end()).unwrap();
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &all).unwrap();
    }
    let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(reviewed == all, "the help changed: review it with UPDATE_GOLDEN=1 cargo test -p statesetd");
}
