-- Names and mails of users, as Open WebUI states them beside their ids: one row a user, so that reports name people. Not
-- beside each call: a name changes, and one row is deleted with the last call of its user.
create table user_name (
    id text primary key,                    -- as in call.user_id
    name text,                              -- one of the two is not null
    email text,
    seen_at integer not null                -- when they were written, in milliseconds since the Unix epoch
) strict, without rowid;
