//! What the events say. Members are named in full; amounts are minor units with their currency and exponent.

use serde::Serialize;

use super::tables::{Address, Contact, Customer, Dataset, Order, OrderLine, Product};

/// The files name no currency; the sample company reckons in US dollars.
const CURRENCY: &str = "USD";
const EXPONENT: u32 = 2;

#[derive(Serialize)]
pub(super) struct Money {
    amount: i64,
    currency: &'static str,
    exponent: u32,
}

fn money(amount: i64) -> Money {
    Money { amount, currency: CURRENCY, exponent: EXPONENT }
}

#[derive(Serialize)]
pub(super) struct Place<'a> {
    street: Option<&'a str>,
    city: Option<&'a str>,
    region: Option<&'a str>,
    postal_code: Option<&'a str>,
    country: Option<&'a str>,
}

impl<'a> From<&'a Address> for Place<'a> {
    fn from(address: &'a Address) -> Self {
        Self {
            street: address.street.as_deref(),
            city: address.city.as_deref(),
            region: address.region.as_deref(),
            postal_code: address.postal_code.as_deref(),
            country: address.country.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Person<'a> {
    name: Option<&'a str>,
    title: Option<&'a str>,
    telephone: Option<&'a str>,
    fax: Option<&'a str>,
}

impl<'a> From<&'a Contact> for Person<'a> {
    fn from(contact: &'a Contact) -> Self {
        Self {
            name: contact.name.as_deref(),
            title: contact.title.as_deref(),
            telephone: contact.telephone.as_deref(),
            fax: contact.fax.as_deref(),
        }
    }
}

/// `supplier.created`.
#[derive(Serialize)]
pub(super) struct CompanyCreated<'a> {
    pub company_name: &'a str,
    pub contact: Person<'a>,
    pub address: Place<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_page: Option<&'a str>,
}

/// `customer.created`.
#[derive(Serialize)]
pub(super) struct CustomerCreated<'a> {
    name: &'a str,
    /// The files have none; every customer needs one. The domain is reserved (RFC 2606), so it reaches nobody.
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    contact: Person<'a>,
    address: Place<'a>,
}

impl<'a> From<&'a Customer> for CustomerCreated<'a> {
    fn from(customer: &'a Customer) -> Self {
        Self {
            name: &customer.name,
            email: format!("{}@northwind.example", customer.id.to_lowercase()),
            phone: customer.contact.telephone.as_deref(),
            contact: (&customer.contact).into(),
            address: (&customer.address).into(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ProductCreated<'a> {
    /// The product's id: the files name no other.
    sku: String,
    name: &'a str,
    supplier_id: String,
    category: &'a str,
    category_description: &'a str,
    quantity_per_unit: &'a str,
    price: Money,
    units_on_order: u32,
}

impl<'a> ProductCreated<'a> {
    pub fn new(product: &'a Product, data: &'a Dataset) -> Self {
        let category = &data.categories[&product.category];
        Self {
            sku: product.id.to_string(),
            name: &product.name,
            supplier_id: product.supplier.to_string(),
            category: &category.name,
            category_description: &category.description,
            quantity_per_unit: &product.quantity_per_unit,
            price: money(product.unit_price),
            units_on_order: product.units_on_order,
        }
    }
}

/// `inventory.initialized`: what is in stock.
#[derive(Serialize)]
pub(super) struct StockInitialized {
    pub quantity: u32,
    pub reorder_point: u32,
}

/// Of events that say all by their type.
#[derive(Serialize)]
pub(super) struct Nothing {}

#[derive(Serialize)]
pub(super) struct OrderCreated<'a> {
    customer_id: &'a str,
    employee_id: String,
    required_at: Option<&'a str>,
    ship_name: &'a str,
    shipping_address: Place<'a>,
    freight: Money,
    /// The lines after their discounts, without freight.
    total_amount: Money,
    line_items: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    product_id: String,
    product_name: &'a str,
    unit_price: Money,
    quantity: u32,
    /// 1/10,000 of the price: 1500 is 15 %.
    discount_basis_points: u32,
    line_total: Money,
}

impl<'a> OrderCreated<'a> {
    pub fn new(order: &'a Order, data: &'a Dataset) -> Self {
        let line = |line: &OrderLine| Line {
            product_id: line.product.to_string(),
            product_name: &data.products[&line.product].name,
            unit_price: money(line.unit_price),
            quantity: line.quantity,
            discount_basis_points: line.discount_bps,
            line_total: money(line.total),
        };
        Self {
            customer_id: &order.customer,
            employee_id: order.employee.to_string(),
            required_at: order.required_at.as_deref(),
            ship_name: &order.ship_name,
            shipping_address: (&order.ship_to).into(),
            freight: money(order.freight),
            total_amount: money(order.total().expect("the total was checked when the order was read")),
            line_items: order.lines.iter().map(line).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct OrderShipped<'a> {
    pub shipped_at: &'a str,
    pub shipper: &'a str,
    pub shipper_telephone: Option<&'a str>,
}
