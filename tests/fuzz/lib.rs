//! The parts of the program that the targets are about, without the rest: servers, databases and TLS take long to build
//! with a sanitizer. With the feature `server`, which the target of the whole server needs, it is all of the program.

#[cfg(not(feature = "server"))]
#[path = "../../src"]
mod parts {
    pub mod domain;

    pub mod cli {
        #[expect(dead_code, reason = "reports of commands use more of it")]
        mod printable;

        pub use self::printable::Printable;
    }

    pub mod report {
        pub mod prices;

        pub use self::prices::PriceList;
    }
}

#[cfg(not(feature = "server"))]
pub use parts::{cli, domain, report};
#[cfg(feature = "server")]
pub use whole::*;
