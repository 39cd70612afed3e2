-- An answer to the same message of the user is a repeated ask in whatever chat it lies: a clone has the same messages.
create index call_user_message on call (user_message_id) where user_message_id is not null;

-- Holders of client keys are named with a salt of this ledger, so that a guess of a key can be tested only slowly, and not
-- in another ledger. Those that are in scopes already keep their names, or their answers would not be found.
create table holder_salt (salt blob not null);
insert into holder_salt values (randomblob(16));
create table old_holder (name text primary key) without rowid;
insert into old_holder
    select distinct substr(scope, instr(scope, ' ') + 1, 16) from exchange where scope glob '[a-z]* *';
