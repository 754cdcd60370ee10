-- A message that calls somebody when a rollback leaves the rest to a person, and a card whose taker never came back.
alter table chat_card drop constraint chat_card_occasion, drop constraint chat_card_state,
    add constraint chat_card_occasion check (occasion in ('plan', 'alert', 'glass', 'human')),
    add constraint chat_card_state check (state in ('open', 'taken', 'denied', 'stale', 'broken'));
create index chat_card_taken on chat_card (id) where state = 'taken';
