//! Packing of requests into rows, and loading them back. The callers pack, so the writer only writes.
//!
//! A node in the ledger implies its ancestors, so packing goes from the newest message back to the first one that is
//! persisted: a turn of a chat packs about two messages.

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use parking_lot::Mutex;

use super::{
    Error,
    columns::{Body, compress},
    connection::Connection,
    query::{query_as, query_scalar},
};
use crate::domain::{
    cassette::is_answer,
    chain::{self, Chain, Hash, Node},
};

/// Hashes whose rows are committed. The length from which on strings are cut out of a body ([`chain::LONG_STRING`]) is
/// a part of the ledger's format: with another length, a persisted body would get pieces that are not its own.
///
/// The number is limited. A hash that is missing here costs an insert that changes nothing.
#[derive(Debug, Default)]
pub(super) struct PersistedHashes {
    young: HashSet<Hash>,
    old: HashSet<Hash>,
    /// Number of prunes that it is suspended for: then no hash counts as persisted.
    suspended: usize,
    file: FileNumber,
}

/// Number of the file that has the rows: it grows when the ledger is opened anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FileNumber(u64);

/// Limit of hashes in each of the two generations: 4 MB together.
const GENERATION: usize = 32 * 1024;

impl PersistedHashes {
    fn contains(&self, hash: &Hash) -> bool {
        self.young.contains(hash) || self.old.contains(hash)
    }

    /// Forgets all hashes and takes no new ones until [`PersistedHashes::resume`] is called as often.
    pub(super) fn suspend(&mut self) {
        *self = Self { suspended: self.suspended + 1, file: self.file, ..Self::default() };
    }

    /// True between [`PersistedHashes::suspend`] and [`PersistedHashes::resume`].
    pub(super) const fn is_suspended(&self) -> bool {
        self.suspended > 0
    }

    /// The file that has the rows.
    pub(super) const fn file(&self) -> FileNumber {
        self.file
    }

    /// Forgets all hashes, because the rows of the next file are not known.
    pub(super) fn next_file(&mut self) -> FileNumber {
        let file = FileNumber(self.file.0 + 1);
        *self = Self { suspended: self.suspended, file, ..Self::default() };
        file
    }

    /// Takes the hashes of rows that are committed from now on.
    pub(super) fn resume(&mut self) {
        self.suspended = self.suspended.saturating_sub(1);
    }

    pub(super) fn insert(&mut self, hash: Hash) {
        if self.is_suspended() {
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}

/// The rows of a request that are not persisted yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Bodies {
    /// Hash, body.
    pub(super) frames: Vec<(Hash, Vec<u8>)>,
    /// Hash, parent, body; ancestors first.
    pub(super) nodes: Vec<(Hash, Option<Hash>, Vec<u8>)>,
    /// Hash, body.
    pub(super) blobs: Vec<(Hash, Vec<u8>)>,
    /// Owner, offset, blob.
    pub(super) pieces: Vec<(Hash, usize, Hash)>,
}

impl Bodies {
    /// The hashes that are persisted once these rows are committed.
    pub(super) fn hashes(&self) -> impl Iterator<Item = Hash> {
        let frames = self.frames.iter().map(|(hash, _)| *hash);
        let nodes = self.nodes.iter().map(|(hash, ..)| *hash);
        frames.chain(nodes).chain(self.blobs.iter().map(|(hash, _)| *hash))
    }
}

/// The hashes of a request, and the rows to insert before a row that refers to them.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    pub(super) frame: Option<Hash>,
    pub(super) head: Option<Hash>,
    pub(super) bodies: Bodies,
    /// The file with the rows that were left out, because they are persisted; `None`: all rows are here.
    pub(super) rest: Option<FileNumber>,
}

impl Packed {
    /// Packs the parts of a request that are not persisted.
    pub(super) fn new(chain: &Chain, persisted: &Mutex<PersistedHashes>) -> Self {
        let (frame, nodes, file) = {
            let persisted = persisted.lock();
            let stem = chain
                .nodes
                .iter()
                .rposition(|node| persisted.contains(&node.hash))
                .map_or(0, |at| at + 1);
            let frame = (!persisted.contains(&chain.frame.hash)).then_some(&chain.frame);
            (frame, &chain.nodes[stem..], persisted.file)
        };
        let mut bodies = Bodies::default();
        let mut is_whole = frame.is_some() && nodes.len() == chain.nodes.len();
        if let Some(frame) = frame {
            let rest = bodies.pack(frame, persisted, &mut is_whole);
            bodies.frames.push((frame.hash, rest));
        }
        for node in nodes {
            let rest = bodies.pack(node, persisted, &mut is_whole);
            bodies.nodes.push((node.hash, node.parent, rest));
        }
        let rest = (!is_whole).then_some(file);
        Self { frame: Some(chain.frame.hash), head: chain.head(), bodies, rest }
    }

    /// Tells whether rows of the request are in another file than `file`, and nowhere else.
    pub(super) fn is_for_another(&self, file: FileNumber) -> bool {
        self.rest.is_some_and(|rest| rest != file)
    }

    /// Drops the request if it is for another file than `file`.
    pub(super) fn drop_unless_in(&mut self, file: FileNumber) {
        if self.is_for_another(file) {
            *self = Self::default();
        }
    }

    /// The memory that the rows take.
    pub(super) fn bytes(&self) -> usize {
        let Bodies { frames, nodes, blobs, pieces } = &self.bodies;
        frames.iter().map(|(_, body)| body.len()).sum::<usize>()
            + nodes.iter().map(|(.., body)| body.len() + 64).sum::<usize>()
            + blobs.iter().map(|(_, body)| body.len()).sum::<usize>()
            + pieces.len() * 80
    }

    /// Drops the rows, and the hashes that would refer to them.
    pub(super) fn drop_bodies(&mut self) {
        if self.bytes() > 0 {
            *self = Self::default();
        }
    }
}

impl Bodies {
    /// Moves the long strings of a node into blobs and returns the rest, compressed.
    fn pack(
        &mut self,
        node: &Node,
        persisted: &Mutex<PersistedHashes>,
        is_whole: &mut bool,
    ) -> Vec<u8> {
        let (rest, pieces) = chain::split(&node.body);
        for (at, piece) in pieces {
            let hash = Hash::of("blob", &[piece]);
            self.pieces.push((node.hash, at, hash));
            let here = self.blobs.iter().any(|(held, _)| *held == hash);
            if here {
                continue;
            }
            if persisted.lock().contains(&hash) {
                *is_whole = false;
            } else {
                self.blobs.push((hash, compress(piece)));
            }
        }
        compress(&rest)
    }
}

/// Loads a request, byte for byte, and checks it against its hashes.
pub(super) async fn load(
    conn: &mut Connection<'_>,
    frame: Hash,
    head: Option<Hash>,
) -> Result<Chain, Error> {
    const FRAME: &str = "select body from frame where hash = $1";
    const NODES: &str = "with recursive line (hash, parent, body, depth) as ( \
         select hash, parent, body, 0 from node where hash = $1 \
         union all \
         select node.hash, node.parent, node.body, line.depth + 1 from node join line on node.hash = line.parent \
         ) select hash, body from line order by depth desc";
    const PIECES: &str = "with recursive line (hash, parent) as ( \
         select hash, parent from node where hash = $1 \
         union all \
         select node.hash, node.parent from node join line on node.hash = line.parent \
         ) select piece.owner, piece.at, blob.body from piece join blob on blob.hash = piece.blob \
         where piece.owner in (select hash from line) or piece.owner = $2 order by piece.owner, piece.at";

    let frame_body: Option<Body> =
        query_scalar(FRAME).bind(frame).fetch_optional(&mut *conn).await?;
    let nodes: Vec<(Hash, Body)> = query_as(NODES).bind(head).fetch_all(&mut *conn).await?;
    let rows: Vec<(Hash, i64, Body)> =
        query_as(PIECES).bind(head).bind(frame).fetch_all(&mut *conn).await?;

    let mut pieces: HashMap<Hash, Vec<(usize, Body)>> = HashMap::new();
    for (owner, at, body) in rows {
        pieces.entry(owner).or_default().push((usize::try_from(at).unwrap_or(0), body));
    }
    let join = |hash: &Hash, body: &Body| {
        let pieces = pieces.get(hash).map_or(&[][..], Vec::as_slice);
        chain::join(&body.0, pieces.iter().map(|(at, piece)| (*at, piece.0.as_slice())))
    };
    let body = join(&frame, &frame_body.ok_or(Error::NoBodies { frame })?);
    let messages = nodes.iter().map(|(hash, body)| join(hash, body));
    let chain = Chain::new(body, messages);
    if chain.frame.hash == frame && chain.head() == head {
        Ok(chain)
    } else {
        Err(Error::NoBodies { frame })
    }
}

/// Maximum number of messages that [`load_newest`] reads.
const MOST_NEWEST: usize = 1_000;

/// Loads the messages at the end of a chain, back to the answer before them, which is among them without its long strings.
/// So the time does not depend on the length of a chat. `None`: they are not all there.
pub(super) async fn load_newest(
    conn: &mut Connection<'_>,
    head: Hash,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    const NODE: &str = "select parent, body from node where hash = $1";
    const PIECES: &str = "select piece.at, blob.body from piece join blob on blob.hash = piece.blob \
         where piece.owner = $1 order by piece.at";
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let (mut next, mut has_new, mut has_answer) = (Some(head), false, false);
    while let Some(hash) = next.filter(|_| messages.len() < MOST_NEWEST) {
        let node: Option<(Option<Hash>, Body)> =
            query_as(NODE).bind(hash).fetch_optional(&mut *conn).await?;
        let Some((parent, Body(body))) = node else { return Ok(None) };
        let is_answer = is_answer(&body);
        if !is_answer && has_answer {
            break;
        }
        // The beginning of an answer may stand at the end.
        has_new |= !is_answer;
        has_answer |= is_answer && has_new;
        if is_answer {
            messages.push(body);
        } else {
            let pieces: Vec<(i64, Body)> =
                query_as(PIECES).bind(hash).fetch_all(&mut *conn).await?;
            let pieces = pieces
                .iter()
                .map(|(at, Body(piece))| (usize::try_from(*at).unwrap_or(0), piece.as_slice()));
            messages.push(chain::join(&body, pieces));
        }
        next = parent;
    }
    messages.reverse();
    Ok(Some(messages))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(n: usize) -> Chain {
        Chain::new(b"{}".to_vec(), (0..n).map(|i| format!("{{\"n\":{i}}}").into_bytes()))
    }

    #[test]
    fn a_turn_packs_only_what_is_not_known() {
        let known = Mutex::default();
        let packed = Packed::new(&turn(3), &known);
        assert_eq!((packed.bodies.frames.len(), packed.bodies.nodes.len()), (1, 3));
        for hash in packed.bodies.hashes() {
            known.lock().insert(hash);
        }
        let packed = Packed::new(&turn(5), &known);
        assert_eq!((packed.bodies.frames.len(), packed.bodies.nodes.len()), (0, 2));
        assert_eq!(Packed::new(&turn(5), &known).head, turn(5).head());
    }

    #[test]
    fn a_request_with_rows_in_another_file_is_dropped_and_a_whole_one_is_not() {
        let known = Mutex::default();
        let mut whole = Packed::new(&turn(2), &known);
        whole.bodies.hashes().for_each(|hash| known.lock().insert(hash));
        let mut packed = Packed::new(&turn(3), &known);
        packed.drop_unless_in(FileNumber::default());
        assert_eq!(packed.head, turn(3).head());
        let file = known.lock().next_file();
        packed.drop_unless_in(file);
        whole.drop_unless_in(file);
        assert_eq!((packed.frame, packed.head, packed.bodies.nodes.len()), (None, None, 0));
        assert_eq!((whole.head, whole.bodies.nodes.len()), (turn(2).head(), 2));
        let packed = Packed::new(&turn(3), &known);
        assert_eq!((packed.bodies.nodes.len(), packed.rest), (3, None));
    }

    #[test]
    fn a_request_that_is_known_keeps_its_hashes_when_bodies_are_dropped() {
        let known = Mutex::default();
        let mut unknown = Packed::new(&turn(2), &known);
        for hash in unknown.bodies.hashes() {
            known.lock().insert(hash);
        }
        unknown.drop_bodies();
        assert_eq!((unknown.frame, unknown.head), (None, None));
        let mut packed = Packed::new(&turn(2), &known);
        packed.drop_bodies();
        assert_eq!(packed.head, turn(2).head());
    }
}
