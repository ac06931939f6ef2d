//! Dates and times as text: the forms that are recognised, and days since 1970-01-01.

use jiff::civil::{Date, DateTime, Time};

/// The day that days are counted from.
const EPOCH: Date = Date::constant(1970, 1, 1);

const SECONDS_OF_DAY: f64 = 86_400.0;

/// Forms of dates, in the notation of strftime. Where two read the same text, the first is taken.
const DATES: [&str; 27] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y-%-m-%-d",
    "%Y/%-m/%-d",
    "%d.%m.%Y",
    "%-d.%-m.%Y",
    "%m/%d/%Y",
    "%-m/%-d/%Y",
    "%d/%m/%Y",
    "%-d/%-m/%Y",
    "%d-%m-%Y",
    "%-d-%-m-%Y",
    "%m-%d-%Y",
    "%-m-%-d-%Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%-m/%-d/%y",
    "%d/%m/%y",
    "%-d/%-m/%y",
    "%d-%b-%Y",
    "%-d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%-d %b %Y",
    "%-d %B %Y",
    "%B %-d, %Y",
];

/// What may follow a date.
const TIMES: [&str; 9] = [
    "",
    " %H:%M:%S",
    " %H:%M",
    "T%H:%M:%S",
    "T%H:%M",
    "T%H:%M:%SZ",
    " %H:%M:%S%.f",
    "T%H:%M:%S%.f",
    "T%H:%M:%S%.fZ",
];

/// Forms of a time without a date.
const TIMES_ALONE: [&str; 2] = ["%H:%M:%S", "%H:%M"];

/// All forms.
fn patterns() -> impl Iterator<Item = String> {
    let of_dates = DATES.iter().flat_map(|date| TIMES.iter().map(move |time| format!("{date}{time}")));
    of_dates.chain(TIMES_ALONE.iter().map(|time| (*time).to_owned()))
}

/// Whether a form is one of those above.
pub(super) fn is_known(pattern: &str) -> bool {
    patterns().any(|known| known == pattern)
}

/// The form in which all texts are dates that are written the same way again, and whether another form, with day and month
/// exchanged, would read them too.
pub(super) fn pattern_of<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Option<(String, bool)> {
    let first = texts.clone().next()?;
    if !first.bytes().any(|byte| byte.is_ascii_digit()) || first.len() > 40 {
        return None;
    }
    let fits = |text: &str, pattern: &str| {
        days(text, pattern).is_some_and(|days| text_of(days, pattern).as_deref() == Some(text))
    };
    let mut left: Vec<String> = patterns().filter(|pattern| fits(first, pattern)).collect();
    for text in texts {
        if left.is_empty() {
            return None;
        }
        left.retain(|pattern| fits(text, pattern));
    }
    let is_month_first = |pattern: &String| pattern.starts_with("%m") || pattern.starts_with("%-m");
    let is_day_first = |pattern: &String| pattern.starts_with("%d") || pattern.starts_with("%-d");
    let is_ambiguous = left.iter().any(is_month_first) && left.iter().any(is_day_first);
    Some((left.into_iter().next()?, is_ambiguous))
}

/// Days since 1970-01-01 of a text in a form.
pub(super) fn days(text: &str, pattern: &str) -> Option<f64> {
    if TIMES_ALONE.contains(&pattern) {
        return Time::strptime(pattern, text).ok().map(share_of_day);
    }
    if DATES.contains(&pattern) {
        return Date::strptime(pattern, text).ok().map(day);
    }
    let moment = DateTime::strptime(pattern, text).ok()?;
    Some(day(moment.date()) + share_of_day(moment.time()))
}

/// The text of days since 1970-01-01, rounded to what the form shows. None beyond the years that have a text.
pub(super) fn text_of(days: f64, pattern: &str) -> Option<String> {
    let is_time_alone = TIMES_ALONE.contains(&pattern);
    // The part of a second that f64 holds in days since 1970, and that the forms show.
    let unit = if DATES.contains(&pattern) {
        1.0
    } else if pattern.contains("%.f") {
        1.0 / (SECONDS_OF_DAY * 1e3)
    } else if pattern.contains("%S") {
        1.0 / SECONDS_OF_DAY
    } else {
        60.0 / SECONDS_OF_DAY
    };
    let rounded = (days / unit).round() * unit;
    if !rounded.is_finite() || rounded.abs() > 4e6 {
        return None;
    }
    let whole = if is_time_alone { 0.0 } else { (rounded + 1e-9).floor() };
    let date = EPOCH.checked_add(jiff::Span::new().try_days(whole as i64).ok()?).ok()?;
    let milliseconds =
        ((rounded - whole) * SECONDS_OF_DAY * 1e3).round().clamp(0.0, SECONDS_OF_DAY * 1e3 - 1.0);
    let moment = date
        .to_datetime(Time::midnight())
        .checked_add(jiff::Span::new().try_milliseconds(milliseconds as i64).ok()?)
        .ok()?;
    jiff::fmt::strtime::format(pattern, moment).ok()
}

fn day(date: Date) -> f64 {
    let days = date.since((jiff::Unit::Day, EPOCH)).map_or(0, |span| span.get_days());
    f64::from(days)
}

fn share_of_day(time: Time) -> f64 {
    let seconds =
        f64::from(time.hour()) * 3600.0 + f64::from(time.minute()) * 60.0 + f64::from(time.second());
    (seconds + f64::from(time.subsec_nanosecond()) / 1e9) / SECONDS_OF_DAY
}

/// The text of days since 1970-01-01: a date, or with a time.
pub(crate) fn date_text(days: f64, has_time: bool) -> String {
    text_of(days, pattern_of_days(has_time)).unwrap_or_default()
}

/// The form for days of typed files: dates alone where there are no times.
pub(super) fn pattern_of_days(has_times: bool) -> &'static str {
    if has_times { "%Y-%m-%dT%H:%M:%S%.f" } else { "%Y-%m-%d" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(texts: &[&str]) -> Option<(String, bool)> {
        pattern_of(texts.iter().copied())
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        // By `date -u -d @SECONDS`.
        for (text, expected) in [
            ("1970-01-01", 0.0),
            ("2000-02-29", 11_016.0),
            ("1969-12-31", -1.0),
            ("2026-11-28", 20_785.0),
            ("1900-03-01", -25_508.0),
        ] {
            assert_eq!(days(text, "%Y-%m-%d"), Some(expected), "{text}");
            assert_eq!(text_of(expected, "%Y-%m-%d").as_deref(), Some(text));
        }
        assert_eq!(days("2000-02-29T18:00:00", "%Y-%m-%dT%H:%M:%S"), Some(11_016.75));
        assert_eq!(text_of(11_016.75, "%Y-%m-%d %H:%M").as_deref(), Some("2000-02-29 18:00"));
        assert_eq!(text_of(f64::MAX, "%Y-%m-%d"), None);
    }

    #[test]
    fn the_form_is_the_one_that_gives_back_every_text() {
        let found = |texts: &[&str]| pattern(texts).map(|(pattern, _)| pattern);
        assert_eq!(found(&["2007-11-11", "2008-01-02"]).as_deref(), Some("%Y-%m-%d"));
        assert_eq!(found(&["11.12.2007", "31.01.2008"]).as_deref(), Some("%d.%m.%Y"));
        assert_eq!(found(&["1/2/2020", "11/30/2020"]).as_deref(), Some("%-m/%-d/%Y"));
        assert_eq!(found(&["1/2/2020", "30/11/2020"]).as_deref(), Some("%-d/%-m/%Y"));
        assert_eq!(pattern(&["01/02/2020"]), Some(("%m/%d/%Y".into(), true)), "ambiguous");
        assert_eq!(found(&["2020-05-06 07:08:09"]).as_deref(), Some("%Y-%m-%d %H:%M:%S"));
        assert_eq!(found(&["2020-05-06T07:08:09.25Z"]).as_deref(), Some("%Y-%m-%dT%H:%M:%S%.fZ"));
        assert_eq!(found(&["07:08", "23:59"]).as_deref(), Some("%H:%M"));
        assert_eq!(found(&["3 Mar 2021", "14 Dec 2021"]).as_deref(), Some("%-d %b %Y"));
        assert_eq!(found(&["2020-13-01"]), None);
        assert_eq!(found(&["2020-01-01", "soon"]), None);
        assert_eq!(found(&["north"]), None);
    }
}
