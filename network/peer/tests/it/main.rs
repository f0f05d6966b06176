//! The transport between real tasks and sockets on loopback.

mod faults;
mod impostors;
mod judges;
mod processes;
mod sessions;
mod strangers;
mod world;
