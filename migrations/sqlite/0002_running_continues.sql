-- An answer may take several exchanges; one that is lost in a later one keeps its link to those before.
alter table running add column continues text; -- the exchange before in the same answer; null: the first
