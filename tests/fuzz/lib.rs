//! The parts of the program that the targets are about, without the rest: servers, databases and TLS take long to build
//! with a sanitizer. With the feature `server`, which the target of the whole server needs, it is all of the program.

#[cfg(feature = "server")]
pub use whole::*;

/// The modules of `src/domain.rs`.
#[cfg(not(feature = "server"))]
#[path = "../../src/domain"]
pub mod domain {
    pub mod alias;
    pub mod anthropic;
    pub mod budget;
    pub mod cache;
    pub mod cassette;
    pub mod catalog;
    pub mod chain;
    pub mod diff;
    pub mod encoding;
    pub mod exchange;
    pub mod histogram;
    pub mod json;
    pub mod media_type;
    pub mod open_webui;
    pub mod openai;
    pub mod prepare;
    pub mod price;
    pub mod recording;
    pub mod spelling;
    pub mod sse;
    pub mod tags;
    pub mod task;
    pub mod totals;
    pub mod translate;
    pub mod user_name;
    pub mod varint;
}

#[cfg(not(feature = "server"))]
#[path = "../../src/cli"]
pub mod cli {
    #[expect(dead_code, reason = "reports of commands use more of it")]
    mod printable;

    pub use self::printable::Printable;
}

#[cfg(not(feature = "server"))]
#[path = "../../src/report"]
pub mod report {
    pub mod prices;

    pub use self::prices::PriceList;
}
