//! Prover and verifier together: specification section 11.

mod audit;
mod batch;
mod clauses;
mod golden;
mod many;
mod payload;
mod rejection;
mod statements;
mod support;
mod zero_knowledge;
mod zero_knowledge_clauses;
mod zero_knowledge_tables;
