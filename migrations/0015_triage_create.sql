-- What people answered when they had to decide, what they were advised, and until when it has to be done.

-- Intent: written by the API, never changed.
create table triage (
    id          uuid        not null,
    application text        not null,
    answers     json        not null, -- who said what to which question, and when
    advice      text,                 -- none: it is over
    note        text,
    asked_by    text        not null,
    asked_at    timestamptz not null,
    deadline    timestamptz,
    constraint triage_key primary key (id),
    constraint triage_application foreign key (application) references application (name),
    constraint triage_deadline_advice check ((advice is null) = (deadline is null))
);
create index triage_of_application on triage (application, id desc);
create index triage_due on triage (deadline) where deadline is not null;

-- Facts: the worker's. A row is a deadline that passed with nothing done.
create table triage_passed (
    triage_id uuid        not null,
    passed_at timestamptz not null default now(),
    constraint triage_passed_key primary key (triage_id),
    constraint triage_passed_triage foreign key (triage_id) references triage (id)
);
