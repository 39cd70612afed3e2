-- What reports need beside the calls: why a call failed, whether what it saved is known, prices of one's own, and sums
-- by hour. See src/store/rollup.rs and src/store/prune.rs.

alter table call add column error_kind text; -- Anthropic's `error.type`, or ours; null: no error, or nobody said
alter table call add column saved_is text not null default 'exact'
    check (saved_is in ('exact', 'unpriced')); -- unpriced: `saved` is 0 because nobody knows
update call set error_kind = (select error_kind from exchange where exchange.id = call.exchange)
    where exchange is not null and outcome in ('failed', 'cut', 'stopped', 'lost');
update call set saved_is = 'unpriced'
    where answered_by in ('hit', 'collapsed') and outcome = 'complete' and saved = 0 and output > 0;

-- Prices that were imported; they lie over those of the program. In trillionths of a dollar per token.
create table price (
    model text not null,
    since text not null,                    -- the first day, YYYY-MM-DD in UTC
    above integer not null,                 -- 0: the usual price; else of prompts with more tokens than this
    input integer not null,
    output integer not null,
    cache_write_5m integer not null,
    cache_write_1h integer not null,
    cache_read integer not null,
    primary key (model, since, above)
) strict, without rowid;

-- Sums of calls, made by reports when there is something to sum up. They can be made again from `call` at any time.
create table rollup (
    hour integer primary key,               -- since the Unix epoch, UTC
    totals blob not null                    -- by quarter of an hour, model, user, chat, task, …; zstd
) strict;

-- How far the sums go. Calls are summed in the order in which they were committed, not in that in which they came in:
-- a call may be committed long after it came in, and must not be missed.
create table rollup_state (
    one integer primary key check (one = 1),
    upto integer not null,                  -- the newest `rowid` of `call` that is in the sums
    upto_call text,                         -- its id: if another call is there now, the sums are void
    version integer not null,               -- counts every change, so that two that write at once notice
    totals_from integer not null            -- what came in earlier is not counted any more: it was pruned
) strict;
insert into rollup_state (one, upto, upto_call, version, totals_from) values (1, 0, null, 0, 0);
