//! Marking: finds the messages, frames and blobs that no row refers to, beginning at the rows that stay.

use std::collections::HashMap;

use super::pages::Pages;
use crate::{
    domain::chain::Hash,
    store::{
        Error,
        connection::Connection,
        query::{query, query_as, run_all},
        recovery,
    },
};

/// Bytes of the hashes and headers of a row.
const HASHES: u64 = 80;

/// The newest rows that the marking saw. Deleting checks the rows that were written later.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) exchanges: i64,
    pub(super) calls: i64,
}

/// Messages, frames and blobs that nothing refers to.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// Messages, children before their parents.
    pub(super) nodes: Vec<Hash>,
    pub(super) frames: Vec<Hash>,
    pub(super) blobs: Vec<Hash>,
    /// The space that they leave, about.
    pub(super) bytes: u64,
    pub(super) seen: Seen,
}

/// Finds what only rows of the plan, or none, refer to.
pub(super) async fn unused(conn: &mut Connection<'_>) -> Result<Unused, Error> {
    const SEEN: &str = "select (select coalesce(max(rowid), 0) from exchange), \
         (select coalesce(max(seq), 0) from call)";
    const TABLE: [&str; 2] = [
        "drop table if exists live; create temp table live (hash blob primary key) without rowid",
        "drop table if exists live; create temp table live (hash bytea primary key)",
    ];
    const LIVE: &str = "insert into live (hash) select frame from exchange where frame is not null \
             and rowid not in (select at from gone_body) and rowid not in (select at from gone_exchange) \
         union select client_frame from call where client_frame is not null \
             and seq not in (select at from gone_request) and seq not in (select at from gone_call) \
         union select frame from running where frame is not null \
         union select head from exchange where head is not null \
             and rowid not in (select at from gone_body) and rowid not in (select at from gone_exchange) \
         union select client_head from call where client_head is not null \
             and seq not in (select at from gone_request) and seq not in (select at from gone_call) \
         union select head from running where head is not null";
    // The ancestors of a live message are live.
    const STEMS: &str = "insert into live (hash) with recursive line (hash) as ( \
         select hash from live \
         union select node.parent from line join node on node.hash = line.hash \
         where node.parent is not null) select hash from line where hash not in (select hash from live)";
    const NODES: &str = "select hash, parent, cast(length(body) as bigint) as bytes from node \
         where hash not in (select hash from live)";
    const FRAMES: &str = "select hash, cast(length(body) as bigint) as bytes from frame where hash not in (select hash from live)";
    const BLOBS: &str = "select hash, cast(length(body) as bigint) as bytes from blob where not exists ( \
         select 1 from piece where piece.blob = blob.hash and piece.owner in (select hash from live))";

    let pages = Pages::of(conn).await?;
    let (exchanges, calls) = query_as(SEEN).fetch_one(&mut *conn).await?;
    let [sqlite, postgres] = TABLE;
    run_all(conn.pick(sqlite, postgres), conn).await?;
    query(LIVE).execute(&mut *conn).await?;
    for hash in recovery::client_hashes(conn).await? {
        let keep = query("insert into live (hash) values ($1) on conflict do nothing");
        keep.bind(hash).execute(&mut *conn).await?;
    }
    query(STEMS).execute(&mut *conn).await?;

    let mut unused = Unused { seen: Seen { exchanges, calls }, ..Unused::default() };
    let mut parents = HashMap::new();
    let nodes: Vec<(Hash, Option<Hash>, i64)> = query_as(NODES).fetch_all(&mut *conn).await?;
    for (hash, parent, bytes) in nodes {
        parents.insert(hash, parent);
        unused.bytes += pages.of_keyed_row(HASHES + u64::try_from(bytes).unwrap_or(0));
    }
    unused.nodes = children_first(&parents);
    let frames: Vec<(Hash, i64)> = query_as(FRAMES).fetch_all(&mut *conn).await?;
    for (hash, bytes) in frames {
        unused.frames.push(hash);
        unused.bytes += pages.of_keyed_row(HASHES + u64::try_from(bytes).unwrap_or(0));
    }
    let blobs: Vec<(Hash, i64)> = query_as(BLOBS).fetch_all(&mut *conn).await?;
    for (hash, bytes) in blobs {
        unused.blobs.push(hash);
        unused.bytes += pages.of_row(HASHES + u64::try_from(bytes).unwrap_or(0));
    }
    Ok(unused)
}

/// Sorts messages by their number of ancestors among them, the most first: so no message is left without its parent
/// when pruning stops.
fn children_first(parents: &HashMap<Hash, Option<Hash>>) -> Vec<Hash> {
    let mut depths: HashMap<Hash, u32> = HashMap::with_capacity(parents.len());
    for &hash in parents.keys() {
        let mut line = vec![hash];
        let mut above = 0;
        while let Some(&at) = line.last() {
            if let Some(&depth) = depths.get(&at) {
                above = depth + 1;
                line.pop();
                break;
            }
            match parents.get(&at).copied().flatten().filter(|parent| parents.contains_key(parent))
            {
                Some(parent) => line.push(parent),
                None => break,
            }
        }
        for at in line.into_iter().rev() {
            depths.insert(at, above);
            above += 1;
        }
    }
    let mut nodes: Vec<(u32, Hash)> =
        depths.into_iter().map(|(hash, depth)| (depth, hash)).collect();
    nodes.sort_unstable_by(|a, b| b.cmp(a));
    nodes.into_iter().map(|(_, hash)| hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_go_before_their_parents() {
        let hash = |n: u8| Hash::from_bytes([n; 32]);
        // 1 ← 2 ← 3 ← 4, 2 ← 5; 9 is above 1 and stays.
        let parents =
            [(3, Some(2)), (1, Some(9)), (4, Some(3)), (2, Some(1)), (5, Some(2)), (6, None)]
                .map(|(node, parent): (u8, Option<u8>)| (hash(node), parent.map(hash)));
        let order = children_first(&parents.into_iter().collect());
        let place = |n| order.iter().position(|node| *node == hash(n)).unwrap();
        assert_eq!(order.len(), 6);
        assert!(place(4) < place(3) && place(3) < place(2) && place(5) < place(2));
        assert!(place(2) < place(1));
    }
}
