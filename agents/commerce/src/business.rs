//! The business as it describes itself: UCP profile and A2A card.

use serde_json::{Map, Value, json};

use crate::constraint::Merchant;
use crate::jose::{JoseError, SigningKey};
use crate::versions::{A2A_VERSIONS, AP2_VERSION, UCP_VERSION, capabilities};

/// Name of the payment handler, and its only id here.
pub const HANDLER: &str = "com.stateset.x402";
pub const HANDLER_ID: &str = "x402";
/// Paths below the business's address.
pub const REST_PATH: &str = "/ucp/v1";
pub const A2A_PATH: &str = "/a2a";
pub const CARD_PATH: &str = "/.well-known/agent-card.json";
pub const PROFILE_PATH: &str = "/.well-known/ucp";

/// Who sells, and where.
#[derive(Debug)]
pub struct Business {
    /// `website` is where clients find it, without a slash at the end.
    pub merchant: Merchant,
    pub description: String,
    /// Signs checkouts, receipts and the card.
    pub key: SigningKey,
}

impl Business {
    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.merchant.website)
    }

    /// The document at `/.well-known/ucp`. `handler` is what the payment handler is set to.
    pub fn profile(&self, handler: Value) -> Value {
        let service = |transport: &str, endpoint: String| {
            json!({
                "version": UCP_VERSION, "transport": transport, "endpoint": endpoint,
                "spec": format!("https://ucp.dev/{UCP_VERSION}/specification/overview"),
            })
        };
        let mut rest = service("rest", self.url(REST_PATH));
        rest["schema"] =
            Value::from(format!("https://ucp.dev/{UCP_VERSION}/services/shopping/rest.openapi.json"));
        json!({
            "ucp": {
                "version": UCP_VERSION,
                "services": {"dev.ucp.shopping": [rest, service("a2a", self.url(CARD_PATH))]},
                "capabilities": capabilities(true),
                "payment_handlers": handlers(handler),
            },
            "keys": [self.key.public().to_jwk()],
        })
    }

    /// The card at `/.well-known/agent-card.json`, signed over its canonical form without `signatures`.
    ///
    /// # Errors
    /// [`JoseError::Signing`].
    ///
    /// # Source
    /// A2A 1.0, sections 4.4 and 8.4.
    pub fn card(&self) -> Result<Value, JoseError> {
        let mut card = json!({
            "name": self.merchant.name,
            "description": self.description,
            "version": env!("CARGO_PKG_VERSION"),
            "supportedInterfaces": A2A_VERSIONS.iter().map(|version| json!({
                "url": self.url(A2A_PATH), "protocolBinding": "HTTP+JSON", "protocolVersion": version,
            })).collect::<Vec<_>>(),
            "provider": {"organization": self.merchant.name, "url": self.merchant.website},
            "capabilities": {
                "streaming": false,
                "pushNotifications": false,
                "extendedAgentCard": false,
                "extensions": [{
                    "uri": format!("https://ucp.dev/{UCP_VERSION}/specification/reference"),
                    "description": "Checkout sessions of the Universal Commerce Protocol",
                    "required": true,
                    "params": {"capabilities": capabilities(false)},
                }],
            },
            "defaultInputModes": ["application/json"],
            "defaultOutputModes": ["application/json"],
            "skills": skills(),
        });
        let payload = ves::json::to_canonical(&card).map_err(|_| JoseError::Signing)?;
        let header = [("typ", "JOSE"), ("jku", &*self.url(PROFILE_PATH))];
        let signed = self.key.sign(&header, payload.as_bytes())?;
        let mut parts = signed.split('.');
        let (protected, signature) = (parts.next(), parts.nth(1));
        card["signatures"] = json!([{"protected": protected, "signature": signature}]);
        Ok(card)
    }
}

/// The registry of payment handlers: one.
pub fn handlers(config: Value) -> Map<String, Value> {
    let handler = json!([{
        "id": HANDLER_ID, "version": UCP_VERSION, "available_instruments": [{"type": "x402"}], "config": config,
    }]);
    Map::from_iter([(HANDLER.to_owned(), handler)])
}

fn skills() -> Value {
    json!([
        {
            "id": "checkout",
            "name": "Checkout",
            "description": "Opens, reads, changes and cancels a checkout session: data parts with action create_checkout, \
                            get_checkout, update_checkout or cancel_checkout",
            "tags": ["checkout", "ucp", "shopping"],
            "examples": [r#"{"action":"create_checkout","checkout":{"line_items":[{"item":{"id":"mug"},"quantity":1}]}}"#],
        },
        {
            "id": "payment",
            "name": "Payment",
            "description": format!(
                "Completes a checkout: action complete_checkout with AP2 {AP2_VERSION} mandates for checkout and payment and \
                 an x402 payment, which is settled after both are verified"
            ),
            "tags": ["payment", "ap2", "x402"],
        },
        {
            "id": "order",
            "name": "Order",
            "description": "Reads the order of a completed checkout with the place of its event in the business's log: \
                            action get_order",
            "tags": ["order", "receipt"],
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Jws, PublicKey, encode};

    fn business() -> Business {
        let merchant = Merchant {
            id: "shop".to_owned(),
            name: "A shop".to_owned(),
            website: "http://127.0.0.1:1".to_owned(),
        };
        Business { merchant, description: "Sells things".to_owned(), key: SigningKey::generate().unwrap().0 }
    }

    #[test]
    fn the_card_is_signed_by_a_key_of_the_profile() {
        let business = business();
        let mut card = business.card().unwrap();
        let signatures = card.as_object_mut().unwrap().remove("signatures").unwrap();
        let text = |name: &str| signatures[0][name].as_str().unwrap().to_owned();
        let payload = ves::json::to_canonical(&card).unwrap();
        let compact = format!("{}.{}.{}", text("protected"), encode(payload.as_bytes()), text("signature"));
        let jws = Jws::parse(&compact).unwrap();
        let profile = business.profile(json!({}));
        assert_eq!(jws.header("jku"), Some("http://127.0.0.1:1/.well-known/ucp"));
        assert_eq!(jws.header("kid"), profile["keys"][0]["kid"].as_str());
        jws.verify(&PublicKey::from_jwk(&profile["keys"][0]).unwrap()).unwrap();
        for required in ["name", "description", "supportedInterfaces", "version", "capabilities", "skills"] {
            assert!(card.get(required).is_some(), "{required}");
        }
    }

    #[test]
    fn every_entry_of_the_profile_has_its_version() {
        let profile = business().profile(json!({"x402Version": 2}));
        let ucp = &profile["ucp"];
        for registry in ["services", "capabilities", "payment_handlers"] {
            for entry in ucp[registry].as_object().unwrap().values().flat_map(|all| all.as_array().unwrap()) {
                assert_eq!(entry["version"], UCP_VERSION, "{entry}");
            }
        }
        assert_eq!(ucp["services"]["dev.ucp.shopping"][0]["endpoint"], "http://127.0.0.1:1/ucp/v1");
    }
}
