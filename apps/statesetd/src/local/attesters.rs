//! Attester policies of a ledger of one machine (network.md 5.4): its founder decides who attests.

use stateset_ledger_types::governance::{Action, AttesterPolicy, AttestersChange};

use super::LocalHome;
use crate::member::read;
use crate::output::Failure;

impl LocalHome {
    /// Who attests under policy `id`; `None` where there is no such policy.
    pub fn attesters(&self, id: u32) -> Result<Option<AttesterPolicy>, Failure> {
        read(&self.founder()?.rpc, &format!("/ssn/gov/attesters/{id}"))
    }

    /// Has `policy` voted in as number `id`, or removes it. Returns the proposal's number.
    pub fn set_attesters(&self, id: u32, policy: Option<AttesterPolicy>) -> Result<u64, Failure> {
        if let Some(policy) = &policy {
            policy.check().map_err(|problem| Failure::input("BAD_QUORUM", problem))?;
        }
        let change = Action::AttestersChange(AttestersChange { id, policy });
        self.carried_out(change).map_err(|failure| match failure.code.as_str() {
            "NOT_ADMITTED" => Failure { code: "REFUSED".to_owned(), ..failure },
            _ => failure,
        })
    }
}
