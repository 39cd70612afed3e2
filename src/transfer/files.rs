//! The files of an exported session, without secrets: for a folder on disk, or in one archive.

use std::{collections::HashSet, io::Write};

use flate2::{Compression, write::DeflateEncoder};
use rawzip::{CompressionMethod, ZipArchiveWriter, time::UtcDateTime};

use crate::{
    domain::cassette::{Cassette, RemainingSecret, Rendered, Scrubber},
    fixture,
};

/// Mode of the files in an archive.
const MODE: u32 = 0o644;

/// A file of an exported session.
#[derive(Debug)]
pub struct ScrubbedFile {
    /// Its name in the folder of the session.
    pub name: String,
    /// Its content, or the secrets that cannot be taken out of it without breaking it.
    pub content: Result<Rendered, Vec<RemainingSecret>>,
}

/// The folder of a session with this title, in which no secret stands either.
pub fn folder_name(title: &str, scrubber: &Scrubber) -> String {
    match scrubber.text(title) {
        Some(clean) => fixture::slug(&clean),
        None => fixture::slug(title),
    }
}

/// The files of a session, scrubbed, in the order of its cassettes.
pub fn scrubbed_files(
    cassettes: Vec<Cassette>,
    scrubber: &Scrubber,
) -> impl Iterator<Item = ScrubbedFile> {
    (1..).zip(cassettes).map(|(number, mut cassette)| {
        let places = scrubber.cassette(&mut cassette);
        let name = fixture::file_name(number, &cassette);
        let content = if places.is_empty() { Ok(cassette.render()) } else { Err(places) };
        ScrubbedFile { name, content }
    })
}

/// A zip archive of `folder` with these files, which is the same for the same files.
pub fn archive(folder: &str, files: &[ScrubbedFile]) -> Vec<u8> {
    let mut archive = ZipArchiveWriter::new(Vec::new());
    let mut blobs = HashSet::new();
    let mut add = |path: String, bytes: &[u8]| {
        let entry = archive.new_file(path.as_str()).compression_method(CompressionMethod::DEFLATE);
        // The first moment that the format has.
        let begun = UtcDateTime::from_components(1980, 1, 1, 0, 0, 0, 0);
        let entry = entry.last_modified(begun.expect("a date")).unix_permissions(MODE);
        let (mut entry, config) = entry.start()?;
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
        writer.write_all(bytes)?;
        let (encoder, sizes) = writer.finish()?;
        encoder.finish()?;
        entry.finish(sizes).map(drop)
    };
    let mut add_all = || {
        for ScrubbedFile { name, content } in files {
            let Ok(Rendered { text, blobs: beside }) = content else { continue };
            for blob in beside {
                // Of several files with the same picture, the folder has it once.
                if blobs.insert(&blob.name) {
                    add(format!("{folder}/{}/{}", fixture::BLOBS, blob.name), &blob.bytes)?;
                }
            }
            add(format!("{folder}/{name}"), text.as_bytes())?;
        }
        Ok::<_, rawzip::Error>(())
    };
    let written = add_all();
    written.and_then(|()| archive.finish()).expect("a vector takes all bytes")
}
