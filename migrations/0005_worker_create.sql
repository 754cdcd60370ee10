-- Workers, and what the API asks them to look at: it never touches an engine itself.

create table worker (
    id              uuid        not null,
    host            uuid        not null,
    version         text        not null,
    plan_format_max smallint    not null,
    started_at      timestamptz not null default now(),
    beat_at         timestamptz not null default now(),
    constraint worker_key primary key (id)
);

create table inquiry (
    id       uuid        not null,
    question jsonb       not null,
    asked_by text        not null,
    asked_at timestamptz not null default now(),
    taken_at timestamptz,             -- the worker's: somebody is looking
    constraint inquiry_key primary key (id)
);
create index inquiry_asked_at on inquiry (asked_at);

create table inquiry_answer (
    inquiry_id  uuid        not null,
    body        jsonb,
    error       text,
    answered_at timestamptz not null default now(),
    constraint inquiry_answer_key primary key (inquiry_id),
    constraint inquiry_answer_inquiry foreign key (inquiry_id) references inquiry (id) on delete cascade,
    constraint inquiry_answer_one_of check ((body is null) <> (error is null))
);
