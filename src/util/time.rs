//! Dates from seconds since 1970, for log lines and the AOF's annotations; the clock itself is in `sys/`.
//!
//! ```text
//!   unix seconds + offset ──▶ days ──▶ 400-year eras of 146,097 days, years beginning in March ──▶ y-m-d
//! ```
//!
//! Counting years from March puts the leap day at a year's end, and the month lengths repeat so regularly
//! that they fall out of one division (Hinnant, "chrono-compatible low-level date algorithms").
//!
//! Mirrors: localtime.c `nolocks_localtime()`, which exists there for the same reason: no lock of libc's
//! in the middle of a log line. Differs: years before 1970 and far beyond 9999 are right, too.

use std::fmt;

const SECONDS_A_DAY: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment as a calendar and a wall clock show it, in the zone `offset` seconds east of Greenwich.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// Seconds east of Greenwich, summer time included.
    pub offset: i32,
}

impl Civil {
    /// Any second and any offset; beyond the range of `i64` it saturates.
    pub fn from_unix(seconds: i64, offset: i32) -> Self {
        let local = seconds.saturating_add(i64::from(offset));
        let (days, rest) = (
            local.div_euclid(SECONDS_A_DAY),
            local.rem_euclid(SECONDS_A_DAY),
        );

        let since_march_0000 = days + 719_468;
        let era = since_march_0000.div_euclid(146_097);
        let day_of_era = since_march_0000.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };

        Civil {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u8,
            day: day as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            offset,
        }
    }

    /// The date of a log line, `21 Nov 2026 05:54:54.123`.
    pub fn log_line(&self, millisecond: u32) -> LogLine<'_> {
        LogLine {
            at: self,
            millisecond,
        }
    }

    /// ISO 8601 with the offset, `2026-11-21T05:54:54Z` or `…+01:00`.
    pub fn iso8601(&self) -> Iso8601<'_> {
        Iso8601(self)
    }

    fn month_name(&self) -> &'static str {
        MONTHS
            .get(usize::from(self.month) - 1)
            .copied()
            .unwrap_or("???")
    }
}

/// Displays as Redis's log lines do.
#[derive(Debug)]
pub struct LogLine<'a> {
    at: &'a Civil,
    millisecond: u32,
}

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            day,
            hour,
            minute,
            second,
            ..
        } = self.at;
        let (month, millisecond) = (self.at.month_name(), self.millisecond);
        write!(
            f,
            "{day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02}.{millisecond:03}"
        )
    }
}

/// Displays as ISO 8601.
#[derive(Debug)]
pub struct Iso8601<'a>(&'a Civil);

impl fmt::Display for Iso8601<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            offset,
            ..
        } = self.0;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if *offset == 0 {
            return f.write_str("Z");
        }
        let sign = if *offset < 0 { '-' } else { '+' };
        let minutes = offset.unsigned_abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(seconds: i64, offset: i32) -> String {
        Civil::from_unix(seconds, offset).iso8601().to_string()
    }

    #[test]
    fn known_dates() {
        assert_eq!(iso(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(951_782_400, 0), "2000-02-29T00:00:00Z");
        assert_eq!(iso(4_107_542_400, 0), "2100-03-01T00:00:00Z");
        assert_eq!(iso(1_795_240_494, 3600), "2026-11-21T06:54:54+01:00");
        assert_eq!(iso(1_795_240_494, -12_600), "2026-11-21T02:24:54-03:30");
        assert_eq!(iso(-1, 0), "1969-12-31T23:59:59Z");
        assert_eq!(iso(253_402_300_799, 0), "9999-12-31T23:59:59Z");
        let log = Civil::from_unix(1_795_240_494, 0);
        assert_eq!(log.log_line(7).to_string(), "21 Nov 2026 05:54:54.007");
        assert_eq!(log.weekday, 6);
        assert_eq!(Civil::from_unix(0, 0).weekday, 4);
    }

    /// Day by day over four centuries, against a calendar kept by hand.
    #[test]
    fn every_day_follows_the_last() {
        let (mut year, mut month, mut day) = (1900i64, 1u8, 1u8);
        for index in 0..146_097i64 {
            let civil = Civil::from_unix((index - 25_567) * SECONDS_A_DAY + 43_200, 0);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            assert_eq!(i64::from(civil.weekday), (index + 1) % 7);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u8::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn the_ends_do_not_panic() {
        for seconds in [i64::MIN, i64::MAX] {
            for offset in [i32::MIN, 0, i32::MAX] {
                let _ = (
                    iso(seconds, offset),
                    Civil::from_unix(seconds, offset).log_line(0).to_string(),
                );
            }
        }
    }
}
