//! Contracts from outside: the invoice's whole table, participants' validation, and random lives of invoices.

mod invoice;
mod lives;
mod table;
mod validation;
mod vectors;
mod world;
