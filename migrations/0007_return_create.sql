-- What the ledger learns by looking: deployments that nobody reported, and held releases that came back.

-- Waits for readers only as long as the lock's limit; the table has one row a deployment.
alter table deployment drop constraint deployment_kind;
alter table deployment add constraint deployment_kind check (kind in ('deploy', 'rollback', 'detected'));

alter table deployment_fact add column seen_at timestamptz;      -- first seen running
alter table deployment_fact add column merged_into uuid;         -- CI reported what was detected before
alter table deployment_fact add constraint deployment_fact_merged
    foreign key (merged_into) references deployment (id);
-- What was ever judged by its probes was seen.
update deployment_fact set seen_at = coalesce(green_since, judged_at) where state in ('good', 'bad');
update deployment_fact f set seen_at = d.deployed_at
    from deployment d where d.id = f.deployment_id and d.kind = 'rollback' and f.seen_at is null;

-- The worker's.
create table held_return (
    deployment_id uuid        not null, -- what brought it: one deployment is one return
    application   text        not null,
    version       text        not null, -- the version that is held
    reason        text        not null, -- why it is held
    seen_at       timestamptz not null default now(),
    outcome       text        not null,
    said          text        not null,
    rollback_id   uuid,                 -- what puts it back
    constraint held_return_key primary key (deployment_id),
    constraint held_return_deployment foreign key (deployment_id) references deployment (id),
    constraint held_return_application foreign key (application) references application (name),
    constraint held_return_rollback foreign key (rollback_id) references rollback (id),
    constraint held_return_outcome
        check (outcome in ('reported', 'putting_back', 'put_back', 'needs_person', 'over')),
    constraint held_return_put_back check (outcome <> 'put_back' or rollback_id is not null)
);
create index held_return_of_application on held_return (application, seen_at desc);
