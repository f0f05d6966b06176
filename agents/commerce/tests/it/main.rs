//! Agent commerce as a platform meets it: over HTTP, with the ports held in memory.

mod attacks;
mod flow;
mod vectors;
mod well_known;
mod world;
