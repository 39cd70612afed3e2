-- Costs that can be computed again: an exchange has its bill, so that a price that is learnt late, or corrected, counts.
-- See src/domain/price/bill.rs and src/store/reprice.rs.

alter table exchange add column priced_as text;   -- the model whose price was taken; null: its own, or none
alter table exchange add column estimate integer; -- what budgets count for the parts without a price; null: all have one
alter table exchange add column bill text;        -- '' all tokens at usual terms, '>=' or more, else JSON; null: older than this
alter table call add column priced_as text;
alter table call add column estimate integer;
create index call_priced_as on call (at, model, priced_as) where priced_as is not null;
create index call_estimate on call (at) where estimate is not null;

-- Which prices the costs in this ledger agree with.
create table price_state (
    one integer primary key check (one = 1),
    version integer not null,               -- counts the changes of `price`
    applied integer not null,               -- the version that all costs agree with
    builtin text,                           -- fingerprint of the built-in prices that they agree with
    after_seq integer not null              -- calls after this `seq` may have been priced before a change was known
) strict;
insert into price_state values (1, 0, 0, null, 0);

-- Changes of recorded costs, one row for each run and model.
create table repricing (
    id integer primary key,
    at integer not null,
    cause text not null,                    -- the import, the reset or the new version
    operator text not null,                 -- the user who ran the command; serve: the server did it
    model text not null,                    -- that answered
    exchanges integer not null,             -- whose cost changed
    newly_priced integer not null,          -- those that had no price
    no_longer_priced integer not null,      -- those that have none any more
    before integer not null,                -- sum of their known costs, nano-dollars
    after integer not null
) strict;
