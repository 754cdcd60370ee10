-- Who may do what, and who did what. Tokens are kept as hashes only.

create table api_token (
    id           uuid        not null,
    name         text        not null,
    kind         text        not null,
    person       text        not null,
    role         text        not null,
    applications text[],               -- none: all
    hash         bytea       not null,
    created_by   text        not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    constraint api_token_key primary key (id),
    constraint api_token_hash unique (hash),
    constraint api_token_kind check (kind in ('person', 'service')),
    constraint api_token_role check (role in ('viewer', 'operator', 'approver', 'admin'))
);

create table token_use (
    token_id     uuid        not null,
    last_used_at timestamptz not null,
    constraint token_use_key primary key (token_id),
    constraint token_use_token foreign key (token_id) references api_token (id)
);

create table token_revocation (
    token_id   uuid        not null,
    revoked_by text        not null,
    revoked_at timestamptz not null default now(),
    constraint token_revocation_key primary key (token_id),
    constraint token_revocation_token foreign key (token_id) references api_token (id)
);

create table setup_token (
    hash       bytea       not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    constraint setup_token_key primary key (hash)
);

create table audit_entry (
    id     bigint generated always as identity,
    at     timestamptz not null default now(),
    actor  text        not null,
    action text        not null,
    object text        not null,
    detail jsonb       not null,
    constraint audit_entry_key primary key (id)
);
create trigger audit_entry_append_only
    before update or delete or truncate on audit_entry
    for each statement execute function append_only();
