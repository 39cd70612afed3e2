//! Transfer between the ledger and fixtures: sessions out of the ledger as cassettes, fixtures into it as exchanges.

mod export;
mod import;

pub use self::{
    export::{Exported, LeftOut, export},
    import::Importer,
};
