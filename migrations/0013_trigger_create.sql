-- What other systems tell us: who may, what they said, and what came of it.

-- The API's.
create table trigger (
    name       text        not null,
    definition text        not null,
    revision   integer     not null,
    updated_at timestamptz not null default now(),
    removed_at timestamptz,
    constraint trigger_key primary key (name),
    constraint trigger_revision_positive check (revision > 0)
);

-- Sealed with the key of the house. The newest one without an end is the present one.
create table trigger_secret (
    id           uuid        not null,
    trigger_name text        not null,
    sealed       bytea       not null,
    created_by   text        not null,
    created_at   timestamptz not null default now(),
    ends_at      timestamptz,
    constraint trigger_secret_key primary key (id),
    constraint trigger_secret_trigger foreign key (trigger_name) references trigger (name)
);
create index trigger_secret_of_trigger on trigger_secret (trigger_name, created_at desc);

-- One row an event, however often it is delivered. The API's.
create table inbox (
    trigger_name text        not null,
    event_id     text        not null,
    headers      jsonb       not null,
    body         bytea       not null,
    received_at  timestamptz not null default now(),
    constraint inbox_key primary key (trigger_name, event_id),
    constraint inbox_trigger foreign key (trigger_name) references trigger (name)
);
create index inbox_received_at on inbox (received_at);

-- What is to be decided, and when. A row comes with its event and goes with its decision; in between it is the worker's.
create table inbox_due (
    trigger_name text        not null,
    event_id     text        not null,
    decide_at    timestamptz not null default now(),
    tries        integer     not null default 0,
    constraint inbox_due_key primary key (trigger_name, event_id),
    constraint inbox_due_inbox foreign key (trigger_name, event_id) references inbox (trigger_name, event_id)
);
create index inbox_due_decide_at on inbox_due (decide_at);

-- The worker's: what came of each thing that a message said.
create table decision (
    id            uuid        not null,
    trigger_name  text        not null,
    event_id      text        not null,
    part          integer     not null, -- which of the alerts of one message
    application   text,                 -- none: it is about none that we know
    outcome       text        not null,
    code          text        not null,
    said          text        not null,
    notice        jsonb       not null,
    deployment_id uuid,
    decided_at    timestamptz not null default now(),
    constraint decision_key primary key (id),
    constraint decision_once unique (trigger_name, event_id, part),
    constraint decision_trigger foreign key (trigger_name) references trigger (name),
    constraint decision_deployment foreign key (deployment_id) references deployment (id),
    constraint decision_outcome check (outcome in ('recorded', 'deployed', 'noted'))
);
create index decision_of_application on decision (application, id desc);
