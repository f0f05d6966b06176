//! The distribution's own PostgreSQL server, started for a test in a temporary folder.
//!
//! - [`shared`] is one server for all tests of a process; each takes a database of its own from it;
//! - a test that stops, kills or starves its server starts one with [`Server::start`];
//! - a server ends with its value, and in any case with the process that started it, however that ends.
//!
//! Everything here panics with what to do: a test without its server has not run.

mod process;
mod programs;
mod server;

pub use server::{CpuTimes, Server, Settings, make_certificate, shared};
