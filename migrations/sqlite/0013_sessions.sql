-- An index of sessions, and one of the words that were said in them, so that a hundred thousand sessions are listed and
-- searched by the page. Reports and the page bring it up to date before they read it; requests never do. It can be made
-- again from the other tables at any time. See src/store/session_index.rs and src/store/search.rs.

create table session (
    number integer primary key,
    id text not null unique,                -- the chat, else the id of the first call
    user_id text,                           -- of the first call that states one
    began_at integer not null,              -- when the first call came in
    last_at integer not null,               -- when the newest call came in
    models text not null,                   -- of its calls, a JSON list
    tasks text not null                     -- of its calls, a JSON list
) strict;
create index session_last on session (last_at, id);
create index session_user on session (user_id, last_at, id) where user_id is not null;

create table session_call (
    seq integer primary key,                -- of the call
    session integer not null,               -- its number
    head blob                               -- of calls without a chat: the newest message of the client's request
) strict;
create index session_call_session on session_call (session, seq);
create index session_call_head on session_call (head) where head is not null;

-- How far the index goes, as in rollup_state.
create table session_state (
    one integer primary key check (one = 1),
    upto integer not null,                  -- the newest `seq` of `call` that has its session
    upto_call text,                         -- its id: if another call is there now, the index is void
    texts_upto integer not null,            -- the newest `seq` whose texts are in the index of words
    version integer not null                -- counts every change, so that two that write at once notice
) strict;
insert into session_state (one, upto, upto_call, texts_upto, version) values (1, 0, null, 0, 0);

-- What was said in a call, exactly as it is in `said_index`: an entry is removed by its text. Three columns tell where
-- it comes from: it goes when one of them goes.
create table said (
    seq integer primary key,                -- of the call
    client integer not null,                -- 1: the client's request
    upstream integer not null,              -- 1: the request to upstream
    answer integer not null,                -- 1: the recording
    body blob not null                      -- text, zstd
) strict;
-- Contentless, since `said` has the texts packed; without sizes, since nothing is ranked.
create virtual table said_index using fts5 (
    body, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
);
-- What is deleted is removed at once, not when segments are merged.
insert into said_index (said_index, rank) values ('secure-delete', 1);
