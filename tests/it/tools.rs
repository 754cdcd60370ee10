//! Tools made by others to break servers: schemathesis and slowhttptest.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::house::{
    Application, Engine, House,
    child::{Folder, Process, bound, log_file},
    seconds,
    server::repository,
    until,
    wait::throughout,
};

/// How long each attack lasts: longer than every time limit of the edge that it could wear out.
const ATTACK: Duration = Duration::from_secs(16);
/// An honest request during an attack must not take longer: far above what a busy machine adds to its
/// milliseconds, far below the time limits that a request waiting behind an attacker would meet.
const PROMPT: Duration = Duration::from_secs(6);

#[test]
fn schemathesis_finds_no_answer_that_the_description_does_not_promise() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "shop");
    house.broken(&mut shop);
    let token = house.token("admin", Some("ana"), &[]);
    let mut run = Command::new("sh");
    run.arg(repository().join("tests/schemathesis.sh"))
        .args(["run", &house.url(), &token]);
    let output = run.output().expect("sh runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !said.contains("not found") || output.status.code() != Some(127),
        "schemathesis is missing: `sh tests/schemathesis.sh install` (needs the network once)"
    );
    assert!(output.status.success(), "{said}");
    house.ask("GET", "/health/ready", &Value::Null).expect(200);
}

/// One attack with 300 connections; honest clients are served all the while.
fn attacked(mode: &[&str]) {
    let house = House::new();
    let token = house.token("viewer", None, &[]);
    let folder = Folder::new("slow");
    let path = match mode[0] {
        "-B" => "/api/v1/rollbacks",
        _ => "/openapi.json",
    };
    let mut command = bound("slowhttptest");
    command.args(mode).args([
        "-c",
        "300",
        "-r",
        "100",
        "-l",
        &ATTACK.as_secs().to_string(),
        "-p",
        "2",
    ]);
    command
        .args(["-g", "-o"])
        .arg(folder.join("report"))
        .args(["-u", &format!("{}{path}", house.url())]);
    let log = log_file(&folder.join("out.log"));
    command
        .stdout(log.try_clone().expect("a log can be shared"))
        .stderr(log);
    let found = Command::new("slowhttptest").arg("-h").output();
    assert!(
        found.is_ok(),
        "slowhttptest is missing: apt-get install slowhttptest, as tests/run.sh does"
    );
    let mut attack = Process::start(command);

    let mut slowest = Duration::ZERO;
    throughout("honest requests are answered", ATTACK - seconds(2), || {
        let begun = Instant::now();
        let reply = house.ask_with(&token, "GET", "/api/v1/applications", &Value::Null);
        slowest = slowest.max(begun.elapsed());
        reply.status == 200
    });
    assert!(
        slowest < PROMPT,
        "an honest request took {slowest:?} during {mode:?}"
    );
    attack.end(ATTACK + seconds(20));
    let said = fs::read_to_string(folder.join("out.log")).unwrap_or_default();
    let report = fs::read_to_string(folder.join("report.csv")).unwrap_or_default();
    assert!(
        !said.is_empty() && !report.is_empty(),
        "slowhttptest said nothing: {said}"
    );
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("service available"))
        .collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line.contains("YES")),
        "{mode:?}: {lines:?}"
    );
    until("the attack's connections are gone", seconds(40), || {
        house
            .tcp()
            .ask("GET", "/health/live", &[], &[], seconds(2))
            .ok()
            .filter(|reply| reply.status == 200)
    });
}

#[test]
fn slow_headers_do_not_keep_others_out() {
    attacked(&["-H", "-i", "2", "-t", "GET"]);
}

#[test]
fn slow_bodies_do_not_keep_others_out() {
    attacked(&["-B", "-i", "2", "-s", "8192"]);
}

#[test]
fn slow_readers_do_not_keep_others_out() {
    attacked(&["-X", "-w", "1", "-y", "2", "-n", "2", "-z", "16", "-k", "3"]);
}
