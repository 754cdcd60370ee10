-- Chats: who their users are to us, what is shown in their channels, and what is answered to one of them.

-- The API's. A user of a chat is a person here, with a role, as if by a token.
create table chat_person (
    trigger_name text        not null,
    chat_user    text        not null,
    person       text        not null,
    role         text        not null,
    applications text[],               -- none: all
    mapped_by    text        not null,
    mapped_at    timestamptz not null default now(),
    constraint chat_person_key primary key (trigger_name, chat_user),
    constraint chat_person_trigger foreign key (trigger_name) references trigger (name),
    constraint chat_person_role check (role in ('viewer', 'operator', 'approver', 'admin'))
);

-- The API's. The token that messages are posted with, sealed with the key of the house.
create table chat_bot (
    trigger_name text        not null,
    sealed       bytea       not null,
    set_by       text        not null,
    set_at       timestamptz not null default now(),
    constraint chat_bot_key primary key (trigger_name),
    constraint chat_bot_trigger foreign key (trigger_name) references trigger (name)
);

-- What a person, or everybody in a channel, can decide on. Intent: it comes with a command, or in the transaction of the
-- rollback that it tells of. The revision grows with every change.
create table chat_card (
    id           uuid        not null,
    trigger_name text        not null,
    channel      text,                 -- none: it is answered to whoever asked, and shown in no channel
    occasion     text        not null,
    plan_digest  text        not null, -- no reference: a plan that nobody took up is cleared away
    rollback_id  uuid,
    asked_by     text        not null,
    known        text        not null,
    state        text        not null default 'open',
    said         text,                 -- by whom or why it is in that state
    revision     integer     not null default 1,
    until        timestamptz not null,
    made_at      timestamptz not null default now(),
    constraint chat_card_key primary key (id),
    constraint chat_card_trigger foreign key (trigger_name) references trigger (name),
    constraint chat_card_rollback foreign key (rollback_id) references rollback (id),
    constraint chat_card_occasion check (occasion in ('plan', 'alert', 'glass')),
    constraint chat_card_state check (state in ('open', 'taken', 'denied', 'stale'))
);
create index chat_card_of_rollback on chat_card (rollback_id) where rollback_id is not null;
create index chat_card_made_at on chat_card (made_at);

-- The worker's: what of a card is shown, and when it may be shown again. A row comes with a card that has a channel.
create table chat_shown (
    card_id        uuid        not null,
    message        text,                          -- the chat's identity of the message
    shown_revision integer     not null default 0,
    shown_seq      integer     not null default 0, -- the rollback's last event in it
    due_at         timestamptz not null default now(),
    tries          integer     not null default 0,
    said           text,                          -- why it could not be shown
    ended_at       timestamptz,
    constraint chat_shown_key primary key (card_id),
    constraint chat_shown_card foreign key (card_id) references chat_card (id) on delete cascade
);
create index chat_shown_open on chat_shown (due_at) where ended_at is null;

-- Answers to one person, from the commit of what they are about until they are sent. Intent; only `due_at` and `tries`
-- are the worker's.
create table chat_answer (
    id           uuid        not null,
    trigger_name text        not null,
    url          text        not null,
    text         text        not null,
    made_at      timestamptz not null default now(),
    due_at       timestamptz not null default now(),
    tries        integer     not null default 0,
    constraint chat_answer_key primary key (id),
    constraint chat_answer_trigger foreign key (trigger_name) references trigger (name)
);
create index chat_answer_due_at on chat_answer (due_at);

-- Messages of chats are the API's to take up, in the name of their persons.
alter table inbox_due add column chat boolean not null default false;
