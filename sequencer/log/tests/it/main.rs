//! The log over servers of its own.

mod cancel;
mod events;
mod postgres;
mod transfer;
