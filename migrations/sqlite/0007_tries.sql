-- How many requests upstream saw. A request that fails before any of its answer is told is sent again, and so is one of
-- which a part was refused; until now each exchange counts as one,
-- also in the sums (src/store/rollup/format.rs).
alter table exchange add column tries integer not null default 1; -- requests sent to upstream
alter table call add column tries integer not null default 1;     -- those of all exchanges that it asked for
update call set tries = 0 where answered_by in ('hit', 'collapsed', 'replay');
