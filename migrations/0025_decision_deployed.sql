-- What was told of deployments of an application of late, among all that was told of it: whether one is under way.
create index decision_deployed on decision (application, decided_at desc) where notice ? 'deployed';
