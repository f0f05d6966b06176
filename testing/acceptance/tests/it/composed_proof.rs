//! A composed policy with a running total, proved to a running service: verified, kept, and continued once.

use stateset_acceptance::Service;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_fixtures::{Agent, plain_event};
use ves::{EventId, TimestampMs};
use ves_stark_client::{
    ClientError, ComplianceClient, ComposedProposal, Submitted, prove_composed, system_random,
};
use ves_stark_primitives::clauses::{Clause, Number};
use ves_stark_primitives::{ClausePolicy, FieldDescription, FieldOpening, Opening, SuiteId};

/// What the agent may spend, in minor units.
const BUDGET: u64 = 10_000;

fn opening(name: &str, value: u64) -> FieldOpening {
    let field = FieldDescription::new(name, "", "amount", "EUR", 2).unwrap();
    FieldOpening { field, opening: Opening::draw(value, getrandom::fill).unwrap() }
}

/// A total, an amount, and their sum within the budget.
fn budget() -> ClausePolicy {
    let limit = Some(Number(BUDGET));
    let clauses = vec![Clause::PrevTotal { prev: 0, x: 1, new: 2, limit }];
    ClausePolicy::new(3, clauses, Vec::new()).unwrap()
}

struct World {
    client: ComplianceClient,
    context: String,
    agent: Agent,
}

impl World {
    /// Proves that `openings`, a total, an amount and their sum, are within the budget, and submits it for `event`.
    fn submit(&self, event: &EventId, openings: [&FieldOpening; 3]) -> Result<Submitted, ClientError> {
        let proposal = ComposedProposal {
            event: self.client.inputs(event, &budget().policy()).unwrap(),
            suite: SuiteId::Standard,
            chain_context: self.context.clone(),
            valid_until: None,
            openings: &openings.map(FieldOpening::clone),
            evidence: &[],
            now: TimestampMs(0),
        };
        let key = self.agent.signing_key();
        let bundle =
            prove_composed(proposal, Some((self.agent.key_id, &key)), &mut system_random().unwrap()).unwrap();
        self.client.submit(&bundle)
    }
}

#[test]
fn a_running_total_is_continued_once_at_a_running_service() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&folder.path().join("data"));
    let stream = service.default_stream();
    let agent = Agent::new(&stream, 1);
    register(&service.rest(), &agent).unwrap();
    let (status, answer) =
        service.rest().post("/api/v1/ves/events/ingest", &orders(&agent, &stream, 1, 3)).unwrap();
    assert!(receipts(status, &answer).unwrap().is_some(), "{answer}");
    let [first, second, third] = [1, 2, 3].map(|n| plain_event(&agent, &stream, n).event_id);
    let client = ComplianceClient::new(&service.url, Some(service.api_key.clone()), Some(stream)).unwrap();
    let context = client.chain_context().unwrap();
    let world = World { client, context, agent };

    // A total's name is part of its commitment and names differ within a statement, so totals take turns at two.
    let start = opening("even_total", 0);
    let after_first = opening("odd_total", 4_000);
    let after_second = opening("even_total", 9_500);
    let stored = world.submit(&first, [&start, &opening("amount", 4_000), &after_first]).unwrap();
    assert!(stored.record.verified && !stored.is_earlier_proof);
    let stored = world.submit(&second, [&after_first, &opening("amount", 5_500), &after_second]).unwrap();
    assert!(world.client.verify(&stored.record.proof_id).unwrap().outcome.valid);

    // The second event went on from there: a third cannot, though its own sum is within the budget.
    let other = opening("even_total", 4_500);
    match world.submit(&third, [&after_first, &opening("amount", 500), &other]) {
        Err(ClientError::Refused { status: 409, message, .. }) => {
            assert!(message.contains(&second.to_string()), "{message}");
        }
        refused => panic!("{refused:?}"),
    }
    let newest = opening("odd_total", 10_000);
    let stored = world.submit(&third, [&after_second, &opening("amount", 500), &newest]).unwrap();
    assert!(stored.record.verified, "the newest total goes on");
    assert!(service.stop().success());
}
