//! The log over servers of its own.

mod events;
mod postgres;
mod transfer;
