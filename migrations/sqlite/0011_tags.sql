-- Labels of calls, by which reports group: the client's `X-Reprise-Tag` and `metadata`. Roll-ups do not have them; a
-- report by tag reads the calls that have some.
alter table call add column tags text;   -- a JSON list; null: none
create index call_tags on call (at) where tags is not null;

-- Why a call went upstream, or was refused: the detail of its `Cache-Status`. Null: the ledger answered it, or nobody
-- wrote it down yet.
alter table call add column reason text;

-- Requests that were refused without a row in `call`: those of clients that are not known, and those of a client that
-- repeats them. A count for each hour and reason, so that strangers cannot make the ledger grow.
create table refusal (
    hour integer not null,                  -- since the Unix epoch, UTC
    reason text not null,                   -- the error's code
    count integer not null,
    primary key (hour, reason)
) strict, without rowid;
