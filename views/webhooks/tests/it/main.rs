//! Webhooks as a receiver and an operator meet them.

mod lane;
mod post;
mod sign;
