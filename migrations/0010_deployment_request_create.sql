-- The keys under which deployments were reported: a report that is repeated late is told from a new one.

create table deployment_request (
    principal     text        not null,
    key           text        not null,
    body_hash     bytea       not null,
    deployment_id uuid        not null,
    created_at    timestamptz not null default now(),
    constraint deployment_request_key primary key (principal, key),
    constraint deployment_request_deployment foreign key (deployment_id) references deployment (id)
        deferrable initially deferred
);
create index deployment_request_created_at on deployment_request (created_at);
