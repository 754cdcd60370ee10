-- What the worker saw of the builds of a rollback. Facts: written by the worker alone.

create table build (
    rollback_id uuid        not null,
    component   text        not null,
    state       text        not null,
    image       text,                       -- once it is built
    layers      text[]      not null default '{}', -- images that the builder made on its way, to remove them again
    containers  text[]      not null default '{}', -- containers that its instructions ran in
    tail        text        not null default '',   -- the last lines of its log
    lines       integer     not null default 0,
    begun_at    timestamptz not null default now(),
    told_at     timestamptz not null default now(),
    constraint build_key primary key (rollback_id, component),
    constraint build_rollback foreign key (rollback_id) references rollback (id),
    constraint build_state check (state in ('building', 'built', 'failed', 'dropped'))
) with (fillfactor = 70);
