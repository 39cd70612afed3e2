//! Transfer between the ledger and fixtures: sessions out of the ledger as cassettes and files, fixtures into it as exchanges.

mod export;
mod files;
mod import;

pub use self::{
    export::{Exported, LeftOut, export},
    files::{ScrubbedFile, archive, folder_name, scrubbed_files},
    import::Importer,
};
