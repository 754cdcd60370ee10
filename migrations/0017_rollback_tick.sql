-- What of the runbook's checklist the requester says to have done, beside what the facts show.
alter table rollback add column ticked text[] not null default '{}';
