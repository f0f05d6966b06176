//! Proofs, payments and keys: what the running service alone answers.

use serde_json::{Value, json};
use stateset_client::{Client, EventProof, Trusted};
use stateset_mcp::{PaymentOrder, PortError, Service};
use stateset_sync::Author;
use ves::x402::{Asset, Binding, Network, Terms, TokenAddress, TokenTable};
use ves::{EventId, StreamKey};
use ves_wire::payments::SubmitPayment;

use crate::outbox::client_error;

/// The service of one agent.
pub struct Remote {
    client: Client,
    author: Author,
    stream: StreamKey,
}

impl Remote {
    pub fn new(client: Client, author: Author, stream: StreamKey) -> Self {
        Self { client, author, stream }
    }

    /// The contract that the payer signs. A service may know more tokens than the protocol's table, as a local chain has; it
    /// may not say another contract for one that is in it.
    fn token(&self, network: Network, asset: Asset) -> Result<TokenAddress, PortError> {
        let networks = self.client.payment_networks().map_err(|error| client_error(&error))?.networks;
        let with_asset = networks.iter().filter_map(|known| {
            let of_asset = known.assets.iter().find(|known| known.asset == asset.text())?;
            Some((known.network.as_str(), of_asset))
        });
        let with_asset: Vec<_> = with_asset.collect();
        let of_network = with_asset.iter().find(|(name, _)| *name == network.text());
        let said: TokenAddress =
            of_network.and_then(|(_, known)| known.token_address.parse().ok()).ok_or_else(|| {
                let names: Vec<&str> = with_asset.iter().map(|(name, _)| *name).collect();
                let elsewhere = match names.as_slice() {
                    [] => "the service pays it on no network".to_owned(),
                    names => format!("it is on {}", names.join(", ")),
                };
                let said = format!("{} is not paid on {}: {elsewhere}", asset.text(), network.text());
                PortError::lasting("asset_not_known", said)
            })?;
        match TokenTable::default().get(network, asset) {
            Some(known) if known != said => Err(PortError::lasting(
                "server_not_believed",
                format!(
                    "the service names {} as the contract of {}, which is {}",
                    said.checksummed(),
                    asset.text(),
                    known.checksummed()
                ),
            )),
            _ => Ok(said),
        }
    }
}

impl Service for Remote {
    fn proof(&self, event: EventId) -> Result<Value, PortError> {
        let failed = |error| client_error(&error);
        let keys = self.client.signing_keys(&self.stream).map_err(failed)?;
        let pulled = self.client.event(&self.stream, &event, &keys).map_err(failed)?;
        let proof = self.client.proof_of(&pulled, &keys).map_err(failed)?;
        serde_json::to_value(&proof).map_err(|error| PortError::lasting("internal", error.to_string()))
    }

    fn verify(&self, proof: &str) -> Result<Value, PortError> {
        let bad = |problem: &dyn std::fmt::Display| PortError::lasting("bad_proof", problem.to_string());
        let proof = EventProof::parse(proof).map_err(|problem| bad(&problem))?;
        let identity = self.client.identity().map_err(|error| client_error(&error))?;
        let key = identity.current_key().map_err(|problem| bad(&problem))?;
        let trusted = Trusted { sequencer_key: Some(*key.as_bytes()), ..Trusted::default() };
        let verdict = proof.verify(&trusted).map_err(|problem| bad(&problem))?;
        let holds = verdict.findings.iter().all(|finding| finding.holds());
        Ok(json!({"holds": holds, "findings": verdict.findings}))
    }

    fn payable(&self, order: &PaymentOrder) -> Result<(), PortError> {
        let (network, asset) = named(order)?;
        self.token(network, asset).map(drop)
    }

    fn pay(&self, order: &PaymentOrder) -> Result<Value, PortError> {
        let (network, asset) = named(order)?;
        let terms = Terms {
            payer: ves::hex::encode_0x(&self.author.signer.public_key()),
            payee: order.payee_address.clone(),
            amount: order.amount,
            asset,
            network,
            valid_until_s: order.valid_until_s,
            nonce: order.nonce,
        };
        let token = self.token(network, asset)?;
        let binding = Binding { stream: self.stream, token, resource_uri: None, order_id: order.order_id };
        let bad = || PortError::lasting("bad_address", "payee_address is no address");
        let hash = terms.signing_hash_v2(&binding).ok_or_else(bad)?;
        let signature = self.author.signer.sign(&hash.0);
        let signature = signature.map_err(|error| PortError::passing("signing_failed", error.to_string()))?;
        // Through JSON, so that members of a newer service that are optional stay out.
        let body = json!({
            "tenant_id": self.stream.tenant_id,
            "store_id": self.stream.store_id,
            "agent_id": self.author.agent_id,
            "agent_key_id": self.author.key_id.0,
            "payer_address": terms.payer,
            "payee_address": terms.payee,
            "amount": terms.amount.to_string(),
            "asset": asset.text(),
            "network": network.text(),
            "valid_until": terms.valid_until_s,
            "nonce": terms.nonce,
            "signing_hash": ves::hex::encode(&hash.0),
            "payer_signature": ves::hex::encode(&signature),
            "idempotency_key": order.idempotency_key,
            "order_id": order.order_id,
            "description": order.description,
        });
        let intent: SubmitPayment = serde_json::from_value(body)
            .map_err(|error| PortError::lasting("bad_payment", error.to_string()))?;
        json_of(self.client.submit_payment(&intent))
    }

    fn payment(&self, intent: uuid::Uuid) -> Result<Value, PortError> {
        json_of(self.client.payment(&intent))
    }

    fn payment_receipt(&self, intent: uuid::Uuid) -> Result<Value, PortError> {
        match self.client.payment_receipt(&intent) {
            // There is none, or none yet: the payment itself says which.
            Err(error) if error.is_not_found() => {
                self.payment(intent)?;
                Err(PortError::passing("not_batched", "the intent is in no batch yet; ask again later"))
            }
            answer => json_of(answer),
        }
    }

    fn keys(&self) -> Result<Value, PortError> {
        json_of(self.client.keys(&self.stream.tenant_id, Some(&self.author.agent_id)))
    }
}

/// Network and asset of an order, by their names.
fn named(order: &PaymentOrder) -> Result<(Network, Asset), PortError> {
    let unknown = |what: &str, name: &str| PortError::lasting("not_known", format!("{name:?} is no {what}"));
    let network = Network::from_text(&order.network).ok_or_else(|| unknown("network", &order.network))?;
    let asset = Asset::from_name(&order.asset).ok_or_else(|| unknown("asset", &order.asset))?;
    Ok((network, asset))
}

fn json_of<T: serde::Serialize>(answer: Result<T, stateset_client::ClientError>) -> Result<Value, PortError> {
    let answer = answer.map_err(|error| client_error(&error))?;
    serde_json::to_value(answer).map_err(|error| PortError::lasting("internal", error.to_string()))
}
