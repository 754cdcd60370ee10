-- What an engine said of a container and of its image when its specification was first seen: the worker's facts,
-- sealed, since both hold secrets. With it a specification can be worked out again, the image gone or not.

create table inspection (
    specification text        not null,
    image         text        not null,
    sealed        bytea       not null,
    created_at    timestamptz not null default now(),
    constraint inspection_key primary key (specification),
    constraint inspection_specification foreign key (specification) references specification (digest)
);

-- An image never changes, so the first time it was read is as good as the last.
create table image_settings (
    image      text        not null,
    key_id     text        not null,
    sealed     bytea       not null,
    created_at timestamptz not null default now(),
    constraint image_settings_key primary key (image)
);
