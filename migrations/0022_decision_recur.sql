-- Whether a trouble comes again and again, where its sender gives it another key each time; and by which report an entry
-- that was detected was replaced.
create index decision_recurs on decision (trigger_name, (notice ->> 'recurs'), id desc)
    where notice ->> 'recurs' is not null;
create index deployment_fact_merged on deployment_fact (merged_into) where merged_into is not null;
