//! The dimensions that calls are grouped by, and the groups.

use std::{collections::HashMap, mem, sync::Arc};

use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};
use serde::Serialize;

use crate::domain::{exchange::UnixMillis, tags::Tags, totals::Key};

/// A dimension that calls are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// The day of the request.
    Day,
    /// The week of the request, named by its Monday.
    Week,
    /// The month of the request.
    Month,
    /// The model.
    Model,
    /// The user.
    User,
    /// The chat.
    Chat,
    /// The background task.
    Task,
    /// The client program.
    Client,
    /// The name of the client key.
    Key,
    /// The source of the answer.
    AnsweredBy,
    /// The tags: a call is in the group of each of its tags.
    Tag,
    /// The value of the tag with a key; the text is `tag:KEY`.
    TagOf(Arc<str>),
}

/// The beginning of a dimension that is the value of a tag.
const TAG_OF: &str = "tag:";

impl GroupBy {
    /// All dimensions without a key, in the order of the help.
    pub const ALL: [Self; 11] = [
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Model,
        Self::User,
        Self::Chat,
        Self::Task,
        Self::Client,
        Self::Key,
        Self::AnsweredBy,
        Self::Tag,
    ];

    /// The name in arguments and headings.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Model => "model",
            Self::User => "user",
            Self::Chat => "chat",
            Self::Task => "task",
            Self::Client => "client",
            Self::Key => "key",
            Self::AnsweredBy => "answered-by",
            Self::Tag => "tag",
            Self::TagOf(name) => name,
        }
    }

    /// The dimension with this name.
    pub fn named(name: &str) -> Option<Self> {
        let key = name.strip_prefix(TAG_OF).filter(|key| !key.is_empty());
        let known = || Self::ALL.into_iter().find(|by| by.as_str() == name);
        key.map(|_| Self::TagOf(name.into())).or_else(known)
    }

    /// Returns true for dimensions that only calls with tags have.
    pub const fn is_tag(&self) -> bool {
        matches!(self, Self::Tag | Self::TagOf(_))
    }

    /// Returns true for dimensions of time, whose groups are in order.
    pub(super) const fn is_time(&self) -> bool {
        matches!(self, Self::Day | Self::Week | Self::Month)
    }
}

/// Sums by group. Names are interned, so that a million calls do not allocate a million strings.
#[derive(Debug)]
pub(super) struct Groups<S> {
    by: Vec<GroupBy>,
    zone: TimeZone,
    names: Vec<Option<String>>,
    numbers: HashMap<String, usize>,
    /// The names of each quarter of an hour, one for each dimension.
    times: HashMap<i64, Vec<usize>>,
    sums: HashMap<Vec<usize>, S>,
}

/// The names of a group and its sums.
pub(super) type NamedGroup<S> = (Vec<Option<String>>, S);

/// A quarter of an hour, in milliseconds. In every time zone, days begin at the border of one.
const QUARTER: i64 = 15 * 60 * 1000;

impl<S: Default> Groups<S> {
    pub(super) fn new(by: &[GroupBy], zone: TimeZone) -> Self {
        Self {
            by: by.to_vec(),
            zone,
            names: vec![None],
            numbers: HashMap::new(),
            times: HashMap::new(),
            sums: HashMap::new(),
        }
    }

    /// The sums of the group for calls with `key` in the quarter of an hour of `at`.
    pub(super) fn of(&mut self, at: UnixMillis, key: &Key<'_>) -> &mut S {
        self.of_tagged(at, key, &Tags::default(), None)
    }

    /// The same for calls with `tags`, of which `tag` names the group.
    fn of_tagged(
        &mut self,
        at: UnixMillis,
        key: &Key<'_>,
        tags: &Tags,
        tag: Option<&str>,
    ) -> &mut S {
        let mut group = self.times_of(at);
        let by = mem::take(&mut self.by);
        for (by, name) in by.iter().zip(&mut group) {
            *name = match by {
                GroupBy::Day | GroupBy::Week | GroupBy::Month => *name,
                GroupBy::Model => self.number(Some(&key.model)),
                GroupBy::User => self.number(key.user.as_deref()),
                GroupBy::Chat => self.number(key.chat.as_deref()),
                GroupBy::Task => self.number(key.task.as_deref()),
                GroupBy::Client => self.number(key.client.as_deref()),
                GroupBy::Key => self.number(key.client_key.as_deref()),
                GroupBy::AnsweredBy => self.number(Some(key.answered_by.into_str())),
                GroupBy::Tag => self.number(tag),
                GroupBy::TagOf(of) => self.number(tags.value_of(&of[TAG_OF.len()..])),
            };
        }
        self.by = by;
        self.sums.entry(group).or_default()
    }

    /// Shows the sums of each group of a call with these tags to `add`. Without a tag that the dimensions name, it is in
    /// no group.
    pub(super) fn each_of(
        &mut self,
        at: UnixMillis,
        key: &Key<'_>,
        tags: &Tags,
        mut add: impl FnMut(&mut S),
    ) {
        if self.by.contains(&GroupBy::Tag) {
            tags.iter().for_each(|tag| add(self.of_tagged(at, key, tags, Some(tag))));
            return;
        }
        let mut keys = self.by.iter().filter_map(|by| by.as_str().strip_prefix(TAG_OF)).peekable();
        if keys.peek().is_none() || keys.any(|of| tags.value_of(of).is_some()) {
            add(self.of_tagged(at, key, tags, None));
        }
    }

    /// The groups with their names: by leading dimensions of time, then by descending weight.
    pub(super) fn into_sorted<W: Ord>(self, weight: impl Fn(&S) -> W) -> Vec<NamedGroup<S>> {
        let Self { by, names, sums, .. } = self;
        let mut sorted: Vec<NamedGroup<S>> = sums
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

    /// The names of the day, week and month, at the positions of these dimensions.
    fn times_of(&mut self, at: UnixMillis) -> Vec<usize> {
        if !self.by.iter().any(GroupBy::is_time) {
            return vec![0; self.by.len()];
        }
        let quarter = at.0.div_euclid(QUARTER);
        if let Some(times) = self.times.get(&quarter) {
            return times.clone();
        }
        let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::MAX);
        let day = self.zone.to_datetime(at).date();
        let by = mem::take(&mut self.by);
        let times: Vec<usize> = by
            .iter()
            .map(|by| match by {
                GroupBy::Day => self.number(Some(&day.to_string())),
                GroupBy::Week => {
                    let since = day.weekday().since(Weekday::Monday);
                    let monday = day.checked_sub(i64::from(since).days()).unwrap_or(day);
                    self.number(Some(&monday.to_string()))
                }
                GroupBy::Month => self.number(Some(&day.strftime("%Y-%m").to_string())),
                _ => 0,
            })
            .collect();
        self.by = by;
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
            let by = [GroupBy::Day, GroupBy::Week, GroupBy::Month];
            let mut groups = Groups::<u64>::new(&by, TimeZone::get(zone).unwrap());
            let key = Key {
                model: "m".into(),
                user: None,
                chat: None,
                task: None,
                client: None,
                client_key: None,
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
