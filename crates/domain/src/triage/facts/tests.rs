use std::slice;

use serde_json::{Value, json};

use super::*;

fn at(ms: i64) -> Moment {
    Moment::from_unix_ms(ms)
}

fn shop() -> Application {
    serde_json::from_value(json!({"name": "shop", "environment": "production", "project": "shop",
        "probes": [{"url": "http://shop.example/"}],
        "metrics": [{"name": "error_share", "url": "http://prometheus:9090", "query": "x", "question": "many_users", "above": 0.1}],
        "components": [{"name": "api", "probes": [{"kind": "http", "port": 8080, "path": "/health"}]}, {"name": "worker"}]}))
    .unwrap()
}

/// One replica of the component in this state, and what a rollback has beside it.
fn look(component: &str, state: &str) -> EngineLook {
    let container = |name: &str, digit: &str| {
        json!({"id": digit.repeat(64), "name": name, "component": component, "replica": 1,
            "image": format!("sha256:{}", "a".repeat(64)), "state": state, "health": "none", "restarts": 0,
            "exit_code": 0, "restart": {"name": "always", "retries_max": 0}, "address": "10.0.0.2",
            "auto_remove": false, "stop_grace_s": 10, "mark": null, "specification": null})
    };
    serde_json::from_value(json!({"at": at(1), "engine": {"name": "e", "version": "20.10", "api_version": "1.41",
        "disk_free": {"known": 1}}, "containers": [container("shop_api_1", "c")], "images": {}, "names": {}, "kept": {},
        "lock": null}))
    .unwrap()
}

fn front(green: bool, spoke: bool) -> Answer {
    Answer {
        subject: Subject::Front,
        asked: "GET http://shop.example/".to_owned(),
        green,
        said: "status 500, expected 2xx".to_owned(),
        spoke,
    }
}

fn replica(green: bool) -> Answer {
    let subject = Subject::Replica {
        component: "api".parse().unwrap(),
        container: "c".repeat(64).parse().unwrap(),
    };
    Answer {
        subject,
        ..front(green, true)
    }
}

#[test]
fn one_green_check_says_that_it_is_not_completely_down() {
    let (shop, look) = (shop(), look("api", "running"));
    let said = |answers: &[Answer]| by_probes(&shop, Ok(&look), answers, at(7));
    let no = said(&[replica(false), front(true, true)]);
    assert_eq!(
        (no.question, no.said, no.source),
        (Question::Down, Said::No, Source::Probe)
    );
    assert_eq!(no.note.as_deref(), Some("checks: 1 of 2 green"));
    assert_eq!((no.by.as_str(), no.at), ("sternway:asker", at(7)));
    assert_eq!(said(&[replica(true)]).said, Said::No);
    let yes = said(&[replica(false), front(false, true)]);
    assert_eq!(yes.said, Said::Yes);
    let why = "checks: 0 of 2 green; GET http://shop.example/: status 500, expected 2xx";
    assert_eq!(yes.note.as_deref(), Some(why));
    let unclear = said(&[replica(true), front(false, true)]);
    assert_eq!(unclear.said, Said::Unknown, "{unclear:?}");
}

#[test]
fn where_nothing_could_be_asked_only_what_runs_can_tell() {
    let shop = shop();
    let seen = |look: Result<&EngineLook, &str>, answers: &[Answer]| {
        by_probes(&shop, look, answers, at(0)).said
    };
    assert_eq!(seen(Ok(&look("api", "exited")), &[]), Said::Yes);
    assert_eq!(seen(Ok(&look("worker", "running")), &[]), Said::Unknown);
    let away = Err("the engine does not answer");
    assert_eq!(seen(away, &[]), Said::Unknown);
    // Whoever reaches nothing may be cut off; an error is an answer.
    assert_eq!(seen(away, &[front(false, false)]), Said::Unknown);
    assert_eq!(seen(away, &[front(false, true)]), Said::Yes);
    assert_eq!(seen(away, &[front(true, true)]), Said::No);
}

#[test]
fn what_runs_is_asked_whichever_version_it_is() {
    let asked = |look: Option<&EngineLook>| questions(&shop(), look).len();
    assert_eq!(asked(Some(&look("api", "running"))), 2);
    assert_eq!(asked(Some(&look("api", "exited"))), 1, "the front");
    assert_eq!(asked(None), 1);
}

#[test]
fn where_nobody_asked_each_says_so_and_a_person_is_asked() {
    let shop = shop();
    assert!(any_to_ask(&shop));
    let all = unasked(&shop, "no worker answered in time", at(0));
    let questions: Vec<Question> = all.iter().map(|one| one.question).collect();
    assert_eq!(questions, [Question::ManyUsers, Question::Down]);
    for one in &all {
        assert!(is_open(one) && one.note.as_ref().unwrap().contains("no worker answered"));
    }
    assert_eq!(walk(&all), Led::Ask(Question::Down));
    let mut plain = shop.clone();
    plain.metrics.clear();
    plain.probes.clear();
    plain.components.remove(0);
    assert!(!any_to_ask(&plain));
    assert_eq!(unasked(&plain, "nobody", at(0)), []);
}

fn person(question: Question, said: Said) -> Evidence {
    Evidence {
        by: "ana".parse().unwrap(),
        source: Source::Person,
        ..evidence(question, said, Source::Metric, "", at(0))
    }
}

fn metric(question: Question, said: Said) -> Evidence {
    evidence(question, said, Source::Metric, "", at(9))
}

const NOT_WORSE: [Question; 3] = [
    Question::Down,
    Question::DataCorruption,
    Question::SecurityHole,
];

fn after_three_noes(more: &[Evidence]) -> Led {
    let mut all: Vec<Evidence> = NOT_WORSE.map(|one| person(one, Said::No)).into();
    all.extend_from_slice(more);
    walk(&all)
}

#[test]
fn a_metric_answers_and_one_that_can_not_tell_leaves_the_question_open() {
    let many = |said| metric(Question::ManyUsers, said);
    let soon = Led::Advise(Advice::RollBackSoon, Question::ManyUsers);
    assert_eq!(after_three_noes(&[many(Said::Yes)]), soon);
    let slow = Led::Ask(Question::OnlySlow);
    assert_eq!(after_three_noes(&[many(Said::No)]), slow);
    let asked = Led::Ask(Question::ManyUsers);
    assert_eq!(after_three_noes(&[many(Said::Unknown)]), asked);
    // One that could not tell is not outvoted by one that says no; a yes is a yes.
    assert_eq!(
        after_three_noes(&[many(Said::Unknown), many(Said::No)]),
        asked
    );
    assert_eq!(
        after_three_noes(&[many(Said::Unknown), many(Said::Yes)]),
        soon
    );
    // What a service says it does not know is the more severe branch, as ever.
    let service = Evidence {
        by: "service:ci".parse().unwrap(),
        ..many(Said::Unknown)
    };
    assert_eq!(after_three_noes(slice::from_ref(&service)), soon);
    let told = Evidence {
        said: Said::No,
        ..service
    };
    assert_eq!(after_three_noes(&[told, many(Said::Unknown)]), slow);
}

#[test]
fn a_persons_word_counts_before_a_metrics() {
    let many = [
        metric(Question::ManyUsers, Said::Yes),
        person(Question::ManyUsers, Said::No),
    ];
    assert_eq!(after_three_noes(&many), Led::Ask(Question::OnlySlow));
    let unsure = [
        metric(Question::ManyUsers, Said::No),
        person(Question::ManyUsers, Said::Unknown),
    ];
    let soon = Led::Advise(Advice::RollBackSoon, Question::ManyUsers);
    assert_eq!(after_three_noes(&unsure), soon);
    // That data is damaged wins as soon as a metric says it, unless a person denies it.
    let damaged = metric(Question::DataCorruption, Said::Yes);
    let stop = Led::Advise(Advice::StopAssessRollBack, Question::DataCorruption);
    assert_eq!(walk(slice::from_ref(&damaged)), stop);
    assert_eq!(
        after_three_noes(slice::from_ref(&damaged)),
        Led::Ask(Question::ManyUsers)
    );
    let unsure = [
        person(Question::Down, Said::Yes),
        person(Question::DataCorruption, Said::Unknown),
        damaged,
    ];
    assert_eq!(walk(&unsure), stop, "not to know is not to deny");
}

fn open(severity: &str, state: &str) -> OpenAlert {
    let trigger = json!({"name": "pager", "kind": "pagerduty", "mode": "record", "routes": [],
        "severities": {"P7": "many"}});
    let alert = json!({"episode": "Q1", "state": state, "title": "checkout answers 500", "severity": severity,
        "started_at": at(1), "occurred_at": at(1)});
    OpenAlert {
        trigger: serde_json::from_value(trigger).unwrap(),
        alert: serde_json::from_value(alert).unwrap(),
    }
}

#[test]
fn an_alert_that_is_there_answers_what_its_severity_speaks_of_and_nothing_else() {
    let now = at(9);
    let told = |alerts: &[OpenAlert]| by_alerts(alerts, &[], now);
    for (severity, question) in [
        ("critical", Question::Down),
        // In its trigger's words.
        ("P7", Question::ManyUsers),
        ("warning", Question::OnlySlow),
        ("data_loss", Question::DataCorruption),
    ] {
        for state in ["firing", "acknowledged"] {
            let said = told(&[open(severity, state)]);
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!((said[0].question, said[0].said), (question, Said::Yes));
            assert_eq!(said[0].source, Source::Alert);
            let note = said[0].note.as_ref().unwrap();
            assert!(
                note.contains("pager") && note.contains("checkout answers 500"),
                "{note}"
            );
        }
        assert!(told(&[open(severity, "resolved")]).is_empty());
    }
    assert!(told(&[open("minor", "firing")]).is_empty());
    assert!(told(&[open("who knows", "firing")]).is_empty());
    let mut ours = open("critical", "firing");
    ours.alert.ours = true;
    assert!(
        told(&[ours]).is_empty(),
        "what we said ourselves is no news"
    );
    assert_eq!(
        told(&[open("critical", "firing"), open("page", "firing")]).len(),
        1
    );
}

#[test]
fn an_alert_of_a_trigger_that_is_off_says_nothing_and_an_unsigned_one_leaves_it_to_a_person() {
    let now = at(9);
    let from = |kind: &str, mode: &str, settings: Value| {
        let mut open = open("critical", "firing");
        open.trigger.kind = serde_json::from_value(json!(kind)).unwrap();
        open.trigger.mode = mode.parse().unwrap();
        open.trigger.settings = serde_json::from_value(settings).unwrap();
        open
    };
    assert!(by_alerts(&[from("pagerduty", "off", json!({}))], &[], now).is_empty());
    for mode in ["record", "propose", "shadow", "auto"] {
        let told = by_alerts(&[from("pagerduty", mode, json!({}))], &[], now);
        assert_eq!(told[0].said, Said::Yes, "{mode}");
    }
    let mut distrusted = from("pagerduty", "record", json!({}));
    distrusted.trigger.trust = Some(TrustTier::Address);
    let unsigned = [
        from("alertmanager", "auto", json!({})),
        from("grafana", "auto", json!({})),
        distrusted,
    ];
    for open in &unsigned {
        let told = by_alerts(slice::from_ref(open), &[], now);
        assert_eq!(told[0].said, Said::Unknown, "{open:?}");
        let note = told[0].note.as_ref().unwrap();
        assert!(note.contains("does not sign"), "{note}");
        assert_eq!(walk(&told), Led::Ask(Question::Down), "a person is asked");
    }
    let signs = from("grafana", "auto", json!({"timestamp_header": "x-time"}));
    assert_eq!(by_alerts(&[signs], &[], now)[0].said, Said::Yes);
    // Nobody stands before one who signs.
    let both = [
        unsigned[0].clone(),
        from("pagerduty", "record", json!({})),
        unsigned[1].clone(),
    ];
    let told = by_alerts(&both, &[], now);
    assert_eq!((told.len(), told[0].said), (1, Said::Yes));
}

#[test]
fn facts_are_wanted_while_they_may_say_something_else() {
    let (plain, mut counts) = (shop(), shop());
    counts.metrics[0].question = Question::DataCorruption;
    let down = person(Question::Down, Said::Yes);
    let of =
        |answers: &[Evidence], application: &Application| are_wanted(answers, application, &[]);
    assert!(of(&[], &plain), "it leads nowhere yet");
    assert!(!of(slice::from_ref(&down), &plain));
    assert!(of(slice::from_ref(&down), &counts));
    // An alert that says so, or may: nothing else that alerts say.
    for (severity, wanted) in [("data_loss", true), ("critical", false)] {
        let told = by_alerts(&[open(severity, "firing")], &[], at(9));
        assert_eq!(are_wanted(slice::from_ref(&down), &plain, &told), wanted);
    }
    let with = |said| [down.clone(), person(Question::DataCorruption, said)];
    assert!(!of(&with(Said::No), &counts), "a person denies it");
    assert!(!of(&with(Said::Yes), &counts), "it is said already");
    assert!(
        of(&with(Said::Unknown), &counts),
        "not to know is not to deny"
    );
    let claimed = Evidence {
        by: "service:ci".parse().unwrap(),
        ..metric(Question::DataCorruption, Said::No)
    };
    assert!(of(&[down, claimed], &counts), "no person says so");
}

#[test]
fn an_alert_that_our_own_checks_deny_is_left_to_a_person() {
    let now = at(9);
    let mut found = vec![evidence(
        Question::Down,
        Said::No,
        Source::Probe,
        "3 of 3 green",
        now,
    )];
    found.extend(by_alerts(&[open("critical", "firing")], &found, now));
    assert_eq!(found[1].said, Said::Unknown);
    assert_eq!(walk(&found), Led::Ask(Question::Down));
    // Unseen is not denied.
    found[0].said = Said::Unknown;
    let alone = by_alerts(&[open("critical", "firing")], &found[..1], now);
    assert_eq!(alone[0].said, Said::Yes);
}
