//! Dates of birth within numbers.

use crate::national::Scheme;

/// Where day and month stand, two digits each, and what may be added to them, as often as it fits; greater steps first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Date {
    day: usize,
    day_steps: &'static [u32],
    month: usize,
    month_steps: &'static [u32],
}

/// The date that every number of a scheme has.
pub(super) const fn of(scheme: Scheme) -> Option<Date> {
    let (day, day_steps, month, month_steps): (_, &[u32], _, &[u32]) = match scheme {
        Scheme::KrRrn | Scheme::Kz | Scheme::MxCurp | Scheme::MxRfc | Scheme::My | Scheme::Za => {
            (4, &[], 2, &[])
        }
        // Centuries other than the last one.
        Scheme::Pl | Scheme::BgEgn => (4, &[], 2, &[20]),
        // Women, and days with too many births.
        Scheme::Cz => (4, &[], 2, &[50, 20]),
        Scheme::RoCnp | Scheme::Ee => (5, &[], 3, &[]),
        Scheme::Dk | Scheme::GrAmka | Scheme::Jmbg => (0, &[], 2, &[]),
        // Firms.
        Scheme::Is => (0, &[40], 2, &[]),
        // Women.
        Scheme::IdNik => (6, &[40], 8, &[]),
        Scheme::Lu => (6, &[], 4, &[]),
        Scheme::Cn => (12, &[], 10, &[]),
        _ => return None,
    };
    Some(Date {
        day,
        day_steps,
        month,
        month_steps,
    })
}

impl Date {
    pub(super) fn is_in(self, digits: &[u32]) -> bool {
        let pair = |at: usize, steps: &[u32]| match digits.get(at..at + 2) {
            Some([tens, ones]) => steps
                .iter()
                .fold(tens * 10 + ones, |number, step| number % step),
            _ => 0,
        };
        is_day_and_month(
            pair(self.day, self.day_steps),
            pair(self.month, self.month_steps),
        )
    }
}

pub(super) const fn is_day_and_month(day: u32, month: u32) -> bool {
    1 <= day && day <= 31 && 1 <= month && month <= 12
}
