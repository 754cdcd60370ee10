-- The whole of a specification is sealed: command lines, labels and health commands can hold secrets. From now on `body`
-- holds what may be shown to everybody. Rows of before are sealed by the worker, which has the key.

alter table specification add column body_sealed bytea;
create index specification_in_the_clear on specification (digest) where body_sealed is null;
