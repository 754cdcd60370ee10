-- What people set to keep rollbacks from happening by themselves. Intent: written by the API.

-- The newest row of an application, and the newest without one, say how it is. Rows are never changed: who switched
-- what, when and why stays.
create table automatic_switch (
    id          bigint generated always as identity,
    application text,                 -- none: every application
    automatic   boolean     not null,
    reason      text        not null,
    set_by      text        not null,
    set_at      timestamptz not null default now(),
    constraint automatic_switch_key primary key (id),
    constraint automatic_switch_application foreign key (application) references application (name)
);
create index automatic_switch_of_application on automatic_switch (application, id desc);

create table freeze_window (
    id          uuid        not null,
    kind        text        not null,
    application text,                 -- none: every application
    cron        text        not null,
    duration_s  integer     not null,
    zone        text        not null,
    rollbacks   boolean     not null,
    note        text,
    made_by     text        not null,
    made_at     timestamptz not null default now(),
    removed_at  timestamptz,
    constraint freeze_window_key primary key (id),
    constraint freeze_window_application foreign key (application) references application (name),
    constraint freeze_window_kind check (kind in ('allow', 'deny')),
    constraint freeze_window_duration check (duration_s between 60 and 2678400)
);
