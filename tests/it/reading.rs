//! Reading along: the log as a stream, the steps, and the evidence that was kept.

use std::{
    io::{BufRead, BufReader, Write},
    time::Instant,
};

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, seconds, until, wire::Head};

/// Reads events of a stream until `enough`, as (id, name) pairs.
fn read_events(
    house: &House,
    id: &str,
    after: Option<u32>,
    enough: impl Fn(&[(u32, String)]) -> bool,
) -> Vec<(u32, String)> {
    let mut stream = house.socket().connect(seconds(30)).unwrap();
    let resume = after.map_or_else(String::new, |seq| format!("last-event-id: {seq}\r\n"));
    let request = format!(
        "GET /api/v1/rollbacks/{id}/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{resume}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)
        .unwrap()
        .expect("the server answers");
    assert_eq!(head.status(), 200);
    assert!(
        head.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    let (mut seen, mut number, mut line) = (Vec::new(), 0, String::new());
    while !enough(&seen) {
        line.clear();
        // The frames of the chunks are lines of their own, and no field of an event.
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        if let Some(id) = line.strip_prefix("id:") {
            number = id.trim().parse().unwrap();
        } else if let Some(name) = line.strip_prefix("event:") {
            seen.push((number, name.trim().to_owned()));
        }
    }
    seen
}

#[test]
fn whoever_was_cut_off_reads_on_where_they_stopped() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "reading");
    house.broken(&mut shop);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let live = read_events(&house, &id, None, |seen| {
        seen.last().is_some_and(|(_, name)| name == "ended")
    });
    let ended = house.verdict(&id, "rolled_back");
    let numbers: Vec<u32> = live.iter().map(|(number, _)| *number).collect();
    let last = u32::try_from(ended["log"]["seq"].as_u64().unwrap()).unwrap();
    assert_eq!(
        numbers,
        (1..=last).collect::<Vec<u32>>(),
        "every event once, in order"
    );
    assert_eq!(live[0].1, "requested");
    let rest = read_events(&house, &id, Some(5), |seen| {
        seen.last().is_some_and(|(_, name)| name == "ended")
    });
    assert_eq!(rest, live[5..].to_vec());

    let steps = house.get(&format!("/api/v1/rollbacks/{id}/steps"));
    let steps = steps["items"].as_array().unwrap();
    assert!(
        steps.len() >= 8
            && steps
                .iter()
                .all(|step| step["state"] == "done" && step["duration_ms"].is_u64()),
        "{steps:#?}"
    );
    let kept = house.get(&format!("/api/v1/rollbacks/{id}/artifacts"));
    let logs = kept["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["kind"] == "logs" && row["component"] == "api")
        .unwrap();
    let text = house
        .ask(
            "GET",
            &format!("/api/v1/artifacts/{}", logs["id"].as_str().unwrap()),
            &Value::Null,
        )
        .expect(200)
        .text();
    assert!(
        text.contains("no price for item 7"),
        "the bad release's last words are kept: {text}"
    );
}

#[test]
fn a_server_that_is_asked_to_stop_lets_its_readers_go() {
    let mut house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "letgo");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["approval"] = json!(true);
    house.correct(&definition);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let mut stream = house.socket().connect(seconds(30)).unwrap();
    stream
        .write_all(
            format!("GET /api/v1/rollbacks/{id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)
        .unwrap()
        .expect("the server answers");
    assert_eq!(head.status(), 200);
    let begun = Instant::now();
    assert_eq!(house.stop(), Some(0));
    assert!(
        begun.elapsed() < seconds(20),
        "it took {:?} to stop",
        begun.elapsed()
    );
    until("the stream is at its end", seconds(20), || {
        let mut line = String::new();
        (reader.read_line(&mut line).unwrap_or(0) == 0).then_some(())
    });
    house.start();
    assert_eq!(
        house.rollback(&id)["phase"],
        "awaiting_approval",
        "what waits waits on"
    );
}
