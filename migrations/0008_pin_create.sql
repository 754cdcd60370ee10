-- Files of Compose projects that a rollback wrote a version into: what was in them, and what it wrote. All facts of
-- the worker's.
create table pin (
    rollback_id uuid        not null,
    path        text        not null, -- as a person knows it
    folder      text        not null, -- where it is, even when the definition was changed since
    name        text        not null,
    former      bytea,                -- sealed; none: there was no file
    written     bytea       not null, -- sealed
    written_at  timestamptz not null default now(),
    settled_at  timestamptz,          -- the hold was released: it was put back, or why not
    said        text,
    constraint pin_key primary key (rollback_id, path),
    constraint pin_rollback foreign key (rollback_id) references rollback (id),
    constraint pin_settled check ((settled_at is null) = (said is null))
);
create index pin_open on pin (rollback_id) where settled_at is null;
