//! What an entity proposes itself: under a number that it has not used, and until it takes it back.

use stateset_ledger_types::body::OutputState;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::FlowId;

use crate::build::Plan;
use crate::error::NodeError;
use crate::flow::{Input, Phase};
use crate::node::Node;
use crate::vault::{Description, Done, ROWS_MAX, StateFilter, describe};

/// Who issues a state: the first role of its table.
fn issued(state: &OutputState) -> Option<(EntityId, Description)> {
    let said = describe(state)?;
    said.roles.first().map(|(_, issuer)| *issuer).map(|issuer| (issuer, said))
}

impl Node {
    /// Takes back a proposal of this node that others have not signed yet. They are told the reason. Whoever has signed
    /// it holds the states that it would consume until it has expired: a signature that was given away may be used.
    ///
    /// # Errors
    /// [`NodeError::NoFlow`]; [`NodeError::NotWithdrawn`] for a proposal of another, and once all have signed.
    pub fn withdraw(&self, flow_id: &FlowId, reason: &str) -> Result<(), NodeError> {
        let _turn = self.take_turn();
        let flow = self.vault().flow(flow_id)?.ok_or(NodeError::NoFlow(*flow_id))?;
        if flow.from().is_some() || flow.phase != Phase::Collecting {
            let why = if flow.from().is_some() { "another company's" } else { flow.phase.name() };
            return Err(NodeError::NotWithdrawn { flow: *flow_id, why });
        }
        let refusal = Refusal::new(Code::NotAuthorised, format!("withdrawn: {reason}"));
        self.advance(flow, Input::Refused(refusal), Done::Call)?;
        self.bell.ring();
        Ok(())
    }

    /// An issuer uses a number once, for states and for what is proposed: so that a number names one of them.
    pub(crate) fn refuse_number(&self, plan: &Plan) -> Result<(), NodeError> {
        if !plan.inputs.is_empty() {
            return Ok(());
        }
        for output in plan.body.outputs.iter() {
            let Some((issuer, said)) = issued(output) else { continue };
            self.refuse_used(output.type_id, &issuer, &said.number)?;
            self.refuse_proposed(output.type_id, &issuer, &said.number)?;
        }
        Ok(())
    }

    fn refuse_used(&self, type_id: u16, issuer: &EntityId, number: &str) -> Result<(), NodeError> {
        let filter = StateFilter {
            type_id: Some(type_id),
            number: Some(number.to_owned()),
            counterparty: Some(*issuer),
            ..StateFilter::default()
        };
        let held = self.vault().states(&filter, None, ROWS_MAX)?.items;
        let of_issuer = |state| issued(state).is_some_and(|(found, _)| found == *issuer);
        let Some(first) = held.iter().find(|view| of_issuer(&view.state)) else { return Ok(()) };
        let newest = held.iter().rev().find(|view| view.linear_id == first.linear_id);
        let status = newest.and_then(|view| view.status.as_deref()).unwrap_or("?");
        let id = first.linear_id.map(|id| id.to_string()).unwrap_or_default();
        let said = format!("number {number} is used by {id}, which is {status}: choose another");
        Err(Refusal::new(Code::Conflict, said).into())
    }

    fn refuse_proposed(&self, type_id: u16, issuer: &EntityId, number: &str) -> Result<(), NodeError> {
        let vault = self.vault();
        let mut cursor = None;
        loop {
            let page = vault.flows(true, cursor.as_deref(), ROWS_MAX)?;
            for view in &page.items {
                let flow = vault.flow(&view.flow_id)?;
                let body = flow.map(|flow| flow.whole.body.body);
                let same = |state: &OutputState| {
                    state.type_id == type_id
                        && issued(state)
                            .is_some_and(|(found, said)| found == *issuer && said.number == number)
                };
                if body.is_some_and(|body| body.inputs.is_empty() && body.outputs.iter().any(same)) {
                    let said = format!(
                        "number {number} is proposed by flow {}: withdraw that, or choose another",
                        view.flow_id
                    );
                    return Err(Refusal::new(Code::Conflict, said).into());
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}
