//! The data set as a list of events, the same on every run.

use serde::Serialize;
use ves::{EventId, Hasher};

use super::payload::{
    CompanyCreated, CustomerCreated, Nothing, OrderCreated, OrderShipped, ProductCreated, StockInitialized,
};
use super::tables::Dataset;

/// Customers, suppliers and products carry no date; they are in place when the first order comes (4 July 1996).
const MASTER_DATA_CREATED_AT: &str = "1996-07-01T00:00:00.000Z";

/// Where all stock is: the files name one place.
const STOCK_LOCATION: &str = "default";

/// One event, not yet signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEvent {
    pub event_id: EventId,
    pub entity_type: &'static str,
    pub entity_id: String,
    pub event_type: &'static str,
    /// RFC 3339, from the data.
    pub created_at: String,
    /// JSON.
    pub payload: String,
}

impl ImportEvent {
    fn new(
        entity_type: &'static str,
        entity_id: &str,
        event_type: &'static str,
        created_at: &str,
        payload: &impl Serialize,
    ) -> Self {
        Self {
            event_id: event_id(event_type, entity_id),
            entity_type,
            entity_id: entity_id.to_owned(),
            event_type,
            created_at: created_at.to_owned(),
            payload: serde_json::to_string(payload).expect("the payload types serialise to JSON"),
        }
    }
}

/// A version 8 UUID made of the hash of data set, event type and entity id: the same event always has the same id.
fn event_id(event_type: &str, entity_id: &str) -> EventId {
    let hash = Hasher::bare().str("stateset import northwind").str(event_type).str(entity_id).finish();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    EventId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

impl Dataset {
    /// Suppliers, products with their stock, and customers, then what happened to the orders by date: created before shipped.
    pub fn events(&self) -> Vec<ImportEvent> {
        let mut events = Vec::new();
        for supplier in self.suppliers.values() {
            let payload = CompanyCreated {
                company_name: &supplier.name,
                contact: (&supplier.contact).into(),
                address: (&supplier.address).into(),
                home_page: supplier.home_page.as_deref(),
            };
            let id = supplier.id.to_string();
            events.push(ImportEvent::new(
                "supplier",
                &id,
                "supplier.created",
                MASTER_DATA_CREATED_AT,
                &payload,
            ));
        }
        events.extend(self.product_events());
        for customer in self.customers.values() {
            let payload = CustomerCreated::from(customer);
            events.push(ImportEvent::new(
                "customer",
                &customer.id,
                "customer.created",
                MASTER_DATA_CREATED_AT,
                &payload,
            ));
        }
        events.extend(self.order_events());
        events
    }

    /// Each product with its stock; what is no longer sold is deactivated.
    fn product_events(&self) -> Vec<ImportEvent> {
        let mut events = Vec::new();
        let at = MASTER_DATA_CREATED_AT;
        for product in self.products.values() {
            let (id, payload) = (product.id.to_string(), ProductCreated::new(product, self));
            events.push(ImportEvent::new("product", &id, "product.created", at, &payload));
            if product.discontinued {
                events.push(ImportEvent::new("product", &id, "product.deactivated", at, &Nothing {}));
            }
            let stock =
                StockInitialized { quantity: product.units_in_stock, reorder_point: product.reorder_level };
            let id = format!("{id}:{STOCK_LOCATION}");
            events.push(ImportEvent::new("inventory", &id, "inventory.initialized", at, &stock));
        }
        events
    }

    fn order_events(&self) -> Vec<ImportEvent> {
        let mut events = Vec::new();
        for order in self.orders.values() {
            let id = order.id.to_string();
            events.push(ImportEvent::new(
                "order",
                &id,
                "order.created",
                &order.ordered_at,
                &OrderCreated::new(order, self),
            ));
            if let Some(shipped_at) = &order.shipped_at {
                let shipper = &self.shippers[&order.shipper];
                let payload = OrderShipped {
                    shipped_at,
                    shipper: &shipper.name,
                    shipper_telephone: shipper.telephone.as_deref(),
                };
                // The files tell of no step between; an order goes one step at a time.
                for step in ["order.confirmed", "order.processing"] {
                    events.push(ImportEvent::new("order", &id, step, shipped_at, &Nothing {}));
                }
                events.push(ImportEvent::new("order", &id, "order.shipped", shipped_at, &payload));
            }
        }
        // The sort is stable: on one day, orders keep their numbers' order, and creation precedes shipping.
        events.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        events
    }
}
