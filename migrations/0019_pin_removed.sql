-- A rollback also takes an override file of ours away, where the site's own files name what goes back.
alter table pin alter column written drop not null;
comment on column pin.written is 'sealed; none: the file was taken away';
