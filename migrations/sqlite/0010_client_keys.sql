-- The name of the client key that a call came with (`[[key]]` in the settings file), so that teams can be told apart.
alter table call add column client_key text; -- null: a key without a name, or none
