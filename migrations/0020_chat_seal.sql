-- The address at which a chat takes an answer is as good as a password for half an hour: it is sealed with the key of the
-- house, in an answer and in the body of the message that it came with. What is there in the clear is read as before.
alter table chat_answer alter column url drop not null, add column url_sealed bytea;
alter table inbox add column sealed boolean not null default false;
