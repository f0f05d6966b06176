//! Recovers the fields of a line whose text may hold commas without quotes.
//!
//! Every way to join neighbouring pieces back into fields is tried, in the columns that may hold a comma. A reading
//! stands when each of its fields has the shape of its column: numbers, dates, postal codes, telephone numbers and
//! known countries anchor it from both sides, and no field begins with a blank (`Rua do Paço, 67` is one field).
//! A line with exactly one reading is accepted; a line with none, or with two, is an error. Nothing is guessed.

/// What the text of a column looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 1 to 9 digits.
    Number,
    /// Five capital letters.
    CustomerCode,
    /// Digits, with up to four decimals.
    Amount,
    /// `1996-07-04 00:00:00.000`.
    Date,
    /// [`Shape::Date`] or missing.
    DateOrNull,
    /// `0` or `1`.
    Flag,
    /// Text that never holds a comma.
    Word,
    /// Text that may hold commas.
    Text,
    PostalCode,
    Telephone,
    /// A country of the sample company; checked where commas make the line ambiguous.
    Country,
    /// `0x` and hex digits.
    Blob,
}

/// One column: its heading and its shape.
pub type Column = (&'static str, Shape);

/// More unquoted commas than this in one line are not believed.
const EXTRA_COMMAS_MAX: usize = 12;

/// Where the sample company has customers and suppliers, in the spelling of its files.
const COUNTRIES: [&str; 26] = [
    "Argentina",
    "Australia",
    "Austria",
    "Belgium",
    "Brazil",
    "Canada",
    "Denmark",
    "Finland",
    "France",
    "Germany",
    "Ireland",
    "Italy",
    "Japan",
    "Mexico",
    "Netherlands",
    "Norway",
    "Poland",
    "Portugal",
    "Singapore",
    "Spain",
    "Sweden",
    "Switzerland",
    "UK",
    "USA",
    "United Kingdom",
    "Venezuela",
];

/// The value of a field that says it is missing.
pub fn is_null(field: &str) -> bool {
    field.is_empty() || field == "NULL"
}

/// The fields of `line`, one for each of `columns`.
///
/// # Errors
/// A sentence that says why the line has no single reading.
pub fn fields(line: &str, columns: &[Column]) -> Result<Vec<String>, String> {
    if line.contains('"') {
        return quoted_fields(line, columns);
    }
    let pieces: Vec<&str> = line.split(',').collect();
    if pieces.len() < columns.len() {
        return Err(format!("{} fields where {} are expected", pieces.len(), columns.len()));
    }
    if pieces.len() - columns.len() > EXTRA_COMMAS_MAX {
        return Err(format!("{} commas more than columns", pieces.len() - columns.len()));
    }
    let mut search = Search {
        pieces: &pieces,
        columns,
        anchored: pieces.len() > columns.len(),
        readings: Vec::new(),
        deepest: 0,
    };
    search.place(0, 0, &mut Vec::new());
    match search.readings.len() {
        1 => Ok(search.readings.remove(0)),
        0 => {
            let (heading, shape) = columns[search.deepest.min(columns.len() - 1)];
            Err(format!("no reading fits: column {heading} should be {shape:?}"))
        }
        _ => Err("the commas in it allow more than one reading; put the text that holds commas in quotes"
            .to_owned()),
    }
}

struct Search<'a> {
    pieces: &'a [&'a str],
    columns: &'a [Column],
    anchored: bool,
    /// At most two are kept: the second already makes the line ambiguous.
    readings: Vec<Vec<String>>,
    /// The furthest column that was reached, to name it in an error.
    deepest: usize,
}

impl Search<'_> {
    /// Places column `column` at piece `piece`, in every way that leaves enough pieces for the columns after it.
    fn place(&mut self, column: usize, piece: usize, placed: &mut Vec<String>) {
        if self.readings.len() > 1 {
            return;
        }
        self.deepest = self.deepest.max(column);
        let Some((_, shape)) = self.columns.get(column) else {
            if piece == self.pieces.len() {
                self.readings.push(placed.clone());
            }
            return;
        };
        let columns_after = self.columns.len() - column - 1;
        let pieces_left = self.pieces.len() - piece;
        let longest = if *shape == Shape::Text { pieces_left.saturating_sub(columns_after) } else { 1 };
        for length in 1..=longest.min(pieces_left) {
            let field = self.pieces[piece..piece + length].join(",");
            if shape.fits(&field, self.anchored) {
                placed.push(field);
                self.place(column + 1, piece + length, placed);
                placed.pop();
            }
        }
    }
}

impl Shape {
    /// Whether `field` can stand in a column of this shape. `anchored`: the line holds commas inside text.
    fn fits(self, field: &str, anchored: bool) -> bool {
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if field.starts_with(' ') {
            return false;
        }
        match self {
            Self::Number => digits(field, 9),
            Self::CustomerCode => field.len() == 5 && field.bytes().all(|b| b.is_ascii_uppercase()),
            Self::Amount => super::decimal::scaled(field, 4).is_some(),
            Self::Date => is_date(field),
            Self::DateOrNull => is_null(field) || is_date(field),
            Self::Flag => matches!(field, "0" | "1"),
            Self::Word => !anchored || !field.contains(','),
            Self::Text => true,
            Self::PostalCode => {
                is_null(field)
                    || field.len() <= 12
                        && field.bytes().all(|b| b.is_ascii_alphanumeric() || b" -".contains(&b))
            }
            Self::Telephone => {
                is_null(field) || field.bytes().all(|b| b.is_ascii_digit() || b" ()-.+".contains(&b))
            }
            Self::Country => !anchored || COUNTRIES.contains(&field),
            Self::Blob => {
                is_null(field)
                    || field.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            }
        }
    }
}

/// `1996-07-04 00:00:00.000`: a date with a time of day.
fn is_date(field: &str) -> bool {
    field.len() == 23
        && field.is_ascii()
        && field.as_bytes()[10] == b' '
        && ves::time::is_rfc3339(&format!("{}Z", field.replace(' ', "T")))
}

/// A line written by a program that does quote (RFC 4180). No commas are left over, so nothing is recovered.
fn quoted_fields(line: &str, columns: &[Column]) -> Result<Vec<String>, String> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut rest = line;
    loop {
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let end = rest.find('"').ok_or("a quote is not closed")?;
                field.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('"') {
                    Some(after) => {
                        field.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(',').ok_or("text follows a closing quote")?;
    }
    if fields.len() != columns.len() {
        return Err(format!("{} fields where {} are expected", fields.len(), columns.len()));
    }
    match columns.iter().zip(&fields).find(|((_, shape), field)| !shape.fits(field, false)) {
        Some(((heading, shape), _)) => Err(format!("column {heading} should be {shape:?}")),
        None => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: [Column; 5] = [
        ("Id", Shape::Number),
        ("Name", Shape::Text),
        ("Street", Shape::Text),
        ("City", Shape::Word),
        ("Country", Shape::Country),
    ];

    #[test]
    fn a_comma_with_a_blank_belongs_to_its_text() {
        let read = |line| fields(line, &PLACE).unwrap();
        assert_eq!(read("1,Hanari Carnes,Rua do Paço, 67,Rio de Janeiro,Brazil")[2], "Rua do Paço, 67");
        assert_eq!(read("2,Pavlova, Ltd.,74 Rose St.,Melbourne,Australia")[1], "Pavlova, Ltd.");
        assert_eq!(
            read("3,G'day, Mate,2, rue du Commerce,Lyon,France"),
            ["3", "G'day, Mate", "2, rue du Commerce", "Lyon", "France"]
        );
    }

    #[test]
    fn a_line_with_two_readings_is_refused() {
        assert!(
            fields("1,Hanari Carnes,Rua do Paço,67,Rio de Janeiro,Brazil", &PLACE)
                .unwrap_err()
                .contains("more than one")
        );
    }

    #[test]
    fn a_line_that_fits_nothing_names_a_column() {
        assert!(fields("1,a,b,c", &PLACE).unwrap_err().contains("4 fields"));
        assert!(fields("x,a,b,c,Spain", &PLACE).unwrap_err().contains("Id"));
        assert!(fields("1,a,b, c,d,Nowhere", &PLACE).unwrap_err().contains("Country"));
    }

    #[test]
    fn quotes_are_honoured_where_they_are_used() {
        let read = fields("1,\"Pavlova, \"\"Ltd.\"\"\",\"Rua,67\",Rio,Brazil", &PLACE).unwrap();
        assert_eq!(read, ["1", "Pavlova, \"Ltd.\"", "Rua,67", "Rio", "Brazil"]);
        assert!(fields("1,\"open,b,c,d", &PLACE).is_err());
        assert!(fields("1,\"a\"b,c,d,e", &PLACE).is_err());
    }
}
