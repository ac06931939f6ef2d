//! The made-up table of customers that the guide uses: `cargo run --example customers -- customers.csv` writes it to a file.

use std::path::Path;

fn main() -> narrows::Result<()> {
    let text = narrows_datasets::customers_csv();
    match std::env::args().nth(1) {
        Some(path) => narrows::base::atomic_file::write(Path::new(&path), text.as_bytes()),
        None => {
            text.lines().take(6).for_each(|line| println!("{line}"));
            println!("... {} rows; name a file to write them to", narrows_datasets::customers().rows.rows());
            Ok(())
        }
    }
}
