-- Decisions of the guards: what each said, what came of it, what a person may do next, and what persons override.

alter table decision
    add column episode     text,  -- which trouble, of an alert
    add column would_be    text,  -- what would have come of it in the mode `auto`
    add column guards      jsonb, -- every guard's answer
    add column next_action text,
    add column plan_digest text,  -- no reference: a plan that nobody took up is cleared away
    add column rollback_id uuid;
alter table decision add constraint decision_rollback foreign key (rollback_id) references rollback (id);
alter table decision drop constraint decision_outcome;
alter table decision add constraint decision_outcome
    check (outcome in ('recorded', 'deployed', 'noted', 'acted', 'proposed', 'shadowed'));
alter table decision add constraint decision_acted check (outcome <> 'acted' or rollback_id is not null);
create index decision_of_episode on decision (trigger_name, episode, id desc) where episode is not null;
create index decision_of_rollback on decision (rollback_id) where rollback_id is not null;

-- Guards that persons let alerts past for a while. Intent: the API's. Only an end is ever changed, to an earlier one.
create table guard_override (
    id          uuid        not null,
    application text        not null,
    guard       text        not null,
    person      text        not null,
    reason      text        not null,
    made_at     timestamptz not null,
    ends_at     timestamptz not null,
    constraint guard_override_key primary key (id),
    constraint guard_override_application foreign key (application) references application (name)
);
create index guard_override_of_application on guard_override (application, ends_at);
