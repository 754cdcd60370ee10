-- What keeps the past there: second copies, how ready each release is, and when each application is looked after.
-- Written by the worker only.

create table application_upkeep (
    application text        not null,
    due_at      timestamptz not null,
    ready_at    timestamptz not null, -- when readiness is computed anew, sources included
    copy_at     timestamptz not null, -- when second copies are looked after
    constraint application_upkeep_key primary key (application),
    constraint application_upkeep_application foreign key (application) references application (name)
);

create table image_copy (
    application text        not null,
    image       text        not null,
    source      jsonb       not null, -- an archive with its checksum, or what a registry knows it by
    made_at     timestamptz not null default now(),
    verified_at timestamptz not null default now(),
    constraint image_copy_key primary key (application, image, source),
    constraint image_copy_application foreign key (application) references application (name)
);

create table release_readiness (
    application text        not null,
    version     text        not null,
    retained    jsonb       not null, -- why it is kept; empty when it is not
    code        text        not null,
    broken      boolean     not null,
    sentence    text        not null,
    next_action text,
    since       timestamptz not null default now(), -- of the present code
    checked_at  timestamptz not null default now(),
    constraint release_readiness_key primary key (application, version),
    constraint release_readiness_application foreign key (application) references application (name)
);

-- A specification that is seen again is in use: nothing that a plan is being made of is cleared away.
alter table specification add column used_at timestamptz not null default now();
create index artifact_created_at on artifact (created_at);
