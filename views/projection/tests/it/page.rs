//! The page of the book is the table.

use std::path::Path;

#[test]
fn the_page_of_the_book_is_written_from_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/developer/projections.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, stateset_projection::page()).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, stateset_projection::page(), "run UPDATE_GOLDEN=1 cargo test -p stateset-projection");
}
