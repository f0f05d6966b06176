//! The power goes at every point of a flow, on either side. The node opens its file again and goes on; all end as if nothing
//! had happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stateset_contracts::{Invoice, InvoiceCommand};
use stateset_node::probe::{Always, Point, Probe};
use stateset_node::{Attested, NodeError, Transition};

use crate::world::{AUDITOR, BUYER, ONE_AUDITOR, SELLER, World, create, id};

/// Stops at the n-th point that it is asked about, and not before or after.
struct StopAt {
    at: u64,
    passed: AtomicU64,
}

impl Probe for StopAt {
    fn goes_on(&self, _: Point) -> bool {
        self.passed.fetch_add(1, Ordering::SeqCst) != self.at
    }
}

/// Begins an invoice, attested or not; the steps after it go on as it does.
fn begin(world: &World, attested: Attested) -> Result<(), NodeError> {
    let (command, parties) = (create("2026-1"), [id(BUYER)].into());
    let transition = Transition::<Invoice> { on: None, command, parties, at: None };
    world.node(SELLER).start_as(&transition, attested).map(drop)
}

/// Runs issue and accept with company `n` stopped at point `at`. Says where it was stopped; `None` when it never was.
fn stopped(n: u8, at: u64, attested: Attested) -> Option<Point> {
    let mut world = World::new();
    if attested != Attested::No {
        world.open(AUDITOR, &format!("vault-{AUDITOR}.db"), Arc::new(Always));
    }
    let probe = Arc::new(StopAt { at, passed: AtomicU64::new(0) });
    let file = format!("vault-{n}.db");
    world.open(n, &file, probe);
    let mut stopped = None;
    // A stopped node is opened again without a probe, as after a power cut.
    let mut again = |world: &mut World, who: u8, error: NodeError| match error {
        NodeError::Stopped(point) if who == n => {
            stopped = Some(point);
            world.open(n, &file, Arc::new(Always));
        }
        other => panic!("company {who}: {other}"),
    };
    if let Err(error) = begin(&world, attested) {
        again(&mut world, SELLER, error);
        // Stopped before the flow was in the journal: nothing began, and the caller was told so.
        if world.flows(SELLER).is_empty() {
            begin(&world, attested).unwrap();
        }
    }
    while let Err((who, error)) = world.settle() {
        again(&mut world, who, error);
    }
    assert_eq!(world.flows(SELLER).len(), 1);
    let (place, _) = world.invoice(BUYER);
    if let Err(error) = world.start(BUYER, Some(place), InvoiceCommand::Accept(()), &[]) {
        again(&mut world, BUYER, error);
        if world.flows(BUYER).len() < 2 {
            world.start(BUYER, Some(place), InvoiceCommand::Accept(()), &[]).unwrap();
        }
    }
    while let Err((who, error)) = world.settle() {
        again(&mut world, who, error);
    }
    if attested != Attested::No {
        let flows = world.flows(AUDITOR);
        assert_eq!(flows.len(), 2, "point {at} of {n}: {flows:?}");
        assert!(flows.iter().all(|flow| flow.phase == "final"), "point {at} of {n}: {flows:?}");
    }
    for company in [SELLER, BUYER] {
        let flows = world.flows(company);
        assert!(flows.iter().all(|flow| flow.phase == "final"), "point {at} of {n}: {flows:?}");
        assert_eq!(world.status(company), "ACCEPTED", "point {at} of {n}");
        let vault = world.node(company).vault();
        assert_eq!(vault.unspent_keys().unwrap().len(), 1, "point {at} of {n}");
        // What the journal says is what the flow is.
        for flow in &flows {
            assert_eq!(vault.flow(&flow.flow_id).unwrap().unwrap().phase.name(), flow.phase);
        }
        assert!(vault.lock_of(&place).unwrap().is_none());
    }
    stopped
}

fn every_point(n: u8, attested: Attested) {
    let mut points = Vec::new();
    while let Some(point) = stopped(n, points.len() as u64, attested) {
        points.push(point);
    }
    assert!(points.len() > 20, "only {} points", points.len());
    for point in [Point::BeforeCommit, Point::AfterCommit, Point::BeforeEffect, Point::AfterEffect] {
        assert!(points.contains(&point), "{point:?} was never reached");
    }
}

#[test]
fn a_seller_stopped_at_any_point_goes_on() {
    every_point(SELLER, Attested::No);
}

#[test]
fn a_buyer_stopped_at_any_point_goes_on() {
    every_point(BUYER, Attested::No);
}

#[test]
fn an_attester_stopped_at_any_point_goes_on() {
    every_point(AUDITOR, Attested::By(ONE_AUDITOR));
}

#[test]
fn a_seller_that_asks_attesters_stopped_at_any_point_goes_on() {
    every_point(SELLER, Attested::By(ONE_AUDITOR));
}
