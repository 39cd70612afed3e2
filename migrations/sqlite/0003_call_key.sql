-- What a call asked for: a chat that asks for the same key again wants another answer, whatever came of the first.
-- Null: the call is older than this column.
alter table call add column key blob;
create index call_chat on call (chat_id, key) where chat_id is not null; -- who asked before; the calls of a chat
