-- What is told in a chat without a plan: it is written with what it tells of, once for each chat that is there then. A notice
-- and how far it is shown are the worker's, both.
create table chat_notice (
    id             uuid        not null,
    trigger_name   text        not null,              -- the chat
    channel        text        not null,
    occurrence     text        not null,              -- what it tells of: never told twice in a chat
    gathers        text,                              -- what more of the same is counted by, for a while
    notice         text        not null,
    more           integer     not null default 0,    -- how much more of the same came
    revision       integer     not null default 1,
    made_at        timestamptz not null default now(),
    message        text,                              -- the chat's identity of the message
    shown_revision integer     not null default 0,
    due_at         timestamptz not null default now(),
    tries          integer     not null default 0,
    said           text,                              -- why it could not be shown
    ended_at       timestamptz,
    constraint chat_notice_key primary key (id),
    constraint chat_notice_once unique (trigger_name, occurrence),
    constraint chat_notice_trigger foreign key (trigger_name) references trigger (name)
);
create index chat_notice_open on chat_notice (due_at) where ended_at is null and shown_revision < revision;
create index chat_notice_gathers on chat_notice (gathers, made_at) where gathers is not null;
create index chat_notice_made_at on chat_notice (made_at);

-- A rollback that nobody asked for, of a held release that came back, is shown like an alert's.
alter table chat_card drop constraint chat_card_occasion,
    add constraint chat_card_occasion check (occasion in ('plan', 'alert', 'glass', 'human', 'returned'));
