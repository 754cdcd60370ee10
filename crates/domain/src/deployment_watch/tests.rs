use serde_json::json;

use super::*;
use crate::probe::Subject;

const WINDOW_S: i64 = 60;

fn at(s: i64) -> Moment {
    Moment::from_unix_ms(1_800_000_000_000 + s * 1000)
}

fn image(digit: char) -> ImageId {
    format!("sha256:{}", digit.to_string().repeat(64))
        .parse()
        .unwrap()
}

fn images(digit: char) -> BTreeMap<ComponentName, ImageId> {
    BTreeMap::from([("api".parse().unwrap(), image(digit))])
}

fn shop(probed: bool) -> Application {
    let probes = if probed {
        json!([{"kind": "http", "port": 8080, "path": "/health"}])
    } else {
        json!([])
    };
    serde_json::from_value(
        json!({"name": "shop", "environment": "production", "project": "shop",
        "watch_window_s": WINDOW_S, "components": [{"name": "api", "probes": probes}]}),
    )
    .unwrap()
}

/// One replica of image `digit`, started at `started`.
fn look(digit: char, started: Moment, health: &str) -> EngineLook {
    let container = json!({"id": "c".repeat(64), "name": "shop_api_1", "component": "api", "replica": 1,
        "image": image(digit), "state": "running", "health": health, "started_at": started, "restarts": 0,
        "exit_code": 0, "restart": {"name": "always", "retries_max": 0}, "address": "10.0.0.2",
        "auto_remove": false, "stop_grace_s": 10, "mark": null, "specification": null});
    serde_json::from_value(json!({"at": started, "engine": {"name": "e", "version": "20.10", "api_version": "1.41",
        "disk_free": {"known": 1}}, "containers": [container], "images": {}, "names": {}, "kept": {}, "lock": null}))
    .unwrap()
}

fn answer(green: bool) -> Answer {
    Answer {
        subject: Subject::Front,
        asked: "GET /health".to_owned(),
        green,
        said: "500".to_owned(),
        spoke: true,
    }
}

fn watched() -> Watched {
    Watched {
        since: at(0),
        green_since: None,
        red_since: None,
        newer: None,
    }
}

fn health(judgement: &Judgement) -> Option<ledger::Health> {
    match judgement {
        Judgement::Decided { health, .. } => Some(*health),
        Judgement::Watching { .. } => None,
    }
}

#[test]
fn a_whole_window_of_green_is_good() {
    let (shop, green) = (shop(true), [answer(true)]);
    let look = look('a', at(-5), "none");
    let first = judge(&shop, &images('a'), &watched(), &look, &green, at(1));
    let Judgement::Watching { green_since, .. } = first else {
        panic!("{first:?}")
    };
    let later = Watched {
        green_since,
        ..watched()
    };
    let almost = judge(&shop, &images('a'), &later, &look, &green, at(WINDOW_S));
    assert_eq!(health(&almost), None, "{almost:?}");
    let whole = judge(&shop, &images('a'), &later, &look, &green, at(WINDOW_S + 1));
    assert_eq!(health(&whole), Some(ledger::Health::Good));
}

/// Silence proves nothing, in either direction.
#[test]
fn an_answer_that_is_missing_is_not_green() {
    let (shop, look) = (shop(true), look('a', at(-5), "none"));
    let green = Watched {
        green_since: Some(at(0)),
        ..watched()
    };
    let judged = judge(&shop, &images('a'), &green, &look, &[], at(WINDOW_S + 1));
    let Judgement::Watching {
        green_since: None,
        red_since: None,
        said: Some(said),
    } = judged
    else {
        panic!("{judged:?}")
    };
    assert!(said.contains("not every check"), "{said}");
}

#[test]
fn a_health_check_without_a_result_is_not_green() {
    let look = look('a', at(-5), "starting");
    let green = Watched {
        green_since: Some(at(0)),
        ..watched()
    };
    let judged = judge(
        &shop(false),
        &images('a'),
        &green,
        &look,
        &[],
        at(WINDOW_S + 1),
    );
    assert_eq!(health(&judged), None, "{judged:?}");
}

/// A loop of crashes may be seen running at every look.
#[test]
fn a_replica_that_was_started_again_starts_the_window_anew() {
    let green = Watched {
        green_since: Some(at(0)),
        ..watched()
    };
    let again = look('a', at(WINDOW_S - 10), "none");
    let judged = judge(
        &shop(false),
        &images('a'),
        &green,
        &again,
        &[],
        at(WINDOW_S + 1),
    );
    let Judgement::Watching { green_since, .. } = judged else {
        panic!("{judged:?}")
    };
    assert_eq!(green_since, Some(at(WINDOW_S - 10)));
}

/// CI repeats an old report: the deployment that runs keeps its watch.
#[test]
fn a_report_alone_takes_nobodys_place() {
    let (shop, look) = (shop(false), look('b', at(-5), "none"));
    let late = Watched {
        green_since: Some(at(0)),
        newer: Some(images('a')),
        ..watched()
    };
    let judged = judge(&shop, &images('b'), &late, &look, &[], at(WINDOW_S));
    assert_eq!(health(&judged), Some(ledger::Health::Good));
    let same = Watched {
        newer: Some(images('b')),
        ..late
    };
    let judged = judge(&shop, &images('b'), &same, &look, &[], at(5));
    assert_eq!(health(&judged), Some(ledger::Health::Unproved));
}

#[test]
fn what_is_replaced_while_it_is_red_is_bad_and_else_unproved() {
    let (shop, next) = (shop(true), look('b', at(5), "none"));
    let over = |red_since| {
        let watched = Watched {
            red_since,
            newer: Some(images('b')),
            ..watched()
        };
        let judged = judge(&shop, &images('a'), &watched, &next, &[answer(true)], at(9));
        health(&judged)
    };
    assert_eq!(over(None), Some(ledger::Health::Unproved));
    assert_eq!(over(Some(at(3))), Some(ledger::Health::Bad));
    let nobody_new = Watched {
        red_since: Some(at(3)),
        ..watched()
    };
    let judged = judge(
        &shop,
        &images('a'),
        &nobody_new,
        &next,
        &[answer(true)],
        at(9),
    );
    assert_eq!(health(&judged), None, "{judged:?}");
}

/// Red for a moment, green for a moment, for ever: each look alone decides nothing.
#[test]
fn a_deployment_that_flaps_for_ever_comes_to_an_end() {
    let (shop, look) = (shop(true), look('a', at(-5), "none"));
    let mut state = watched();
    for s in (1..20_000).step_by(2) {
        let green = s % 20 < 10;
        match judge(&shop, &images('a'), &state, &look, &[answer(green)], at(s)) {
            Judgement::Watching {
                green_since,
                red_since,
                ..
            } => {
                state.green_since = green_since;
                state.red_since = red_since;
            }
            Judgement::Decided { health, said } => {
                assert_eq!(health, ledger::Health::Unproved);
                assert!(said.contains("flaps") && said.contains("500"), "{said}");
                assert!(
                    (3600 + 4 * WINDOW_S..3600 + 5 * WINDOW_S).contains(&s),
                    "{s}"
                );
                return;
            }
        }
    }
    panic!("it never ends: {state:?}");
}

/// Seen running at every look, and never for a whole window.
#[test]
fn a_replica_that_starts_again_for_ever_comes_to_an_end() {
    let (shop, mut state) = (shop(false), watched());
    for s in (1..20_000).step_by(2) {
        let look = look('a', at(s - s % 40), "none");
        match judge(&shop, &images('a'), &state, &look, &[], at(s)) {
            Judgement::Watching { green_since, .. } => state.green_since = green_since,
            Judgement::Decided { health, said } => {
                assert_eq!(health, ledger::Health::Unproved);
                assert!(said.contains("started again"), "{said}");
                return;
            }
        }
    }
    panic!("it never ends: {state:?}");
}

/// A server that was away for a day gives the window that runs its chance.
#[test]
fn a_late_window_is_watched_to_its_end() {
    let (shop, look, late) = (shop(true), look('a', at(-5), "none"), 90_000);
    let first = judge(
        &shop,
        &images('a'),
        &watched(),
        &look,
        &[answer(true)],
        at(late),
    );
    assert_eq!(health(&first), None, "{first:?}");
    let green = Watched {
        green_since: Some(at(late)),
        ..watched()
    };
    let whole = judge(
        &shop,
        &images('a'),
        &green,
        &look,
        &[answer(true)],
        at(late + WINDOW_S),
    );
    assert_eq!(health(&whole), Some(ledger::Health::Good));
}
