-- What the head of the request said that went upstream: another version, or another beta, is another question.
-- Null: the exchange is older than these columns, or was lost.
alter table exchange add column version text; -- anthropic-version
alter table exchange add column betas text;   -- anthropic-beta, joined by commas
