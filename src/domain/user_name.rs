//! Names and mails of users, as Open WebUI states them beside their ids (`reference/open-webui.md` §3).
//!
//! They are for people to read. Ids stay what tells users apart, because names change and are not unique.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::percent_decode;

/// Maximum length of a name and of a mail, in characters; the rest is left out.
const LONGEST: usize = 256;

/// The name and the mail of a user, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserName {
    /// The name.
    pub name: Option<String>,
    /// The mail.
    pub email: Option<String>,
}

impl UserName {
    /// A name as it may be kept: on one line, of limited length. `None`: nothing is left of it.
    pub fn of(name: Option<&str>, email: Option<&str>) -> Option<Self> {
        let [name, email] = [name, email].map(|text| text.and_then(tidied));
        (name.is_some() || email.is_some()).then_some(Self { name, email })
    }
}

fn tidied(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// The text of a header in which Open WebUI escapes what is not ASCII with percent signs; `None`: it is not UTF-8.
pub fn unescaped(header: &[u8]) -> Option<String> {
    percent_decode(header).decode_utf8().ok().map(String::from)
}

/// The names of all users that have one.
#[derive(Debug, Clone, Default)]
pub struct UserNames {
    by_id: BTreeMap<String, UserName>,
    /// The number of users with a name.
    namesakes: HashMap<String, usize>,
}

/// A text that names several users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} users have this name; give the id of one: {}", ids.len(), ids.join(", "))]
pub struct AmbiguousUser {
    /// The ids of the users.
    pub ids: Vec<String>,
}

impl FromIterator<(String, UserName)> for UserNames {
    fn from_iter<I: IntoIterator<Item = (String, UserName)>>(users: I) -> Self {
        let by_id: BTreeMap<String, UserName> = users.into_iter().collect();
        let mut namesakes = HashMap::new();
        for name in by_id.values().filter_map(|user| user.name.as_ref()) {
            *namesakes.entry(name.clone()).or_default() += 1;
        }
        Self { by_id, namesakes }
    }
}

impl UserNames {
    /// The name and the mail of a user.
    pub fn get(&self, id: Option<&str>) -> UserName {
        id.and_then(|id| self.by_id.get(id)).cloned().unwrap_or_default()
    }

    /// Tells whether the user with this id has a name or a mail.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The user for people: the name, else the mail, else the id. Of several users with one name, each has its mail or id
    /// beside it.
    pub fn label(&self, id: &str) -> String {
        let Some(UserName { name, email }) = self.by_id.get(id) else { return id.to_owned() };
        let apart = email.as_deref().unwrap_or(id);
        match name {
            Some(name) if self.namesakes.get(name) == Some(&1) => name.clone(),
            Some(name) => format!("{name} ({apart})"),
            None => apart.to_owned(),
        }
    }

    /// The id of the user with this mail, else of the one with this name, ignoring case; `None`: nobody has it.
    pub fn id_of(&self, text: &str) -> Result<Option<&str>, AmbiguousUser> {
        let wanted = text.trim().to_lowercase();
        let with = |field: fn(&UserName) -> &Option<String>| {
            let is_meant = |user: &UserName| {
                field(user).as_ref().is_some_and(|text| text.to_lowercase() == wanted)
            };
            let users = self.by_id.iter().filter(move |(_, user)| is_meant(user));
            users.map(|(id, _)| id.as_str()).collect::<Vec<_>>()
        };
        // A name is what its user likes it to be, and may be another user's mail.
        let by_mail = with(|user| &user.email);
        let found = if by_mail.is_empty() { with(|user| &user.name) } else { by_mail };
        match *found {
            [] => Ok(None),
            [id] => Ok(Some(id)),
            _ => Err(AmbiguousUser { ids: found.into_iter().map(str::to_owned).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_limited_length() {
        let named = |name: &str| UserName::of(Some(name), None).and_then(|user| user.name);
        assert_eq!(named(" Ann\r\n\u{1b}[31m Lee ").as_deref(), Some("Ann[31m Lee"));
        assert_eq!(named("ä".repeat(300).as_str()).unwrap().chars().count(), LONGEST);
        assert_eq!(UserName::of(Some(" \n"), Some("")), None);
        assert_eq!(UserName::of(None, Some("a@b.c")).unwrap().email.as_deref(), Some("a@b.c"));
    }

    #[test]
    fn a_header_is_read_as_open_webui_escapes_it() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (b"Ann Lee", Some("Ann Lee")),
            (b"J%C3%B6rg %E6%9D%8E", Some("Jörg 李")),
            ("Jörg".as_bytes(), Some("Jörg")),
            (b"100% Ann", Some("100% Ann")),
            (b"J\xf6rg", None),
        ];
        for (header, name) in cases {
            assert_eq!(unescaped(header).as_deref(), name, "{header:?}");
        }
    }

    #[test]
    fn a_user_is_found_by_mail_or_name_and_shown_so_that_it_can_be_told_apart() {
        let users = [
            ("1", Some("Ann"), Some("ann@example.com")),
            ("2", Some("Bob"), Some("bob@example.com")),
            ("3", Some("Bob"), None),
            ("4", None, Some("dora@example.com")),
            ("5", Some("ann@example.com"), None),
        ];
        let users: UserNames = users
            .into_iter()
            .map(|(id, name, email)| (id.to_owned(), UserName::of(name, email).unwrap()))
            .collect();
        let labels = ["1", "2", "3", "4", "6"].map(|id| users.label(id));
        assert_eq!(labels, ["Ann", "Bob (bob@example.com)", "Bob (3)", "dora@example.com", "6"]);
        for (text, id) in [("ANN", "1"), ("ann@example.com", "1"), ("Dora@Example.com ", "4")] {
            assert_eq!(users.id_of(text).unwrap(), Some(id), "{text}");
        }
        assert_eq!(users.id_of("eve").unwrap(), None);
        let error = users.id_of("bob").unwrap_err().to_string();
        assert_eq!(error, "2 users have this name; give the id of one: 2, 3");
    }
}
