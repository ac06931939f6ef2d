//! A network and its random-initialisation baseline.

use narrows::base::text::escaped;
use narrows::experiments::random_baseline::RandomBaseline;

use super::table;

/// A table with a line for each seed, and the verdict.
pub fn table(random: &RandomBaseline) -> anyhow::Result<()> {
    let (header, rows) = random.table("this");
    table::table(&header, &rows)?;
    let verdict = crate::shared::flags_of_hints::with_flags(&random.verdict());
    table::line(format!("\n{}\n", escaped(&verdict)))
}
