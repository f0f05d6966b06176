//! The worlds, many seeds each; and proof that the checkers can fail.

mod sabotage;
mod worlds;
