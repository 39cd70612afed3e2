//! Settings as flags of commands: declared from [`Config`], kept as text until all sources are known.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
    error::Error,
    parser::ValueSource,
};

use super::Config;

/// Help headings, by which commands choose the settings that are their flags.
pub(super) mod heading {
    pub(in crate::config) const SERVER: &str = "Settings";
    pub(in crate::config) const CACHE: &str = "Answers from the ledger";
    pub(in crate::config) const OPEN_WEBUI: &str = "Open WebUI";
    pub(in crate::config) const REPLAY: &str = "Replay";
    pub(in crate::config) const GLOBAL: &str = "Global options";
    /// Settings of the environment and the file only.
    pub(in crate::config) const NO_FLAG: &str = "Environment and file";
}

/// Settings given as flags, by name.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Flags(pub(super) BTreeMap<String, String>);

impl Flags {
    /// Adds the setting of this name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds all settings of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// True if no flag was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names only: values may be keys.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A choice of settings that a command takes as flags.
pub trait FlagGroup {
    /// Help headings of the settings in the group.
    const HEADINGS: &'static [&'static str];
}

/// The flags of `reprise serve`.
#[derive(Debug)]
pub enum Serving {}

impl FlagGroup for Serving {
    const HEADINGS: &'static [&'static str] =
        &[heading::SERVER, heading::CACHE, heading::OPEN_WEBUI];
}

/// The flags that only `reprise replay` takes.
#[derive(Debug)]
pub enum Replaying {}

impl FlagGroup for Replaying {
    const HEADINGS: &'static [&'static str] = &[heading::REPLAY];
}

/// The flags of every command.
#[derive(Debug)]
pub enum Global {}

impl FlagGroup for Global {
    const HEADINGS: &'static [&'static str] = &[heading::GLOBAL];
}

/// The arguments of a command that are settings of the group `G`.
#[derive(Debug)]
pub struct FlagArgs<G> {
    /// The flags that were given.
    pub flags: Flags,
    group: PhantomData<G>,
}

fn arguments<G: FlagGroup>() -> impl Iterator<Item = Arg> {
    let settings = Config::augment_args(Command::new("settings"));
    let of_group = |arg: &Arg| G::HEADINGS.contains(&arg.get_help_heading().unwrap_or_default());
    settings.get_arguments().filter(|arg| of_group(arg)).cloned().collect::<Vec<_>>().into_iter()
}

impl<G: FlagGroup> Args for FlagArgs<G> {
    fn augment_args(command: Command) -> Command {
        arguments::<G>().fold(command, |command, arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let help = format!("{help} [env: {}]", variable(arg.get_id().as_str()));
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                return command.arg(arg.help(help));
            }
            let unparsed = Unparsed(arg.get_possible_values());
            command.arg(arg.help(help).value_parser(unparsed))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: FlagGroup> FromArgMatches for FlagArgs<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = arguments::<G>().filter_map(|arg| {
            let name = arg.get_id().as_str();
            let is_given = matches.value_source(name) == Some(ValueSource::CommandLine);
            let value = match arg.get_action() {
                ArgAction::SetTrue => "true".to_owned(),
                // A list has one text, however often the flag was given.
                _ => matches.get_many::<String>(name)?.cloned().collect::<Vec<_>>().join(","),
            };
            is_given.then(|| (name.to_owned(), value))
        });
        Ok(Self { flags: Flags(given.collect()), group: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Parser that leaves a value as it is. It knows the possible values, for the help and for shells.
#[derive(Debug, Clone)]
struct Unparsed(Vec<PossibleValue>);

impl TypedValueParser for Unparsed {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().cloned()) as Box<_>).filter(|_| !self.0.is_empty())
    }
}

/// The command whose arguments are the settings.
pub(super) fn declarations() -> Command {
    Config::augment_args(Command::new("settings").no_binary_name(true))
}

/// Name of a setting in the environment.
pub(super) fn variable(name: &str) -> String {
    let name = name.to_uppercase();
    if name.starts_with("ANTHROPIC_") { name } else { format!("REPRISE_{name}") }
}
