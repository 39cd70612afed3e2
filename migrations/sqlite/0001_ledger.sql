-- The ledger. Hashes and keys are 32 bytes of SHA-256, ids UUIDv7 as text, times unix milliseconds in UTC,
-- durations microseconds, money billionths of a dollar, bodies zstd (short ones plain). See src/store.rs.
--
-- Every exchange writes to most of these tables, and each b-tree is a page more to write: tables whose key is all they
-- are looked up by have no other tree, and an index stands here only when something reads by it.

-- A request without its messages: model, system, tools, parameters. Kept once, however often it is asked.
create table frame (
    hash blob primary key,                  -- covers the body
    body blob not null                      -- JSON without its long strings, zstd
) strict, without rowid;

-- One message of a request. Its hash covers its ancestors, so its presence implies theirs. No foreign key holds
-- `parent`: the writer does, and a row must never be lost for the sake of a stem.
create table node (
    hash blob primary key,                  -- covers parent and body
    parent blob,                            -- the message before; null for the first one
    body blob not null                      -- JSON without its long strings, zstd
) strict, without rowid;

-- A string over 4 kB: an image, a document. Kept once, whichever messages contain it.
create table blob (
    hash blob primary key,                  -- covers the body
    body blob not null                      -- the string as it was escaped in the JSON, zstd
) strict;

-- Where the long strings of a frame or node belong.
create table piece (
    owner blob not null,                    -- the node or frame
    at integer not null,                    -- offset in the owner's body, in bytes
    blob blob not null references blob (hash),
    primary key (owner, at)
) strict, without rowid;
create index piece_blob on piece (blob);    -- which blobs nobody needs any more

-- One request that went upstream, retries included, and what came back.
create table exchange (
    id text primary key,
    key blob not null,                      -- the cache key
    scope text not null,                    -- among whom the answer is shared
    frame blob,                             -- null: no bodies kept
    head blob,                              -- the newest node; null: no bodies kept, or no messages
    continues text,                         -- the exchange before in the same session
    model_asked text not null,
    model_served text,                      -- as upstream named it; null: it never said
    outcome text not null,                  -- complete, failed, cut, stopped, lost
    stop_reason text,                       -- Anthropic's word
    error_kind text,                        -- Anthropic's `error.type`, or ours
    error text,                             -- for people
    status integer,                         -- of upstream's response; null: there was none
    upstream_request text,                  -- Anthropic's `request-id`
    opened_at integer not null,
    ended_at integer not null,
    ttft_us integer,                        -- until the first event
    total_us integer,                       -- until the end; null: nobody saw it
    input integer not null,                 -- tokens after the last cache breakpoint
    cache_write_5m integer not null,
    cache_write_1h integer not null,
    cache_read integer not null,
    output integer not null,                -- everything generated, thinking included
    thinking integer not null,              -- the part of `output` that was thinking
    searches integer not null,
    cost integer,                           -- null: unpriced
    cost_is text not null,                  -- exact, at_least (it ended early), unpriced
    priced_on text,                         -- the day whose prices these are, YYYY-MM-DD
    servable integer not null,              -- whether it may ever answer a repeat
    breakpoints text,                       -- where prompt caching was asked for, JSON
    recording blob,                         -- marks and bytes of the SSE body, zstd; last, so that reports skip it
    check (cost_is in ('exact', 'at_least', 'unpriced')),
    check ((cost is null) = (cost_is = 'unpriced')),
    check (recording is not null or not servable)
) strict;
create index exchange_servable on exchange (key, ended_at) where servable;

-- One request of a client, and how it was answered. Narrow: reports read only this.
create table call (
    id text primary key,
    exchange text,                          -- null: answered from a fixture, or not at all
    at integer not null,                    -- when it came in
    answered_by text not null,              -- hit, miss, collapsed, refresh, bypass, replay
    door text not null,                     -- the dialect: chat, messages
    stream integer not null,                -- whether the client asked for a stream
    user_id text,                           -- these five as the client stated them
    chat_id text,
    message_id text,
    user_message_id text,
    task text,
    client text,                            -- the program that asked
    status integer,                         -- of our response; null: nobody was there to get one
    outcome text not null,                  -- of the exchange
    ttft_us integer,
    total_us integer,
    model text not null,                    -- served, else asked
    input integer not null,                 -- tokens of the answer, as on the exchange
    cache_write_5m integer not null,
    cache_write_1h integer not null,
    cache_read integer not null,
    output integer not null,
    thinking integer not null,
    searches integer not null,
    cost integer,                           -- what this call cost: 0 when no one had to be asked
    cost_is text not null,
    saved integer not null,                 -- what it would have cost
    notes text,                             -- what the translation dropped or changed, JSON
    client_frame blob,                      -- what the client really sent, kept like the upstream request
    client_head blob,
    check (cost_is in ('exact', 'at_least', 'unpriced')),
    check ((cost is null) = (cost_is = 'unpriced'))
) strict;
create index call_at on call (at);

-- What is upstream right now: written before the first byte leaves, deleted with the sealing. What a dead owner
-- leaves here becomes a lost exchange.
create table running (
    exchange text primary key,
    collapse_key blob,                      -- others with this key join instead of asking
    owner text not null,                    -- the process
    opened_at integer not null,
    key blob not null,
    scope text not null,
    model text not null,
    frame blob,
    head blob,
    call text not null                      -- who asked, JSON
) strict, without rowid;
create unique index running_collapse_key on running (collapse_key) where collapse_key is not null;

-- Tool-call ids and signatures of an answer, by which its original blocks are found again.
create table answer_ref (
    scope text not null,
    ref text not null,
    exchange text not null references exchange (id) on delete cascade,
    primary key (scope, ref, exchange)
) strict, without rowid;
create index answer_ref_exchange on answer_ref (exchange); -- for the cascade
