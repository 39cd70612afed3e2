//! The environment as an argument, and names in it, or in the settings file, that are no settings.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    flags::{declarations, variable},
    lists::Lists,
};

/// Name of the settings file, in each of the folders where it is looked for.
const FILE: &str = "reprise/reprise.toml";

/// Prefix of our variables.
const PREFIX: &str = "REPRISE_";

/// Likeness (0 to 1) from which on a name is taken for a misspelt one.
const ALIKE: f64 = 0.7;

/// Number of edits that make a variable without our prefix one of ours.
const FEW: usize = 2;

/// Variables, as an argument so that tests can give their own. A function from names to values is one.
pub trait Environment {
    /// The value of a variable; `None`: it is not set.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables that are set, as far as they can be listed.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Folder with the settings of the whole machine; `None`: those are not to be read.
    fn system_folder(&self) -> Option<PathBuf> {
        None
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The environment of a command.
pub type Env<'a> = &'a dyn Environment;

/// Places where the settings file is looked for if none is named. The first one that is there is read.
pub fn default_files(env: Env<'_>) -> Vec<PathBuf> {
    let own = env.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(Path::new(&env.get("HOME")?).join(".config")));
    own.into_iter().chain(env.system_folder()).map(|folder| folder.join(FILE)).collect()
}

/// A variable that looks like a setting and is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The variable, or the list of the settings file, that is probably meant; `None`: none is alike.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, nearest } = self;
        write!(f, "{name} is no setting and has no effect")?;
        nearest.as_ref().map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest}?"))
    }
}

/// The variables that look like settings and are none, sorted. All that begin with `REPRISE_` do, in any case; others if
/// they differ from a setting by a few letters and that one is not set.
pub fn unknown_variables(env: Env<'_>) -> Vec<UnknownVariable> {
    let command = declarations();
    let settings: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
    let known: Vec<String> = settings.iter().map(|name| variable(name)).collect();
    let meant = |name: &str| match Lists::NAMES.iter().find(|(list, _)| *list == name) {
        Some((list, _)) => format!("[[{list}]] in the settings file"),
        None => variable(name),
    };
    let mut names = env.names();
    names.sort();
    let unknown = |name: String| {
        if known.contains(&name) {
            return None;
        }
        let plain = normalized(&name);
        if let Some(rest) = plain.strip_prefix(PREFIX) {
            let lists = Lists::NAMES.iter().map(|(list, _)| *list);
            let nearest = nearest(&rest.to_lowercase(), settings.iter().copied().chain(lists));
            return Some(UnknownVariable { name, nearest: nearest.map(meant) });
        }
        let distance = |known: &&String| strsim::damerau_levenshtein(&plain, known);
        let found = known.iter().min_by_key(distance).filter(|known| distance(known) <= FEW)?;
        let nearest = Some(found.clone()).filter(|found| env.get(found).is_none())?;
        Some(UnknownVariable { name, nearest: Some(nearest) })
    };
    names.into_iter().filter_map(unknown).collect()
}

/// A name as variables are written.
fn normalized(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The known name that is most like `name`; `None`: none is alike.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    let is_alike =
        |known: &&str| likeness(known) >= ALIKE || strsim::damerau_levenshtein(name, known) <= 1;
    let alike = known.into_iter().filter(is_alike);
    // The first of those that are equally alike.
    alike.reduce(|best, next| if likeness(next) > likeness(best) { next } else { best })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Config, Error, Flags};

    struct Listed(BTreeMap<String, String>);

    impl Environment for Listed {
        fn get(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }

        fn names(&self) -> Vec<String> {
            self.0.keys().cloned().collect()
        }
    }

    fn unknown(names: &[&str]) -> Vec<UnknownVariable> {
        let set = names.iter().map(|name| ((*name).to_owned(), "1".to_owned()));
        unknown_variables(&Listed(set.collect()))
    }

    fn settings() -> Vec<String> {
        declarations().get_arguments().map(|arg| arg.get_id().to_string()).collect()
    }

    /// A name with one mistake: each letter left out, doubled, replaced and exchanged with the next one.
    fn misspelt(name: &str) -> Vec<String> {
        let letters: Vec<char> = name.chars().collect();
        let mut misspelt = Vec::new();
        for at in 0..letters.len() {
            let edited = |edit: &dyn Fn(&mut Vec<char>)| {
                let mut letters = letters.clone();
                edit(&mut letters);
                letters.into_iter().collect::<String>()
            };
            misspelt.push(edited(&|letters| _ = letters.remove(at)));
            misspelt.push(edited(&|letters| letters.insert(at, letters[at])));
            misspelt.push(edited(&|letters| letters[at] = 'Q'));
            if at + 1 < letters.len() {
                misspelt.push(edited(&|letters| letters.swap(at, at + 1)));
            }
        }
        misspelt.retain(|misspelt| misspelt != name);
        misspelt
    }

    #[test]
    fn every_setting_is_found_by_a_variable_with_a_mistake() {
        for name in settings() {
            let right = variable(&name);
            assert_eq!(unknown(&[&right]), [], "{right} is a setting");
            let mistaken = misspelt(&right).into_iter();
            for wrong in mistaken.chain([right.to_lowercase(), right.replace('_', "-")]) {
                let found = unknown(&[&wrong]);
                assert_eq!(found.len(), 1, "{wrong}");
                assert_eq!(found[0].nearest.as_ref(), Some(&right), "{wrong}");
            }
        }
    }

    #[test]
    fn every_setting_is_found_by_a_name_in_the_file_with_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reprise.toml");
        let flags = Flags::default().with("config", path.to_str().unwrap());
        let refused = |name: &str| {
            std::fs::write(&path, format!("{name:?} = 1\n")).unwrap();
            match Config::load(&flags, &|_: &str| None) {
                Err(Error::Unknown { nearest, .. }) => nearest,
                other => panic!("{name}: {other:?}"),
            }
        };
        let names = settings().into_iter().filter(|name| name != "config");
        for right in names.chain(Lists::NAMES.map(|(name, _)| name.to_owned())) {
            let all = settings();
            for wrong in &misspelt(&right) {
                if !all.contains(wrong) {
                    assert_eq!(refused(wrong).as_ref(), Some(&right), "{wrong}");
                }
            }
            assert_eq!(refused(&right.to_uppercase()), Some(right.clone()));
        }
        assert_eq!(refused("colour"), None);
    }

    #[test]
    fn what_is_only_of_the_file_or_of_nobody_is_told_too() {
        let one = |name: &str, nearest: Option<&str>| UnknownVariable {
            name: name.to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        let found = unknown(&["REPRISE_BUDGETS", "REPRISE_SERVICE_HOST", "PATH", "PORT"]);
        let budgets = one("REPRISE_BUDGETS", Some("[[budget]] in the settings file"));
        assert_eq!(found, [budgets, one("REPRISE_SERVICE_HOST", None)]);
        let doubled = one("REPRISE_ANTHROPIC_API_KEY", Some("ANTHROPIC_API_KEY"));
        assert_eq!(
            unknown(&["REPRISE_ANTHROPIC_API_KEY", "REPRISE_FUTURE"]),
            [doubled, one("REPRISE_FUTURE", None)]
        );
        // Variables of other programs.
        assert_eq!(unknown(&["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL", "REPRISAL"]), []);
        assert_eq!(unknown(&["ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_2"]), []);
        let key = one("ANTHROPIC_API_KEYS", Some("ANTHROPIC_API_KEY"));
        assert_eq!(unknown(&["ANTHROPIC_API_KEYS"]), [key]);
    }

    #[test]
    fn the_first_default_file_is_read_unless_another_is_named() {
        struct Machine(PathBuf, Option<String>);

        impl Environment for Machine {
            fn get(&self, name: &str) -> Option<String> {
                match name {
                    "HOME" => Some(self.0.join("home").to_str()?.to_owned()),
                    "REPRISE_CONFIG" => self.1.clone(),
                    _ => None,
                }
            }

            fn system_folder(&self) -> Option<PathBuf> {
                Some(self.0.join("etc"))
            }
        }

        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, port: u16| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("port = {port}")).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut machine = Machine(folder.path().to_owned(), None);
        let port = |machine: &Machine, flags: &Flags| Config::load(flags, machine).unwrap().port;
        let none = Flags::default();
        assert_eq!(port(&machine, &none), 8000);
        write("etc/reprise/reprise.toml", 1);
        assert_eq!(port(&machine, &none), 1);
        let own = write("home/.config/reprise/reprise.toml", 2);
        assert_eq!(port(&machine, &none), 2);
        let read = Config::load(&none, &machine).unwrap().file;
        assert_eq!(read, Some(PathBuf::from(own)));
        machine.1 = Some(write("other.toml", 3));
        assert_eq!(port(&machine, &none), 3);
        assert_eq!(port(&machine, &none.with("config", &write("last.toml", 4))), 4);
        // One that is there and cannot be read is not passed over: it may have budgets.
        machine.1 = None;
        let own = folder.path().join("home/.config/reprise/reprise.toml");
        std::fs::remove_file(&own).unwrap();
        std::fs::create_dir(&own).unwrap();
        assert!(matches!(Config::load(&Flags::default(), &machine), Err(Error::File { .. })));
    }
}
