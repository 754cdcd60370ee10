//! How many signed alerts are kept durably, over connections that stay open, beside pgbench inserting single rows of the
//! same shape into the same Postgres with as many clients, as far as it takes them.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use domain::time::Moment;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    Outcome, Settings,
    database::{Counters, Database},
    report::{Goal, Report, median},
    say,
    server::{Plan, Server},
};

const ROUNDS: usize = 5;
/// Connections of a quiet evening and of a storm.
const CONNECTIONS: [usize; 2] = [16, 64];
const TIME: Duration = Duration::from_secs(8);
const TIME_SMALLEST: Duration = Duration::from_secs(1);
/// PagerDuty gives up after it.
const LIMIT: Duration = Duration::from_secs(5);
const SECRET: &str = "a-secret-of-the-benchmark-0123456789";

/// The embedded Postgres has 50 places, 20 of them for the pools of the server that is measured: beside 64 connections the
/// floor is one of 16 clients, and is called so.
const FLOOR_CLIENTS_MAX: usize = 16;
/// As an event is kept, without what is due: one row, one commit.
const FLOOR_TABLE: &str = "create table floor_inbox (like inbox including all)";
const FLOOR_SCRIPT: &str = "insert into floor_inbox (trigger_name, event_id, headers, body)
    values ('pd', gen_random_uuid()::text, '{}', convert_to(repeat('x', 1200), 'UTF8'));\n";

/// What one round of so many connections gave.
#[derive(Debug, Default)]
struct Side {
    events_per_s: Vec<f64>,
    floor_tps: Vec<f64>,
    ratio: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    refused: usize,
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let database = Database::start(&settings.scratch.join("database"))?;
    let server = Plan {
        database_url: Some(database.url()),
        ..Plan::new(settings, "intake")
    }
    .start()?;
    let pager = Pager::introduce(&server, "record", &json!([]))?;
    let script = settings.scratch.join("intake.pgbench");
    std::fs::write(&script, FLOOR_SCRIPT)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut counters = Counters::connect(&database.options()?).await?;
        counters.tell(FLOOR_TABLE).await
    })?;
    let time = if settings.smallest {
        TIME_SMALLEST
    } else {
        TIME
    };
    let mut sides = [Side::default(), Side::default()];
    for round in 0..settings.rounds(ROUNDS) {
        for (side, connections) in sides.iter_mut().zip(CONNECTIONS) {
            let floor = floor(&database, &script, connections.min(FLOOR_CLIENTS_MAX), time)?;
            let mark = format!("{round}-{connections}");
            let told = pager.tell_all(server.port, &mark, connections, Until::Over(time))?;
            let events_per_s = told.per_s();
            say(&format!(
                "round {round}, {connections} connections: {events_per_s:.0} events/s, floor {floor:.0}/s, {} refused",
                told.refused
            ));
            side.events_per_s.push(events_per_s);
            side.floor_tps.push(floor);
            side.ratio.push(events_per_s / floor);
            side.p50_ms.push(quantile(&told.kept, 0.5));
            side.p99_ms.push(quantile(&told.kept, 0.99));
            side.refused += told.refused;
        }
    }
    server.stop()?;
    Ok(report(&sides))
}

fn report([few, many]: &[Side; 2]) -> Report {
    let mut report = Report::new(few.ratio.len());
    let goal = Some(Goal::AtLeast(0.8));
    report.figure("events_per_s", median(&few.events_per_s), None);
    report.figure("floor_tps", median(&few.floor_tps), None);
    report.figure("ratio_floor", median(&few.ratio), goal);
    report.spread("  of each round", &few.ratio);
    report.figure("p50_ms", median(&few.p50_ms), None);
    report.figure("p99_ms", median(&few.p99_ms), None);
    report.figure("refused", few.refused as f64, Some(Goal::AtMost(0.0)));
    report.figure("events_per_s_64", median(&many.events_per_s), None);
    report.figure("floor_tps_64_by_16", median(&many.floor_tps), None);
    report.figure("ratio_floor_64_by_16", median(&many.ratio), goal);
    report.spread("  of each round", &many.ratio);
    report.figure("p50_ms_64", median(&many.p50_ms), None);
    report.figure("p99_ms_64", median(&many.p99_ms), None);
    report.figure("refused_64", many.refused as f64, Some(Goal::AtMost(0.0)));
    report
}

/// Inserts a second.
fn floor(database: &Database, script: &Path, clients: usize, time: Duration) -> Outcome<f64> {
    let mut command = database.program("pgbench")?;
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
    command
        .arg(format!("--client={clients}"))
        .arg(format!("--time={}", time.as_secs()))
        .arg("--file")
        .arg(script);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let tps = said
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.filter(|_| output.status.success()).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        format!(
            "pgbench failed: {}",
            said.lines().take(3).collect::<Vec<_>>().join("; ")
        )
        .into()
    })
}

/// What clients saw.
#[derive(Debug)]
pub(crate) struct Told {
    /// Milliseconds from an event's last byte to its answer, for each that was kept.
    kept: Vec<f64>,
    pub(crate) refused: usize,
    took: Duration,
}

impl Told {
    /// Events kept a second.
    pub(crate) fn per_s(&self) -> f64 {
        self.kept.len() as f64 / self.took.as_secs_f64()
    }
}

/// How long a client goes on.
#[derive(Clone, Copy, Debug)]
enum Until {
    Over(Duration),
    Count(usize),
}

/// PagerDuty, with a secret that we know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pager(());

impl Pager {
    pub(crate) fn introduce(server: &Server, mode: &str, routes: &Value) -> Outcome<Self> {
        let trigger = json!({"name": "pd", "kind": "pagerduty", "mode": mode, "routes": routes});
        server.api.ask("PUT", "/triggers/pd", "", Some(&trigger))?;
        server
            .api
            .post("/triggers/pd/secrets", &json!({ "secret": SECRET }))?;
        Ok(Self(()))
    }

    /// Posts one event, which is kept; when its last byte was written.
    pub(crate) fn tell(self, port: u16, event: &Value) -> Outcome<Instant> {
        let mut stream = connect(port)?;
        stream.write_all(signed(&event.to_string()).as_bytes())?;
        let told = Instant::now();
        match status(&mut stream)? {
            200..=299 => Ok(told),
            other => Err(format!("an event was answered with {other}").into()),
        }
    }

    /// Posts that many events as fast as they are answered; half of them are about the service `PSVC0`.
    pub(crate) fn storm(
        self,
        port: u16,
        mark: &str,
        connections: usize,
        count: usize,
    ) -> Outcome<Told> {
        self.tell_all(port, mark, connections, Until::Count(count / connections))
    }

    /// Posts events over so many connections at once, each as fast as it is answered.
    fn tell_all(self, port: u16, mark: &str, connections: usize, until: Until) -> Outcome<Told> {
        let begun = Instant::now();
        let results: Vec<io::Result<(Vec<f64>, usize)>> = thread::scope(|scope| {
            let all: Vec<_> = (0..connections)
                .map(|number| {
                    let mark = format!("{mark}-{number}");
                    scope.spawn(move || one(port, &mark, until))
                })
                .collect();
            all.into_iter()
                .map(|one| one.join().expect("a client does not panic"))
                .collect()
        });
        let took = begun.elapsed();
        let (mut kept, mut refused) = (Vec::new(), 0);
        for result in results {
            let (mine, not) = result?;
            kept.extend(mine);
            refused += not;
        }
        Ok(Told {
            kept,
            refused,
            took,
        })
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// One connection that stays open.
fn one(port: u16, mark: &str, until: Until) -> io::Result<(Vec<f64>, usize)> {
    let (mut stream, begun) = (connect(port)?, Instant::now());
    let (mut kept, mut refused) = (Vec::new(), 0);
    let mut number = 0;
    let goes_on = |number: usize| match until {
        Until::Over(time) => begun.elapsed() < time,
        Until::Count(count) => number < count,
    };
    while goes_on(number) {
        number += 1;
        let service = if number % 2 == 0 { "PSVC0" } else { "PF9KMXH" };
        let request = signed(&incident(&format!("{mark}-{number}"), service).to_string());
        stream.write_all(request.as_bytes())?;
        let asked = Instant::now();
        match status(&mut stream)? {
            200..=299 => kept.push(asked.elapsed().as_secs_f64() * 1000.0),
            _ => refused += 1,
        }
    }
    Ok((kept, refused))
}

/// A whole request, truly signed.
fn signed(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length is a key");
    mac.update(body.as_bytes());
    let signature = domain::chain::hex(&mac.finalize().into_bytes());
    format!(
        "POST /api/v1/hooks/pd HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-pagerduty-signature: v1={signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An incident of its own, that begins now.
pub(crate) fn incident(id: &str, service: &str) -> Value {
    let now = Moment::from_unix_ms(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as i64),
    );
    json!({"event": {
        "id": id, "event_type": "incident.triggered", "resource_type": "incident",
        "occurred_at": now,
        "agent": {"html_url": "https://acme.pagerduty.com/users/PLH1HKV", "id": "PLH1HKV", "type": "user_reference"},
        "client": {"name": "PagerDuty"},
        "data": {
            "id": format!("Q{id}"), "type": "incident", "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
            "number": 2, "status": "triggered", "incident_key": id, "created_at": now,
            "title": "A little bump in the road: checkout answers 500 on more than a third of all requests",
            "service": {"html_url": "https://acme.pagerduty.com/services/PF9KMXH", "id": service,
                "summary": "API Service", "type": "service_reference"},
            "assignees": [{"html_url": "https://acme.pagerduty.com/users/PTUXL6G", "id": "PTUXL6G",
                "summary": "User 123", "type": "user_reference"}],
            "escalation_policy": {"html_url": "https://acme.pagerduty.com/escalation_policies/PUS0KTE",
                "id": "PUS0KTE", "summary": "Default", "type": "escalation_policy_reference"},
            "priority": {"id": "PSO75BM", "summary": "P1", "type": "priority_reference"},
            "urgency": "high"
        }
    }})
}

/// The status of the next answer, whose body is read and forgotten.
fn status(stream: &mut TcpStream) -> io::Result<u16> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&bytes[..end])
            .map_err(|_| bad())?
            .to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .ok_or_else(bad)?;
        if bytes.len() >= end + 4 + length {
            return head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .ok_or_else(bad);
        }
    }
}

pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
