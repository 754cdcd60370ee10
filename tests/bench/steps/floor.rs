//! The floor: what the same Postgres does at most when each step is one update and one insert in a transaction.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::WORKERS;
use crate::{
    Outcome,
    database::{Counters, Database},
};

/// Tables as the store's, with the same indexes, and a row for each client. The state is as long as a real one in
/// the middle of its way.
const TABLES: &str = r#"
    create table floor_run (like rollback_run including all) with (fillfactor = 70);
    create table floor_event (like rollback_event including all);
    insert into application (name, environment, engine, definition, revision)
        select 'floor-' || client, 'production', 'local', '{}', 1 from generate_series(0, 15) client;
    insert into floor_run (rollback_id, application, phase, acts, state, seq, head, wake_at, plan_format)
        select ('00000000-0000-7000-8000-' || lpad(to_hex(client), 12, '0'))::uuid, 'floor-' || client, 'forward',
            true, '{}', 0, decode(repeat('00', 32), 'hex'), now(), 1
        from generate_series(0, 15) client;
"#;

/// `client_id` is pgbench's own. The texts are a real step's.
const SCRIPT: &str = r#"
\set run :client_id
\set head random(0, 2000000000)
begin;
update floor_run set seq = seq + 1, phase = 'forward', acts = true,
    head = decode(lpad(to_hex(:head::int), 64, '0'), 'hex'), lease_until = now() + interval '15 s', worker = rollback_id,
    state = '{"phase":{"phase":"forward","at":5},"since":"2026-11-22T08:40:00.123Z","acts":3,"outstanding":20000,"acted_at":"2026-11-22T08:40:00.101Z","touched_at":"2026-11-22T08:40:00.117Z","before":{"asked":9,"green":9}}'
    where rollback_id = ('00000000-0000-7000-8000-' || lpad(to_hex(:run::int), 12, '0'))::uuid;
insert into floor_event (rollback_id, seq, fence, at, actor, body, hash)
    select rollback_id, seq, 1795333333123, now(), 'worker',
        '{"event":"intended","effect":{"do":"stop_container","container":"0000000000000000000000000000000000000000000000000000000000000007","grace_s":10}}', head
    from floor_run where rollback_id = ('00000000-0000-7000-8000-' || lpad(to_hex(:run::int), 12, '0'))::uuid;
commit;
"#;

#[derive(Debug)]
pub(super) struct Floor {
    script: PathBuf,
}

impl Floor {
    pub(super) async fn prepare(scratch: &Path, counters: &mut Counters) -> Outcome<Self> {
        counters.tell(TABLES).await?;
        let script = scratch.join("floor.pgbench");
        // pgbench ends a statement at its semicolon, not at the end of the line.
        std::fs::write(&script, SCRIPT)?;
        Ok(Self { script })
    }

    /// Transactions per second, and WAL bytes of each.
    pub(super) async fn measure(
        &self,
        database: &Database,
        time: Duration,
        counters: &mut Counters,
    ) -> Outcome<(f64, f64)> {
        let before = counters.marks().await?;
        let mut command = database.program("pgbench")?;
        command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
        command
            .arg(format!("--client={WORKERS}"))
            .arg(format!("--time={}", time.as_secs()));
        command.arg("--file").arg(&self.script);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let tps = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        let Some(tps) = tps.filter(|_| output.status.success()) else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!(
                "pgbench failed: {}",
                said.lines().take(3).collect::<Vec<_>>().join("; ")
            )
            .into());
        };
        let done = before.until(counters.marks().await?);
        Ok((tps, done.wal_bytes / done.commits))
    }
}
