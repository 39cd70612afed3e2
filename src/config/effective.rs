//! The settings as they are in force, each with where it came from. No secret is among them, only whether there is one.

use serde::Serialize;

use super::{
    Config, Env, Error, Flags, GlobalFlags,
    layers::{Layer, Layers, NAMES},
};

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Its name in the settings file; with hyphens that of its flag.
    pub name: &'static str,
    /// Its name in the environment; `None`: it stands in the file only.
    pub variable: Option<&'static str>,
    /// What it says; `None`: nothing, or it is a secret.
    pub value: Option<String>,
    /// Whether it is a secret, which is never shown.
    pub secret: bool,
    /// Whether it says something.
    pub set: bool,
    /// Which layer it came from.
    pub from: Layer,
    /// The flag, variable or file that says so; `None`: the default.
    pub source: Option<String>,
}

impl Config {
    /// All settings, in the order of the help. Fails where the server would not start with them.
    pub fn effective(
        flags: &Flags,
        global: &GlobalFlags,
        env: Env<'_>,
    ) -> Result<Vec<Effective>, Error> {
        let layers = Layers::read(flags.given(), global, env)?;
        let config = Self::of(&layers, env)?;
        let mut settings: Vec<Effective> = NAMES
            .iter()
            .map(|name| {
                let setting = layers.text(name.name);
                let value = match (setting, name.default) {
                    _ if name.secret => None,
                    (Some(setting), _) => Some(setting.value.clone()),
                    (None, _) if name.name == "database_url" => Some(config.database_url.clone()),
                    (None, _) if name.name == "timezone" => {
                        config.budgets.zone.iana_name().map(str::to_owned)
                    }
                    (None, default) => default.map(str::to_owned),
                };
                // An address may have a password in it.
                let value =
                    value.map(|value| if may_hide(&value) { masked(&value) } else { value });
                Effective {
                    name: name.name,
                    variable: Some(name.variable),
                    set: setting.is_some() || value.is_some(),
                    value,
                    secret: name.secret,
                    from: setting.map_or(Layer::Default, |setting| setting.layer),
                    source: setting.map(|setting| setting.source.clone()),
                }
            })
            .collect();
        let file = layers.file.as_ref();
        let lists = [
            ("alias", config.aliases.iter().map(|alias| alias.id.clone()).collect::<Vec<_>>()),
            ("budget", config.budgets.list.iter().map(ToString::to_string).collect()),
        ];
        settings.extend(lists.into_iter().map(|(name, list)| Effective {
            name,
            variable: None,
            secret: false,
            set: !list.is_empty(),
            from: if list.is_empty() { Layer::Default } else { Layer::File },
            source: file.filter(|_| !list.is_empty()).map(|path| path.display().to_string()),
            value: (!list.is_empty()).then(|| list.join(", ")),
        }));
        Ok(settings)
    }
}

/// Whether a password may stand in it: an address with a user, or with parameters that are not a file's.
fn may_hide(value: &str) -> bool {
    let is_address = value.contains("://") && !value.starts_with("sqlite:");
    is_address && value.contains(['@', '?', '#'])
}

/// Without what stands between the scheme and the host.
fn masked(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://…{}…", host.split(['?', '#']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hush-hush-0123456789";

    fn env(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/someone".to_owned())
    }

    #[test]
    fn every_setting_is_told_with_where_it_came_from_and_no_secret_is() {
        for name in NAMES {
            let value = if name.secret { SECRET } else { name.default.unwrap_or("sqlite:x.db") };
            // What takes neither is given what it takes.
            let value = match name.name {
                "task_ttl" => "title=1h",
                "id_headers" => "chat=X-Chat",
                "timezone" => "UTC",
                "keep_bodies" | "keep_totals" => "90d",
                "max_size" => "2GiB",
                _ => value,
            };
            let env = |asked: &str| {
                if asked == name.variable { Some(value.to_owned()) } else { env(asked) }
            };
            let settings =
                Config::effective(&Flags::default(), &GlobalFlags::default(), &env).unwrap();
            let found = settings.iter().find(|setting| setting.name == name.name).unwrap();
            assert_eq!(found.from, Layer::Variable, "{}", name.name);
            assert_eq!(found.source.as_deref(), Some(name.variable));
            let shown = (!name.secret).then(|| value.to_owned());
            assert_eq!((found.set, &found.value), (true, &shown), "{}", name.name);
            assert!(!format!("{settings:?}").contains("hush"), "{}", name.name);
            assert_eq!(settings.len(), NAMES.len() + 2, "and the lists of the file");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_program() {
        let load = |env: Env<'_>| {
            format!("{:?}", Config::load(&Flags::default(), &GlobalFlags::default(), env).unwrap())
        };
        let unsaid = load(&env);
        for name in NAMES {
            let said = load(&|asked| match name.default {
                Some(default) if asked == name.variable => Some(default.to_owned()),
                _ => env(asked),
            });
            assert_eq!(said, unsaid, "{}", name.name);
        }
    }

    #[test]
    fn flags_and_settings_have_the_same_names() {
        let flags = Flags::default();
        for (name, _) in flags.given() {
            assert!(NAMES.iter().any(|known| known.name == name), "{name}");
        }
    }

    #[test]
    fn an_address_is_told_without_a_password() {
        let hidden = masked("postgres://ann:hush@db:5432/reprise?password=hush");
        assert_eq!(hidden, "postgres://…db:5432/reprise…");
        assert!(may_hide("postgres://db/reprise?password=hush"));
        assert!(!may_hide("sqlite:///a@b/reprise.db?mode=rwc"));
    }
}
