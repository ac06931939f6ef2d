//! A synthetic table of customers: columns of all kinds, with gaps, made from two hidden traits.

use std::fmt::Write as _;

/// Rows of the table.
pub const ROWS: usize = 5_000;

/// The table as CSV: 5,000 rows, 11 columns, the same text each time. No real person stands behind a row.
///
/// Each customer has two hidden traits, how well off and how active they are. All columns but the identifier follow from them, with
/// noise: income, spending and segment from the first, visits, newsletter and the date of signing up from the second, region from
/// both. About 4 % of the incomes, 2 % of the ages and 3 % of the satisfactions are missing. Ten rows are planted outliers: an
/// income that does not go with the spending.
pub fn csv() -> String {
    let mut random = Random(0x0c05_7043_5eed);
    let mut text = String::from(
        "customer_id,signup_date,age,segment,region,income,spending,visits,newsletter,satisfaction,returns\n",
    );
    for row in 0..ROWS {
        let (wealth, activity) = (random.normal(), random.normal());
        let id = 100_000 + row * 17;
        let days = (2_000.0 * random.uniform().powf((0.4 * activity).exp())) as i64;
        let age = (44.0 + 9.0 * wealth + 9.0 * random.normal()).clamp(18.0, 95.0).round();
        let is_outlier = row % 500 == 250;
        let income =
            (10.4 + 0.45 * wealth + 0.12 * random.normal() + if is_outlier { 1.6 } else { 0.0 }).exp();
        let spending = (6.0 + 0.5 * wealth + 0.35 * activity + 0.15 * random.normal()).exp();
        let visits = (1.2 + 0.7 * activity + 0.2 * random.normal()).exp().round();
        let segment = match wealth + 0.35 * random.normal() {
            value if value < -0.6 => "basic",
            value if value < 0.7 => "plus",
            _ => "premium",
        };
        let regions = ["north", "south", "east", "west", "islands"];
        let region = match (wealth + 0.8 * random.normal(), activity + 0.8 * random.normal()) {
            _ if random.uniform() < 0.006 => regions[4],
            (a, b) if a > 0.0 && b > 0.0 => regions[0],
            (a, _) if a > 0.0 => regions[2],
            (_, b) if b > 0.0 => regions[1],
            _ => regions[3],
        };
        let newsletter = if activity + 0.6 * random.normal() > 0.3 { "yes" } else { "no" };
        let satisfaction = (6.5 + 1.2 * activity + 0.4 * wealth + 0.9 * random.normal()).clamp(0.0, 10.0);
        let returns = (random.uniform() * (1.0 - 0.3 * wealth).max(0.2) * 3.0).floor().max(0.0);
        let gap = |random: &mut Random, share: f64, text: String| {
            if random.uniform() < share { String::new() } else { text }
        };
        let age = gap(&mut random, 0.02, format!("{age:.0}"));
        let income = gap(&mut random, 0.04, format!("{:.0}", income / 10.0 * 10.0));
        let satisfaction = gap(&mut random, 0.03, format!("{satisfaction:.1}"));
        writeln!(
            text,
            "C{id},{},{age},{segment},{region},{income},{spending:.2},{visits:.0},{newsletter},{satisfaction},{returns:.0}",
            date(days),
        )
        .expect("a string takes it");
    }
    text
}

/// The date so many days before 2026-06-30.
fn date(days_before: i64) -> String {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil from days.
    const LAST: i64 = 20_634;
    let z = LAST - days_before + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, as the sum of twelve uniform numbers less 6: no function of the system's library, whose last digit may differ.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "2026-06-30");
        assert_eq!(date(181), "2025-12-31");
        assert_eq!(date(850), "2024-03-02");
        assert_eq!(date(852), "2024-02-29");
    }
}
