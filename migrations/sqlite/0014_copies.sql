-- What this ledger is a copy of, if `reprise ledger copy` made it. See src/store/copy.rs.
create table copied_from (
    one integer primary key check (one = 1),
    source blob not null,                   -- the `holder_salt` of that ledger, which every copy of it has
    state text not null,                    -- begun: half a ledger; renewed: whole, and being brought up to date; whole
    calls_upto integer not null,            -- the newest `seq` of `call` when it was whole: newer calls are its own
    exchanges_upto integer not null,        -- the newest `rowid` of `exchange` when it was whole
    check (state in ('begun', 'renewed', 'whole'))
) strict;
