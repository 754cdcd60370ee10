-- What is rolled back as one unit, and the two things that outlive every definition of it:
-- its fence and the specifications that its releases ran with.

create table application (
    name        text        not null,
    environment text        not null,
    engine      text        not null,
    definition  text        not null, -- the exact JSON, so that what was applied is what is read
    revision    integer     not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    removed_at  timestamptz,          -- the row stays: the ledger and the fence refer to it
    constraint application_key primary key (name),
    constraint application_revision_positive check (revision > 0)
);

-- Written by the worker only. It starts at the clock's milliseconds so that the fences of a new database
-- are above those of an older one, whose marks may still be on the engine.
create table application_fence (
    application text   not null,
    fence       bigint not null default (extract(epoch from clock_timestamp()) * 1000)::bigint,
    constraint application_fence_key primary key (application),
    constraint application_fence_application foreign key (application) references application (name)
);

-- Content addressed by a keyed digest: the same container gives the same row.
create table specification (
    digest           text        not null,
    key_id           text        not null,
    body             jsonb       not null,
    env_sealed       bytea       not null,
    env_fingerprints jsonb       not null,
    created_at       timestamptz not null default now(),
    constraint specification_key primary key (digest)
);
