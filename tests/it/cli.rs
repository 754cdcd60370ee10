//! The command line as scripts use it: exit codes, data on stdout, everything else on stderr.

use std::process::Output;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::{
    Application, Engine, House, Luck, When,
    child::{Folder, signal_pid},
    seconds, until,
};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs and checks the exit code.
#[track_caller]
fn run(house: &House, arguments: &[&str], code: i32) -> Output {
    let output = house.cli(arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "sternway {arguments:?}\n{}{}",
        stdout(&output),
        stderr(&output)
    );
    output
}

/// What `--json` prints.
#[track_caller]
fn data(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

#[test]
fn a_stranger_adopts_a_project_and_brings_it_back() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "adopted");
    let name = shop.name.clone();
    shop.up("1.4.2");
    let folder = Folder::new("cli");
    let file = folder.join("shop.toml").display().to_string();
    let adopted = stdout(&run(&house, &["adopt", &name], 0));
    assert!(
        adopted.contains("[[components]]") && adopted.contains("api"),
        "{adopted}"
    );
    // A person reads it, shortens the watch window, and adds what only a person knows.
    let definition: String = adopted.lines().map(|line| if line.starts_with("watch_window_s") { "watch_window_s = 0".to_owned() } else { line.to_owned() } + "\n").collect();
    std::fs::write(&file, definition).unwrap();
    run(&house, &["apply", "-f", &file], 0);
    run(&house, &["apply", "-f", &file], 0);
    let record = |version: &str, shop: &Application| {
        let images: Vec<String> = ["api", "worker"]
            .iter()
            .map(|part| format!("{part}={}", shop.image(version)))
            .collect();
        run(
            &house,
            &[
                "record-deploy",
                &name,
                "--version",
                version,
                "--commit",
                "abc1234",
                "--image",
                &images[0],
                "--image",
                &images[1],
            ],
            0,
        );
    };
    record("1.4.2", &shop);
    until("1.4.2 is good", seconds(30), || {
        let rows = house.get(&format!(
            "/api/v1/applications/{name}/deployments?state=good"
        ));
        (!rows["items"].as_array()?.is_empty()).then_some(())
    });
    shop.up("1.5.0");
    record("1.5.0", &shop);

    assert!(stdout(&run(&house, &["versions", &name], 0)).contains("1.4.2"));
    assert!(stdout(&run(&house, &["plan", &name, "--good"], 0)).contains("1.4.2"));
    let output = run(&house, &["rollback", &name], 2);
    assert!(
        (stdout(&output) + &stderr(&output)).contains("1.4.2"),
        "a rollback without a target lists the targets"
    );
    let output = run(
        &house,
        &[
            "--json",
            "rollback",
            &name,
            "--good",
            "--reason",
            "critical_bug",
            "--yes",
        ],
        0,
    );
    assert_eq!(data(&output)["to"], "1.4.2", "{}", stdout(&output));
    assert!(!stderr(&output).is_empty(), "progress is on stderr");
    shop.serves_alone("1.4.2");
    for command in [
        vec!["status"],
        vec!["status", &name],
        vec!["history", &name],
        vec!["versions", &name],
    ] {
        assert!(stdout(&run(&house, &command, 0)).contains(&name[..7]) || command.len() > 1);
        let mut with_json = vec!["--json"];
        with_json.extend(&command);
        data(&run(&house, &with_json, 0));
    }
}

#[test]
fn every_end_has_its_exit_code() {
    let mut house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "codes");
    let name = shop.name.clone();
    house.broken(&mut shop);
    run(&house, &["help"], 0);
    run(&house, &["rollback", "--help"], 0);
    run(&house, &["frobnicate"], 2);
    run(&house, &["plan", "../etc", "--good"], 2);
    run(
        &house,
        &["rollback", &name, "--good", "--reason", "boredom"],
        2,
    );
    // No terminal, and nobody said yes.
    let output = run(
        &house,
        &["rollback", &name, "--good", "--reason", "critical_bug"],
        2,
    );
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    run(&house, &["plan", "nothing", "--good"], 3);
    run(
        &house,
        &["watch", "0199c0de-7a11-7000-8000-000000000001"],
        3,
    );

    let viewer = house.token("viewer", None, &[]);
    let with_token = |token: &str, words: &[&str]| {
        let mut command = house.cli_command(&["--url", &house.url()]);
        command
            .args(words)
            .env("STERNWAY_TOKEN", token)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(with_token(&viewer, &["plan", &name, "--good"]), Some(4));
    assert_eq!(with_token("rb_nonsense", &["status"]), Some(4));
    assert_eq!(with_token(&viewer, &["status", &name]), Some(0));

    // Time-out, Ctrl-C and a conflict, while a rollback is held up.
    house.door.trap(
        "POST /containers/{id}/stop",
        1,
        When::After,
        Luck::Delay(seconds(20)),
    );
    run(
        &house,
        &[
            "rollback",
            &name,
            "--good",
            "--reason",
            "critical_bug",
            "--yes",
            "--timeout",
            "1",
        ],
        124,
    );
    let active = house.get(&format!("/api/v1/rollbacks?application={name}&active=true"));
    let id = active["items"][0]["id"].as_str().unwrap().to_owned();
    let output = house.cli(&[
        "rollback",
        &name,
        "--good",
        "--reason",
        "critical_bug",
        "--yes",
    ]);
    assert_eq!(
        output.status.code(),
        Some(5),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let mut watch = house
        .cli_command(&["watch", &id])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("it watches", seconds(30), || {
        let waits = std::fs::read_to_string(format!("/proc/{}/status", watch.id())).ok()?;
        let caught = waits.lines().find(|line| line.starts_with("SigCgt:"))?;
        let mask = u64::from_str_radix(caught.split_whitespace().nth(1)?, 16).ok()?;
        (mask & 2 != 0).then_some(())
    });
    signal_pid(watch.id(), Signal::INT);
    assert_eq!(watch.wait().unwrap().code(), Some(130));
    run(&house, &["watch", &id], 0);
    shop.serves_alone("1.4.2");
    run(&house, &["cancel", &id], 5);

    house.kill();
    run(&house, &["status"], 69);
    run(&house, &["plan", "--help"], 0);
}

#[test]
fn a_rollback_that_could_not_be_proved_ends_with_six_or_seven() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "sixseven");
    let quick = |mut definition: Value| {
        definition["timeouts"]["proof_s"] = json!(4);
        definition
    };
    house.know(&quick(shop.definition()));
    shop.release("1.4.1", &["BAD=1"]);
    shop.release("1.4.3", &["BAD_HEALTH=1", "BAD=1"]);
    shop.release("1.5.0", &["BAD=1"]);
    house.deploy_until(&mut shop, "1.4.1", "bad");
    house.deploy_until(&mut shop, "1.4.3", "bad");
    // Judged, so that it is up: what still boots is no better than the worst.
    house.deploy_until(&mut shop, "1.5.0", "bad");
    let name = shop.name.clone();
    let back_to = |version: &str, code: i32| {
        let call = ["rollback", &name, "--to", version];
        let why = ["--reason", "performance", "--yes"];
        run(&house, &[call.as_slice(), &why].concat(), code);
    };
    // Found out on the stage: what serves was not even touched.
    back_to("1.4.1", 7);
    shop.serves_alone("1.5.0");
    house.correct(&quick(shop.one_at_a_time()));
    back_to("1.4.3", 7);
    shop.serves_alone("1.5.0");
    back_to("1.4.1", 6);
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let house = House::new();
    let token = stdout(&run(
        &house,
        &["token", "create", "ci", "--role", "operator"],
        0,
    ))
    .trim()
    .to_owned();
    assert!(
        token.starts_with("rb_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    house
        .ask_with(&token, "GET", "/api/v1/me", &Value::Null)
        .expect(200);
    let listed = stdout(&run(&house, &["token", "list"], 0));
    assert!(
        listed.contains("ci") && !listed.contains(&token),
        "{listed}"
    );
    let rows = house.get("/api/v1/tokens");
    let id = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "ci")
        .unwrap()["id"]
        .clone();
    run(&house, &["token", "revoke", id.as_str().unwrap()], 0);
    house
        .ask_with(&token, "GET", "/api/v1/me", &Value::Null)
        .problem(401, "unauthenticated");
    for words in [
        vec!["version"],
        vec!["openapi"],
        vec!["completions", "bash"],
        vec!["doctor"],
    ] {
        assert!(!stdout(&run(&house, &words, 0)).is_empty(), "{words:?}");
    }
}
