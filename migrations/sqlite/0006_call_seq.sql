-- Calls get a number of their own, `seq`, in the order of their commits. Roll-ups and pruning go by it: `vacuum` keeps
-- it, while it may number a `rowid` anew. The column `door` becomes `api`, as in the program. Only this table is rebuilt.
-- Each call keeps its row id as its number, so the sums stay valid.
alter table call rename to call_before;
create table call (
    seq integer primary key,                -- in the order of commits
    id text not null unique,
    exchange text,                          -- null: answered from a fixture, or not at all
    at integer not null,                    -- when it came in
    answered_by text not null,              -- hit, miss, collapsed, refresh, bypass, replay
    api text not null,                      -- that the client used: chat, messages
    stream integer not null,                -- whether the client asked for a stream
    user_id text,                           -- these five as the client stated them
    chat_id text,
    message_id text,
    user_message_id text,
    task text,
    client text,                            -- the client program
    status integer,                         -- of our response; null: nobody was there to get one
    outcome text not null,                  -- of the exchange
    error_kind text,                        -- Anthropic's `error.type`, or ours; null: no error, or nobody said
    ttft_us integer,
    total_us integer,
    model text not null,                    -- served, else requested
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
    saved_is text not null default 'exact', -- unpriced: `saved` is 0 because nobody knows
    notes text,                             -- what the translation dropped or changed, JSON
    key blob,                               -- the cache key; null: the call is older than the column
    client_frame blob,                      -- the client's request, kept like the upstream request
    client_head blob,
    check (cost_is in ('exact', 'at_least', 'unpriced')),
    check ((cost is null) = (cost_is = 'unpriced')),
    check (saved_is in ('exact', 'unpriced'))
) strict;

insert into call (
    seq, id, exchange, at, answered_by, api, stream, user_id, chat_id, message_id, user_message_id, task, client, status,
    outcome, error_kind, ttft_us, total_us, model, input, cache_write_5m, cache_write_1h, cache_read, output, thinking,
    searches, cost, cost_is, saved, saved_is, notes, key, client_frame, client_head
) select
    rowid, id, exchange, at, answered_by, door, stream, user_id, chat_id, message_id, user_message_id, task, client, status,
    outcome, error_kind, ttft_us, total_us, model, input, cache_write_5m, cache_write_1h, cache_read, output, thinking,
    searches, cost, cost_is, saved, saved_is, notes, key, client_frame, client_head
from call_before order by rowid;

drop table call_before;
create index call_at on call (at);
create index call_chat on call (chat_id, key) where chat_id is not null; -- who asked before; the calls of a chat
