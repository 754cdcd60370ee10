-- One request for a rollback, its run, and everything that the run leaves behind.

create function append_only() returns trigger language plpgsql as $$
begin
    raise exception 'table % is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

create table plan (
    digest      text        not null,
    application text        not null,
    body        text        not null, -- the exact bytes that the digest is over
    made_by     text        not null,
    made_at     timestamptz not null default now(),
    constraint plan_key primary key (digest),
    constraint plan_application foreign key (application) references application (name)
);
create index plan_made_at on plan (made_at);

-- Intent: written by the API, never changed.
create table rollback (
    id           uuid        not null,
    application  text        not null,
    plan_digest  text        not null,
    requested_by text        not null,
    reason       text        not null,
    note         text,
    requested_at timestamptz not null,
    constraint rollback_key primary key (id),
    constraint rollback_application foreign key (application) references application (name),
    constraint rollback_plan foreign key (plan_digest) references plan (digest)
);
create index rollback_of_application on rollback (application, id desc);
create index rollback_of_plan on rollback (plan_digest);

-- Facts: written by the worker. `state` is a cache that folding the events must reproduce.
-- What changes with every step stands last and together, and in no index and no index predicate: a step is a HOT
-- update whose WAL record holds little more than the change.
create table rollback_run (
    rollback_id uuid        not null,
    application text        not null,
    plan_format smallint    not null,
    phase       text        not null,
    acts        boolean     not null,
    wake_at     timestamptz not null,
    proved_at   timestamptz,
    outage_ms   bigint,
    ended_at    timestamptz,
    fence       bigint      not null default 0,
    worker      uuid,
    host        uuid,
    crashes     smallint    not null default 0,
    lease_until timestamptz,
    seq         integer     not null,
    head        bytea       not null,
    state       json        not null, -- json and not jsonb: it is read whole, and its text is a sixth shorter
    constraint rollback_run_key primary key (rollback_id),
    constraint rollback_run_rollback foreign key (rollback_id) references rollback (id),
    constraint rollback_run_application foreign key (application) references application (name),
    constraint rollback_run_phase
        check (phase in ('awaiting_approval', 'forward', 'backward', 'watching', 'ended')),
    constraint rollback_run_acts
        check (acts = (phase in ('awaiting_approval', 'forward', 'backward'))),
    constraint rollback_run_ended check ((ended_at is not null) = (phase = 'ended')),
    constraint rollback_run_lease check ((worker is null) = (lease_until is null)),
    constraint rollback_run_head check (octet_length(head) = 32)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- One acting rollback per application is this index, not a convention.
create unique index rollback_one_acting on rollback_run (application) where acts;
create index rollback_run_due on rollback_run (wake_at) where ended_at is null;
create index rollback_run_watching on rollback_run (rollback_id) where phase = 'watching';
create index rollback_run_of_application on rollback_run (application, rollback_id desc);

-- The truth. No foreign key: its only writers insert from the run's own row in the same statement,
-- and a key-share lock with every event would cost a quarter of a step's WAL.
create table rollback_event (
    rollback_id uuid        not null,
    fence       bigint      not null,
    at          timestamptz not null, -- whole milliseconds, as they were hashed
    seq         integer     not null, -- after what is aligned to eight bytes: no padding in every row
    actor       text        not null,
    body        text        not null, -- the exact bytes that were hashed
    hash        bytea       not null,
    constraint rollback_event_key primary key (rollback_id, seq)
);
create trigger rollback_event_append_only
    before update or delete or truncate on rollback_event
    for each statement execute function append_only();

-- Intent; `seen_at` alone is the worker's.
create table rollback_order (
    id          bigint generated always as identity,
    rollback_id uuid        not null,
    kind        text        not null,
    actor       text        not null,
    superseding uuid,
    at          timestamptz not null default now(),
    seen_at     timestamptz,
    constraint rollback_order_key primary key (id),
    constraint rollback_order_rollback foreign key (rollback_id) references rollback (id),
    constraint rollback_order_superseding foreign key (superseding) references rollback (id),
    constraint rollback_order_kind check (kind in ('cancel', 'approve', 'reject', 'supersede')),
    constraint rollback_order_supersede check ((kind = 'supersede') = (superseding is not null))
);
-- Also the worker's way to runs with unseen orders; asking twice before it was seen is asking once.
create unique index rollback_order_once on rollback_order (rollback_id, kind, actor) where seen_at is null;

create table artifact (
    id           uuid        not null default gen_random_uuid(),
    rollback_id  uuid        not null,
    component    text        not null,
    container_id text        not null,
    kind         text        not null,
    sealed       bytea       not null,
    bytes        integer     not null,
    created_at   timestamptz not null default now(),
    constraint artifact_key primary key (id),
    constraint artifact_rollback foreign key (rollback_id) references rollback (id),
    constraint artifact_kind check (kind in ('logs', 'inspect')),
    constraint artifact_once unique (rollback_id, container_id, kind)
);

create table idempotency (
    principal   text        not null,
    key         text        not null,
    body_hash   bytea       not null,
    rollback_id uuid        not null,
    created_at  timestamptz not null default now(),
    constraint idempotency_key primary key (principal, key),
    constraint idempotency_rollback foreign key (rollback_id) references rollback (id)
        deferrable initially deferred
);
create index idempotency_created_at on idempotency (created_at);
