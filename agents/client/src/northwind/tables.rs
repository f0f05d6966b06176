//! The tables as typed rows, with their references checked.

use std::collections::BTreeMap;
use std::path::Path;

use super::row::{self, Column, Shape};
use super::{NorthwindError, decimal};

#[derive(Debug, Clone)]
pub struct Category {
    pub id: u32,
    pub name: String,
    pub description: String,
}

#[derive(Debug, Clone)]
pub struct Shipper {
    pub id: u32,
    pub name: String,
    pub telephone: Option<String>,
}

/// Where a company is. Missing parts are `None`.
#[derive(Debug, Clone)]
pub struct Address {
    pub street: Option<String>,
    pub city: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Contact {
    pub name: Option<String>,
    pub title: Option<String>,
    pub telephone: Option<String>,
    pub fax: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Customer {
    pub id: String,
    pub name: String,
    pub contact: Contact,
    pub address: Address,
}

#[derive(Debug, Clone)]
pub struct Supplier {
    pub id: u32,
    pub name: String,
    pub contact: Contact,
    pub address: Address,
    pub home_page: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Product {
    pub id: u32,
    pub name: String,
    pub supplier: u32,
    pub category: u32,
    pub quantity_per_unit: String,
    /// In minor units.
    pub unit_price: i64,
    pub units_in_stock: u32,
    pub units_on_order: u32,
    pub reorder_level: u32,
    pub discontinued: bool,
}

#[derive(Debug, Clone)]
pub struct Order {
    pub id: u32,
    pub customer: String,
    pub employee: u32,
    /// RFC 3339 texts, in UTC.
    pub ordered_at: String,
    pub required_at: Option<String>,
    pub shipped_at: Option<String>,
    pub shipper: u32,
    /// In minor units.
    pub freight: i64,
    pub ship_name: String,
    pub ship_to: Address,
    /// In the order of the file; never empty.
    pub lines: Vec<OrderLine>,
}

#[derive(Debug, Clone)]
pub struct OrderLine {
    pub product: u32,
    /// In minor units.
    pub unit_price: i64,
    pub quantity: u32,
    pub discount_bps: u32,
    /// In minor units, after the discount.
    pub total: i64,
}

/// The whole company. Every reference between its tables leads somewhere.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub categories: BTreeMap<u32, Category>,
    pub shippers: BTreeMap<u32, Shipper>,
    pub suppliers: BTreeMap<u32, Supplier>,
    pub customers: BTreeMap<String, Customer>,
    pub products: BTreeMap<u32, Product>,
    pub orders: BTreeMap<u32, Order>,
}

use Shape::{
    Amount, Blob, Country, CustomerCode, Date, DateOrNull, Flag, Number, PostalCode, Telephone, Text, Word,
};

const CATEGORIES: [Column; 4] =
    [("CategoryID", Number), ("CategoryName", Word), ("Description", Text), ("Picture", Blob)];
const SHIPPERS: [Column; 3] = [("ShipperID", Number), ("CompanyName", Text), ("Phone", Telephone)];
const CUSTOMERS: [Column; 11] = [
    ("CustomerID", CustomerCode),
    ("CompanyName", Text),
    ("ContactName", Word),
    ("ContactTitle", Word),
    ("Address", Text),
    ("City", Word),
    ("Region", Word),
    ("PostalCode", PostalCode),
    ("Country", Country),
    ("Phone", Telephone),
    ("Fax", Telephone),
];
const SUPPLIERS: [Column; 12] = [
    ("SupplierID", Number),
    ("CompanyName", Text),
    ("ContactName", Word),
    ("ContactTitle", Word),
    ("Address", Text),
    ("City", Word),
    ("Region", Word),
    ("PostalCode", PostalCode),
    ("Country", Country),
    ("Phone", Telephone),
    ("Fax", Telephone),
    ("HomePage", Word),
];
const PRODUCTS: [Column; 10] = [
    ("ProductID", Number),
    ("ProductName", Text),
    ("SupplierID", Number),
    ("CategoryID", Number),
    ("QuantityPerUnit", Text),
    ("UnitPrice", Amount),
    ("UnitsInStock", Number),
    ("UnitsOnOrder", Number),
    ("ReorderLevel", Number),
    ("Discontinued", Flag),
];
const ORDERS: [Column; 14] = [
    ("OrderID", Number),
    ("CustomerID", CustomerCode),
    ("EmployeeID", Number),
    ("OrderDate", Date),
    ("RequiredDate", DateOrNull),
    ("ShippedDate", DateOrNull),
    ("ShipVia", Number),
    ("Freight", Amount),
    ("ShipName", Text),
    ("ShipAddress", Text),
    ("ShipCity", Word),
    ("ShipRegion", Word),
    ("ShipPostalCode", PostalCode),
    ("ShipCountry", Country),
];
const ORDER_LINES: [Column; 5] = [
    ("OrderID", Number),
    ("ProductID", Number),
    ("UnitPrice", Amount),
    ("Quantity", Number),
    ("Discount", Amount),
];

impl Dataset {
    /// Reads the seven files of `folder`.
    ///
    /// # Errors
    /// [`NorthwindError`] with the file and line of the first row that cannot be read, that repeats an id, or that
    /// refers to a row that is not there. No row is ever left out.
    pub fn read(folder: &Path) -> Result<Self, NorthwindError> {
        let categories = Table::read(folder, "categories.csv", &CATEGORIES)?.rows(|row| {
            let id = row.number(0)?;
            Ok((id, Category { id, name: row.text(1), description: row.text(2) }))
        })?;
        let shippers = Table::read(folder, "shippers.csv", &SHIPPERS)?.rows(|row| {
            let id = row.number(0)?;
            Ok((id, Shipper { id, name: row.text(1), telephone: row.optional(2) }))
        })?;
        let suppliers = Table::read(folder, "suppliers.csv", &SUPPLIERS)?.rows(|row| {
            let id = row.number(0)?;
            let supplier = Supplier {
                id,
                name: row.text(1),
                contact: row.contact(2, 9),
                address: row.address(4),
                home_page: row.optional(11),
            };
            Ok((id, supplier))
        })?;
        let customers = Table::read(folder, "customers.csv", &CUSTOMERS)?.rows(|row| {
            let id = row.text(0);
            Ok((
                id.clone(),
                Customer { id, name: row.text(1), contact: row.contact(2, 9), address: row.address(4) },
            ))
        })?;
        let products = Table::read(folder, "products.csv", &PRODUCTS)?.rows(|row| {
            let product = product(row)?;
            known(suppliers.contains_key(&product.supplier), "SupplierID", product.supplier)?;
            known(categories.contains_key(&product.category), "CategoryID", product.category)?;
            Ok((product.id, product))
        })?;
        let mut orders = Table::read(folder, "orders.csv", &ORDERS)?.rows(|row| {
            let order = order(row)?;
            known(customers.contains_key(&order.customer), "CustomerID", &order.customer)?;
            known(shippers.contains_key(&order.shipper), "ShipVia", order.shipper)?;
            Ok((order.id, order))
        })?;
        let lines = Table::read(folder, "order-details.csv", &ORDER_LINES)?;
        lines.rows(|row| {
            let (order_id, line) = order_line(row)?;
            known(products.contains_key(&line.product), "ProductID", line.product)?;
            let order = orders
                .get_mut(&order_id)
                .ok_or_else(|| format!("OrderID {order_id} is not in orders.csv"))?;
            let product = line.product;
            let sum = order.total().and_then(|total| total.checked_add(line.total));
            sum.ok_or_else(|| format!("the total of order {order_id} overflows"))?;
            order.lines.push(line);
            Ok(((order_id, product), ()))
        })?;
        if let Some(empty) = orders.values().find(|order| order.lines.is_empty()) {
            let problem = format!("order {} has no lines", empty.id);
            return Err(NorthwindError::Row { file: folder.join("order-details.csv"), line: 1, problem });
        }
        Ok(Self { categories, shippers, suppliers, customers, products, orders })
    }

    /// How many order lines all orders have together.
    pub fn order_lines(&self) -> usize {
        self.orders.values().map(|order| order.lines.len()).sum()
    }
}

impl Order {
    /// Its lines after their discounts, without freight; `None` when the sum overflows, which no order read from files
    /// does.
    pub fn total(&self) -> Option<i64> {
        self.lines.iter().try_fold(0_i64, |sum, line| sum.checked_add(line.total))
    }
}

fn known(is_known: bool, column: &str, id: impl std::fmt::Display) -> Result<(), String> {
    if is_known { Ok(()) } else { Err(format!("{column} {id} is not in its table")) }
}

fn product(row: &Row) -> Result<Product, String> {
    Ok(Product {
        id: row.number(0)?,
        name: row.text(1),
        supplier: row.number(2)?,
        category: row.number(3)?,
        quantity_per_unit: row.text(4),
        unit_price: row.amount(5, 2)?,
        units_in_stock: row.number(6)?,
        units_on_order: row.number(7)?,
        reorder_level: row.number(8)?,
        discontinued: row.text(9) == "1",
    })
}

fn order(row: &Row) -> Result<Order, String> {
    Ok(Order {
        id: row.number(0)?,
        customer: row.text(1),
        employee: row.number(2)?,
        ordered_at: row.instant(3).ok_or("OrderDate is missing")?,
        required_at: row.instant(4),
        shipped_at: row.instant(5),
        shipper: row.number(6)?,
        freight: row.amount(7, 2)?,
        ship_name: row.text(8),
        ship_to: row.address(9),
        lines: Vec::new(),
    })
}

fn order_line(row: &Row) -> Result<(u32, OrderLine), String> {
    let (unit_price, quantity) = (row.amount(2, 2)?, row.number(3)?);
    let discount_bps =
        u32::try_from(row.amount(4, 4)?).ok().filter(|bps| *bps <= 10_000).ok_or("Discount is above 1")?;
    let total = decimal::line_total(unit_price, quantity.into(), discount_bps.into())
        .ok_or("the line's total overflows")?;
    Ok((row.number(0)?, OrderLine { product: row.number(1)?, unit_price, quantity, discount_bps, total }))
}

/// One file: its lines split into fields.
struct Table {
    file: std::path::PathBuf,
    rows: Vec<Row>,
}

struct Row {
    line: usize,
    fields: Vec<String>,
}

impl Table {
    fn read(folder: &Path, name: &str, columns: &[Column]) -> Result<Self, NorthwindError> {
        let file = folder.join(name);
        let text = std::fs::read_to_string(&file)
            .map_err(|source| NorthwindError::Io { file: file.clone(), source })?;
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().enumerate();
        let expected = columns.iter().map(|(heading, _)| *heading).collect::<Vec<_>>().join(",");
        if lines.next().is_none_or(|(_, heading)| heading != expected) {
            return Err(NorthwindError::Heading { file, expected });
        }
        let mut rows = Vec::new();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
            match row::fields(line, columns) {
                Ok(fields) => rows.push(Row { line: at + 1, fields }),
                Err(problem) => return Err(NorthwindError::Row { file, line: at + 1, problem }),
            }
        }
        Ok(Self { file, rows })
    }

    /// Each row by its id; a repeated id is an error.
    fn rows<K: Ord, T>(
        &self,
        mut read: impl FnMut(&Row) -> Result<(K, T), String>,
    ) -> Result<BTreeMap<K, T>, NorthwindError> {
        let mut rows = BTreeMap::new();
        for row in &self.rows {
            let placed = read(row).and_then(|(id, value)| match rows.insert(id, value) {
                None => Ok(()),
                Some(_) => Err("the id was used in an earlier line".to_owned()),
            });
            placed.map_err(|problem| NorthwindError::Row {
                file: self.file.clone(),
                line: row.line,
                problem,
            })?;
        }
        Ok(rows)
    }
}

impl Row {
    fn text(&self, at: usize) -> String {
        self.fields[at].clone()
    }
    fn optional(&self, at: usize) -> Option<String> {
        Some(&self.fields[at]).filter(|field| !row::is_null(field)).cloned()
    }
    fn number(&self, at: usize) -> Result<u32, String> {
        self.fields[at].parse().map_err(|_| format!("{:?} is not a number", self.fields[at]))
    }
    fn amount(&self, at: usize, places: usize) -> Result<i64, String> {
        decimal::scaled(&self.fields[at], places)
            .ok_or_else(|| format!("{:?} has more than {places} decimals", self.fields[at]))
    }
    /// `1996-07-04 00:00:00.000` as `1996-07-04T00:00:00.000Z`: the files name no time zone.
    fn instant(&self, at: usize) -> Option<String> {
        self.optional(at).map(|text| format!("{}Z", text.replace(' ', "T")))
    }
    fn address(&self, at: usize) -> Address {
        let [street, city, region, postal_code, country] =
            std::array::from_fn(|part| self.optional(at + part));
        Address { street, city, region, postal_code, country }
    }
    fn contact(&self, name: usize, telephone: usize) -> Contact {
        Contact {
            name: self.optional(name),
            title: self.optional(name + 1),
            telephone: self.optional(telephone),
            fax: self.optional(telephone + 1),
        }
    }
}
