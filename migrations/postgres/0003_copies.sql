-- What this ledger is a copy of, as in migrations/sqlite/0014_copies.sql.
create table copied_from (
    one bigint primary key check (one = 1),
    source bytea not null,
    state text collate "C" not null,
    calls_upto bigint not null,
    exchanges_upto bigint not null,
    check (state in ('begun', 'renewed', 'whole'))
);
