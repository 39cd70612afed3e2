-- Several processes share a ledger.

-- The processes that write to it. Each holds a shared advisory lock as long as it lives.
drop table owner;
create table owner (
    id text collate "C" primary key,            -- admits an operator of its server
    holder text collate "C" not null,           -- for people
    since bigint not null,                      -- by the clock of this server
    has_made_room boolean not null default false -- it relies on no row that a prune may delete
);

-- The requests that are being asked, so that no other process asks the same. They end with the processes that made them.
create unlogged table claim (
    key bytea primary key,
    exchange text collate "C" not null unique,
    owner text collate "C" not null
);

-- The advisory lock of an owner.
create function owner_lock(id text) returns bigint
    language sql stable
    as $$ select hashtextextended(current_schema() || '/' || id, 0) $$;

-- Tells whether somebody holds the lock of an owner.
create function owner_is_alive(id text) returns boolean
    language sql stable
    as $$ select exists (
        select from pg_locks
        where locktype = 'advisory' and objsubid = 1 and granted
        and database = (select oid from pg_database where datname = current_database())
        and classid::bigint = (owner_lock(id) >> 32) & 4294967295
        and objid::bigint = owner_lock(id) & 4294967295
    ) $$;

-- The channel on which the owners of this ledger tell each other what they have committed.
create function news_channel() returns text
    language sql stable
    as $$ select 'reprise_' || md5(current_schema()) $$;
create function tell(news text) returns void
    language sql
    as $$ select pg_notify(news_channel(), news) $$;
