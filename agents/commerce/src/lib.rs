//! Agent commerce: what a shopping agent needs to find a business, check out with it, and prove that it may.
//!
//! ```text
//! GET /.well-known/agent-card.json (A2A)      GET /.well-known/ucp (UCP)
//!                     └──────────► checkout session ◄──────┘
//! create ─► update* ─► complete: AP2 mandates verified ─► x402 settled ─► order.created
//!               every arrow is a signed event of the log before it is answered
//! ```
//!
//! - The rules are pure, and read no clock: [`versions`] (who is spoken with), [`session`] (what follows on what),
//!   [`sd_jwt`], [`constraint`] and [`mandate`] (whether the buyer agreed).
//! - [`Desk`] runs the five operations over the [`ports`]; [`router`] puts them on HTTP.
//! - No payment is asked for before both mandates hold, and a mandate serves one checkout: the log itself takes its use once.
//! - Amounts are whole minor units. Nothing of the buyer is kept.
//!
//! Versions: UCP 2026-08-25, A2A 1.0, AP2 0.2. Any other is refused with these listed.

pub mod business;
mod catalogue;
pub mod constraint;
mod desk;
pub mod forms;
pub mod jose;
pub mod mandate;
pub mod ports;
mod routes;
pub mod sd_jwt;
pub mod session;
pub mod versions;
pub mod view;

pub use catalogue::{Catalogue, CatalogueError, Item};
pub use constraint::Merchant;
pub use desk::{Caller, Desk, Fault, Parts, Reply};
pub use routes::router;
