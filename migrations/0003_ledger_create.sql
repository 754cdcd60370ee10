-- The version history. A deployment is what somebody says; its fact is what was seen of it.

create table deployment (
    id           uuid        not null,
    application  text        not null,
    version      text        not null,
    commit_id    text,
    notes        text,
    kind         text        not null,
    actor        text        not null,
    rollback_id  uuid,
    images       jsonb       not null, -- component: reference, as given
    deployed_at  timestamptz not null,
    request_hash bytea       not null, -- of version, commit and images: tells a repeated report from a new one
    constraint deployment_key primary key (id),
    constraint deployment_application foreign key (application) references application (name),
    constraint deployment_rollback foreign key (rollback_id) references rollback (id),
    constraint deployment_one_per_rollback unique (rollback_id),
    constraint deployment_kind check (kind in ('deploy', 'rollback')),
    constraint deployment_kind_rollback check ((kind = 'rollback') = (rollback_id is not null))
);
create index deployment_newest on deployment (application, deployed_at desc, id desc);
create index deployment_of_application on deployment (application, id desc);

create table deployment_fact (
    deployment_id uuid        not null,
    state         text        not null,
    components    jsonb       not null default '{}',
    said          text,
    green_since   timestamptz,
    red_since     timestamptz,          -- a short red is forgiven
    watch_until   timestamptz,
    judged_at     timestamptz,
    wake_at       timestamptz,          -- none: nobody has to look at it again
    constraint deployment_fact_key primary key (deployment_id),
    constraint deployment_fact_deployment foreign key (deployment_id) references deployment (id),
    constraint deployment_fact_state
        check (state in ('resolving', 'watching', 'good', 'bad', 'unproved', 'refused'))
) with (fillfactor = 70);
create index deployment_fact_due on deployment_fact (wake_at) where wake_at is not null;

create table hold (
    id          uuid        not null default gen_random_uuid(),
    application text        not null,
    version     text        not null,
    reason      text        not null,
    insecure    boolean     not null,
    held_by     text        not null,
    rollback_id uuid,
    held_at     timestamptz not null default now(),
    constraint hold_key primary key (id),
    constraint hold_application foreign key (application) references application (name),
    constraint hold_rollback foreign key (rollback_id) references rollback (id),
    constraint hold_one_per_rollback unique (rollback_id)
);
create index hold_of_release on hold (application, version);

create table hold_release (
    hold_id     uuid        not null,
    released_by text        not null,
    released_at timestamptz not null default now(),
    constraint hold_release_key primary key (hold_id),
    constraint hold_release_hold foreign key (hold_id) references hold (id)
);
