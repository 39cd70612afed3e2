//! Requests in and out of the ledger: packed where they come from, so that the writer only writes.
//!
//! A node's presence implies its ancestors', so packing walks from the newest message back to the first one that is
//! known to be in the ledger: a turn of a chat packs about two.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    io, mem,
    sync::{Mutex, PoisonError},
};

use sqlx::{Row, SqliteConnection};

use super::Error;
use crate::domain::chain::{self, Chain, Hash, Node};

/// Hashes that are committed. How a body is split ([`chain::LONG_STRING`]) is a part of the ledger's format: split in another
/// way, a body that is there already would get pieces that are not its own.
///
/// Bounded: forgetting one costs a row that is not inserted again, never a wrong ledger.
#[derive(Debug, Default)]
pub(super) struct PersistedHashes {
    young: HashSet<Hash>,
    old: HashSet<Hash>,
    /// While the ledger is pruned nothing is believed to be there.
    suspended: bool,
}

/// How many hashes each of the two generations holds: 4 MB together.
const GENERATION: usize = 32 * 1024;

impl PersistedHashes {
    fn contains(&self, hash: &Hash) -> bool {
        self.young.contains(hash) || self.old.contains(hash)
    }

    /// Believes in nothing any more, until [`PersistedHashes::resume`].
    pub(super) fn suspend(&mut self) {
        *self = Self { suspended: true, ..Self::default() };
    }

    /// Believes again in what is written from now on.
    pub(super) fn resume(&mut self) {
        self.suspended = false;
    }

    pub(super) fn insert(&mut self, hash: Hash) {
        if self.suspended {
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}

/// The rows that a request needs and the ledger does not have yet.
#[derive(Debug, Default)]
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
    /// The hashes that are known once these rows are committed.
    pub(super) fn hashes(&self) -> impl Iterator<Item = Hash> {
        let frames = self.frames.iter().map(|(hash, _)| *hash);
        let nodes = self.nodes.iter().map(|(hash, ..)| *hash);
        frames.chain(nodes).chain(self.blobs.iter().map(|(hash, _)| *hash))
    }
}

/// A request as its row refers to it, and the rows that must be there first.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) frame: Option<Hash>,
    pub(super) head: Option<Hash>,
    pub(super) bodies: Bodies,
}

impl Packed {
    /// Packs what is not `known` of a request.
    pub(super) fn new(chain: &Chain, known: &Mutex<PersistedHashes>) -> Self {
        let (frame, nodes) = {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let stem = chain
                .nodes
                .iter()
                .rposition(|node| known.contains(&node.hash))
                .map_or(0, |at| at + 1);
            ((!known.contains(&chain.frame.hash)).then_some(&chain.frame), &chain.nodes[stem..])
        };
        let mut bodies = Bodies::default();
        if let Some(frame) = frame {
            let rest = bodies.pack(frame, known);
            bodies.frames.push((frame.hash, rest));
        }
        for node in nodes {
            let rest = bodies.pack(node, known);
            bodies.nodes.push((node.hash, node.parent, rest));
        }
        Self { frame: Some(chain.frame.hash), head: chain.head(), bodies }
    }

    /// How much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        let Bodies { frames, nodes, blobs, pieces } = &self.bodies;
        frames.iter().map(|(_, body)| body.len()).sum::<usize>()
            + nodes.iter().map(|(.., body)| body.len() + 64).sum::<usize>()
            + blobs.iter().map(|(_, body)| body.len()).sum::<usize>()
            + pieces.len() * 80
    }

    /// Lets go of the rows, and with them of what would refer to them.
    pub(super) fn drop_bodies(&mut self) {
        if self.bytes() > 0 {
            *self = Self::default();
        }
    }
}

impl Bodies {
    /// Takes the long strings out of a node and returns the rest, compressed.
    fn pack(&mut self, node: &Node, known: &Mutex<PersistedHashes>) -> Vec<u8> {
        let (rest, pieces) = chain::split(&node.body);
        for (at, piece) in pieces {
            let hash = Hash::of("blob", &[piece]);
            self.pieces.push((node.hash, at, hash));
            let here = self.blobs.iter().any(|(held, _)| *held == hash);
            if !here && !known.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash) {
                self.blobs.push((hash, compress(piece)));
            }
        }
        compress(&rest)
    }
}

/// What a zstd frame begins with (RFC 8878 §3.1.1).
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Shorter bodies stay as they are: compressing them takes longer than writing them.
const SHORT: usize = 1024;

/// zstd at level 1, for bodies that are worth it. The context is kept for each thread: a fresh one costs more than
/// the work.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() < SHORT && !bytes.starts_with(&ZSTD_MAGIC) {
        return bytes.to_vec();
    }
    thread_local! {
        static COMPRESSOR: RefCell<zstd::bulk::Compressor<'static>> =
            RefCell::new(zstd::bulk::Compressor::new(1).expect("level 1 exists"));
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.compress(bytes).expect("the compressor sizes its own buffer")
    })
}

/// Reads [`compress`]'s form back.
pub(super) fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    if bytes.starts_with(&ZSTD_MAGIC) { zstd::decode_all(bytes) } else { Ok(bytes.to_vec()) }
}

/// Reads a request back, byte for byte, and checks it against its hashes.
pub(super) async fn load(
    conn: &mut SqliteConnection,
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

    let frame_rest: Option<Vec<u8>> = sqlx::query_scalar(FRAME)
        .bind(&frame.as_bytes()[..])
        .fetch_optional(&mut *conn)
        .await
        .map_err(Error::Read)?;
    let head_bytes = head.as_ref().map(|hash| &hash.as_bytes()[..]);
    let nodes =
        sqlx::query(NODES).bind(head_bytes).fetch_all(&mut *conn).await.map_err(Error::Read)?;
    let rows = sqlx::query(PIECES)
        .bind(head_bytes)
        .bind(&frame.as_bytes()[..])
        .fetch_all(&mut *conn)
        .await
        .map_err(Error::Read)?;

    let mut pieces: HashMap<Vec<u8>, Vec<(usize, Vec<u8>)>> = HashMap::new();
    for row in &rows {
        let at = usize::try_from(row.try_get::<i64, _>("at").map_err(Error::Read)?).unwrap_or(0);
        let body = decompress(row.try_get("body").map_err(Error::Read)?).map_err(Error::Zstd)?;
        pieces.entry(row.try_get("owner").map_err(Error::Read)?).or_default().push((at, body));
    }
    let whole = |hash: &[u8], rest: &[u8]| {
        let rest = decompress(rest).map_err(Error::Zstd)?;
        let pieces = pieces.get(hash).map_or(&[][..], Vec::as_slice);
        Ok(chain::join(&rest, pieces.iter().map(|(at, piece)| (*at, piece.as_slice()))))
    };
    let messages = nodes
        .iter()
        .map(|row| {
            let hash = row.try_get("hash").map_err(Error::Read)?;
            whole(hash, row.try_get("body").map_err(Error::Read)?)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let body = whole(frame.as_bytes(), &frame_rest.ok_or(Error::NoBodies { frame })?)?;
    let chain = Chain::new(body, messages);
    if chain.frame.hash == frame && chain.head() == head {
        Ok(chain)
    } else {
        Err(Error::NoBodies { frame })
    }
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
            known.lock().unwrap().insert(hash);
        }
        let packed = Packed::new(&turn(5), &known);
        assert_eq!((packed.bodies.frames.len(), packed.bodies.nodes.len()), (0, 2));
        assert_eq!(Packed::new(&turn(5), &known).head, turn(5).head());
    }

    #[test]
    fn a_request_that_is_known_keeps_its_hashes_when_bodies_are_dropped() {
        let known = Mutex::default();
        let mut unknown = Packed::new(&turn(2), &known);
        for hash in unknown.bodies.hashes() {
            known.lock().unwrap().insert(hash);
        }
        unknown.drop_bodies();
        assert_eq!((unknown.frame, unknown.head), (None, None));
        let mut packed = Packed::new(&turn(2), &known);
        packed.drop_bodies();
        assert_eq!(packed.head, turn(2).head());
    }
}
