//! The only place that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write as _;

/// One line, or several, of result.
pub fn say(text: &str) {
    println!("{text}");
}

/// A line that says what is going on now, so that a long silence has a name.
pub fn progress(text: &str) {
    // Standard output and error may go to one file: keep their order.
    let _ = std::io::stdout().flush();
    eprintln!("==> {text}");
}

pub fn fail(text: &str) {
    let _ = std::io::stdout().flush();
    eprintln!("error: {text}");
}

/// Raw output of a child process, passed on as it comes.
pub fn pass_on(line: &str) {
    print!("{line}");
    let _ = std::io::stdout().flush();
}
