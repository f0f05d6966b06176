//! The targets, by what they read.

mod bodies;
mod certificates;
mod compliance;
mod contracts;
mod directory;
mod events;
mod grpc;
mod json;
mod keystore;
mod ledger;
mod legacy;
mod mandates;
mod payments;
mod peers;
mod proofs;
mod signatures;
mod storage;
mod texts;
mod webhooks;

use crate::Target;

pub(crate) const ALL: &[Target] = &[
    Target {
        name: "json",
        holds: "canonical JSON is a fixed point, keeps the value, and refuses what a JSON parser refuses",
        run: json::canonical,
        seeds: json::seeds,
    },
    Target {
        name: "texts",
        holds: "hex, UUID, time and digest texts read back what was printed",
        run: texts::texts,
        seeds: texts::seeds,
    },
    Target {
        name: "envelope",
        holds: "an envelope that decodes is printed in the strict format and decodes to the same",
        run: events::envelope,
        seeds: events::envelope_seeds,
    },
    Target {
        name: "ingest",
        holds: "a request body keeps each event as it decodes alone; one bad event hurts no other",
        run: events::ingest,
        seeds: events::ingest_seeds,
    },
    Target {
        name: "record",
        holds: "a stored record decodes only if it is what the encoder writes",
        run: events::record,
        seeds: events::record_seeds,
    },
    Target {
        name: "sealed",
        holds: "a sealed event that was changed never opens to anything but its own payload",
        run: events::sealed,
        seeds: events::sealed_seeds,
    },
    Target {
        name: "signatures",
        holds: "single checks, tables and an independent library give one verdict, torsion included",
        run: signatures::agreement,
        seeds: signatures::seeds,
    },
    Target {
        name: "receipt",
        holds: "a receipt verifies as issued and not after any change to what it covers",
        run: signatures::receipt,
        seeds: signatures::seeds,
    },
    Target {
        name: "possession",
        holds: "a proof of possession is good for its own key only",
        run: signatures::possession,
        seeds: signatures::seeds,
    },
    Target {
        name: "directory",
        holds: "only the key directory that was signed verifies, however it is spelt",
        run: directory::directory,
        seeds: directory::seeds,
    },
    Target {
        name: "inclusion",
        holds: "tiles give the path that leads to the batch root; a changed path, index or leaf does not",
        run: proofs::inclusion,
        seeds: proofs::seeds,
    },
    Target {
        name: "consistency",
        holds: "the log's proofs verify between any two sizes and fail after any change",
        run: proofs::consistency,
        seeds: proofs::seeds,
    },
    Target {
        name: "checkpoint",
        holds: "a checkpoint that parses is printed as it was read, and only the signed one verifies",
        run: proofs::checkpoint,
        seeds: proofs::checkpoint_seeds,
    },
    Target {
        name: "older_event",
        holds: "an older event that is read is written so that it reads the same; one bad event hurts no other",
        run: legacy::event,
        seeds: legacy::event_seeds,
    },
    Target {
        name: "older_inclusion",
        holds: "tiles give the path that leads to the older root; a changed path, index or leaf does not",
        run: legacy::inclusion,
        seeds: legacy::inclusion_seeds,
    },
    Target {
        name: "payment",
        holds: "consent to a payment's terms is consent to no others",
        run: payments::payment,
        seeds: payments::payment_seeds,
    },
    Target {
        name: "compliance",
        holds: "a policy and public inputs have one hash, however they are spelt",
        run: payments::compliance,
        seeds: payments::compliance_seeds,
    },
    Target {
        name: "compliance_proof",
        holds: "any bytes are read or refused; of all changes of a compliance proof none verifies",
        run: compliance::proof,
        seeds: compliance::seeds,
    },
    Target {
        name: "at_rest",
        holds: "a blob opens to what was sealed and not after any change",
        run: storage::at_rest,
        seeds: storage::seeds,
    },
    Target {
        name: "bodies",
        holds: "REST bodies that are read are written so that they read the same",
        run: bodies::bodies,
        seeds: bodies::seeds,
    },
    Target {
        name: "grpc",
        holds: "a pushed event that is read is written as a message that reads the same",
        run: grpc::push,
        seeds: grpc::seeds,
    },
    Target {
        name: "webhooks",
        holds: "an address that is allowed is https to the open, a wait is at most a day, a signature is of its secret",
        run: webhooks::webhooks,
        seeds: webhooks::seeds,
    },
    Target {
        name: "mandate",
        holds: "a chain of mandates verifies as it was signed, token by token; other requests are read or refused",
        run: mandates::mandate,
        seeds: mandates::seeds,
    },
    Target {
        name: "ledger_values",
        holds: "a value of the shared ledger has one encoding, and a tear-off that decodes has an id",
        run: ledger::values,
        seeds: ledger::value_seeds,
    },
    Target {
        name: "ledger_request",
        holds: "a request has one encoding, and one that was changed after signing is refused",
        run: ledger::request,
        seeds: ledger::request_seeds,
    },
    Target {
        name: "ledger_block",
        holds: "a block of anything panics nowhere, conserves value, and is the same on every node",
        run: ledger::block,
        seeds: ledger::block_seeds,
    },
    Target {
        name: "certificate",
        holds: "a certificate has one encoding in each form, and proves nothing after any change",
        run: certificates::certificate,
        seeds: certificates::seeds,
    },
    Target {
        name: "peer_frames",
        holds: "frames do not depend on how a connection cuts them, and a peer's message has one encoding",
        run: peers::frames,
        seeds: peers::frame_seeds,
    },
    Target {
        name: "member_certificates",
        holds: "no certificate but the one that was signed leads to the network's root",
        run: peers::certificates,
        seeds: peers::certificate_seeds,
    },
    Target {
        name: "contract_values",
        holds: "contents, commands and evidence have one encoding each",
        run: contracts::values,
        seeds: contracts::value_seeds,
    },
    Target {
        name: "contract_life",
        holds: "any commands on an invoice keep its invariants, and what is drafted passes validation",
        run: contracts::life,
        seeds: contracts::life_seeds,
    },
    Target {
        name: "keystore",
        holds: "a damaged key file is refused; one that opens holds the key that it names",
        run: keystore::key_file,
        seeds: keystore::seeds,
    },
];
