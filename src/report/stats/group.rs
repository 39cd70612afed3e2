//! By what calls are told apart, and how the groups are named.

use std::collections::HashMap;

use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};
use serde::Serialize;

use crate::domain::{exchange::UnixMillis, totals::Key};

/// By what calls are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The day they came in on.
    Day,
    /// The week, named by its Monday.
    Week,
    /// The month.
    Month,
    /// The model that answered.
    Model,
    /// The user.
    User,
    /// The chat.
    Chat,
    /// The background task.
    Task,
    /// The program that asked.
    Client,
    /// How they were answered.
    AnsweredBy,
}

impl By {
    /// All there are, as they are told.
    pub const ALL: [Self; 9] = [
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Model,
        Self::User,
        Self::Chat,
        Self::Task,
        Self::Client,
        Self::AnsweredBy,
    ];

    /// The word for it, in arguments and headings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Model => "model",
            Self::User => "user",
            Self::Chat => "chat",
            Self::Task => "task",
            Self::Client => "client",
            Self::AnsweredBy => "answered-by",
        }
    }

    /// Whether its groups follow one another.
    pub(super) const fn is_time(self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }
}

/// Sums by group. Names are numbered, so that a million calls do not make a million texts.
#[derive(Debug)]
pub(super) struct Groups<S> {
    by: Vec<By>,
    zone: TimeZone,
    names: Vec<Option<String>>,
    numbers: HashMap<String, usize>,
    /// The names of the quarters of an hour that were seen, for each of `by`.
    times: HashMap<i64, Vec<usize>>,
    sums: HashMap<Vec<usize>, S>,
}

/// A group with the names that its calls have in common.
pub(super) type Named<S> = (Vec<Option<String>>, S);

/// A quarter of an hour: no time zone's day begins within one.
const QUARTER: i64 = 15 * 60 * 1000;

impl<S: Default> Groups<S> {
    pub(super) fn new(by: &[By], zone: TimeZone) -> Self {
        Self {
            by: by.to_vec(),
            zone,
            names: vec![None],
            numbers: HashMap::new(),
            times: HashMap::new(),
            sums: HashMap::new(),
        }
    }

    /// The sums of the group to which calls belong that came in within a quarter of an hour of `at`.
    pub(super) fn of(&mut self, at: UnixMillis, key: &Key<'_>) -> &mut S {
        let mut group = self.times_of(at);
        for (place, name) in group.iter_mut().enumerate() {
            *name = match self.by[place] {
                By::Day | By::Week | By::Month => *name,
                By::Model => self.number(Some(&key.model)),
                By::User => self.number(key.user.as_deref()),
                By::Chat => self.number(key.chat.as_deref()),
                By::Task => self.number(key.task.as_deref()),
                By::Client => self.number(key.client.as_deref()),
                By::AnsweredBy => self.number(Some(key.answered_by.into_str())),
            };
        }
        self.sums.entry(group).or_default()
    }

    /// The groups with their names: in the order of time, where they are told apart by time first; and by their
    /// weight, the heaviest first.
    pub(super) fn into_sorted<W: Ord>(self, weight: impl Fn(&S) -> W) -> Vec<Named<S>> {
        let Self { by, names, sums, .. } = self;
        let mut sorted: Vec<Named<S>> = sums
            .into_iter()
            .map(|(group, sums)| (group.iter().map(|&name| names[name].clone()).collect(), sums))
            .collect();
        let times = by.iter().take_while(|by| by.is_time()).count();
        sorted.sort_by(|(a, left), (b, right)| {
            let by_weight = || weight(right).cmp(&weight(left));
            a[..times].cmp(&b[..times]).then_with(by_weight).then_with(|| a.cmp(b))
        });
        sorted
    }

    fn number(&mut self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.names.push(Some(name.to_owned()));
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// The names of the day, the week and the month, at the places where they are asked for.
    fn times_of(&mut self, at: UnixMillis) -> Vec<usize> {
        if !self.by.iter().any(|by| by.is_time()) {
            return vec![0; self.by.len()];
        }
        let quarter = at.0.div_euclid(QUARTER);
        if let Some(times) = self.times.get(&quarter) {
            return times.clone();
        }
        let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::MAX);
        let day = self.zone.to_datetime(at).date();
        let times: Vec<usize> = (0..self.by.len())
            .map(|place| match self.by[place] {
                By::Day => self.number(Some(&day.to_string())),
                By::Week => {
                    let since = day.weekday().since(Weekday::Monday);
                    let monday = day.checked_sub(i64::from(since).days()).unwrap_or(day);
                    self.number(Some(&monday.to_string()))
                }
                By::Month => self.number(Some(&day.strftime("%Y-%m").to_string())),
                _ => 0,
            })
            .collect();
        self.times.insert(quarter, times.clone());
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::exchange::AnsweredBy;

    #[test]
    fn a_quarter_belongs_to_the_day_of_its_time_zone() {
        let named = |at: &str, zone: &str| {
            let at: Timestamp = at.parse().unwrap();
            let by = [By::Day, By::Week, By::Month];
            let mut groups = Groups::<u64>::new(&by, TimeZone::get(zone).unwrap());
            let key = Key {
                model: "m".into(),
                user: None,
                chat: None,
                task: None,
                client: None,
                answered_by: AnsweredBy::Miss,
                error: None,
            };
            *groups.of(UnixMillis(at.as_millisecond()), &key) += 1;
            let sorted = groups.into_sorted(|&calls| calls);
            sorted[0].0.iter().flatten().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named("2026-10-31T18:29:59Z", "Asia/Kolkata"), "2026-10-31 2026-10-26 2026-10");
        assert_eq!(named("2026-10-31T18:30:00Z", "Asia/Kolkata"), "2026-11-01 2026-10-26 2026-11");
        assert_eq!(
            named("2026-11-01T18:15:00Z", "Asia/Kathmandu"),
            "2026-11-02 2026-11-02 2026-11"
        );
    }
}
