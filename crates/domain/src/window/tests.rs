//! Windows on the days on which clocks jump, and the rest of the year.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::*;

fn at(text: &str) -> Moment {
    OffsetDateTime::parse(text, &Rfc3339).unwrap().into()
}

fn window(kind: WindowKind, cron: &str, hours: u32, zone: &str) -> Window {
    Window {
        id: Uuid::from_u128(u128::from(hours)),
        kind,
        application: None,
        cron: cron.parse().unwrap(),
        duration: Millis::from_secs(hours * 3600),
        zone: zone.parse().unwrap(),
        rollbacks: true,
    }
}

fn shop() -> ApplicationName {
    "shop".parse().unwrap()
}

fn open(window: &Window, text: &str) -> Option<String> {
    window
        .open_until(at(text))
        .unwrap()
        .map(|until| until.to_string())
}

#[test]
fn a_weekend_freeze_is_open_from_friday_evening_on() {
    let weekend = window(WindowKind::Deny, "0 18 * * fri", 62, "Europe/Berlin");
    assert_eq!(open(&weekend, "2026-11-20T16:59:59.999Z"), None);
    let monday = Some("2026-11-23T07:00:00Z".to_owned());
    assert_eq!(open(&weekend, "2026-11-20T17:00:00Z"), monday);
    assert_eq!(open(&weekend, "2026-11-23T06:59:59.999Z"), monday);
    assert_eq!(open(&weekend, "2026-11-23T07:00:00Z"), None);
    let next = weekend
        .next_after(at("2026-11-20T17:00:00Z"))
        .unwrap()
        .unwrap();
    assert_eq!(next.to_string(), "2026-11-27T17:00:00Z");
}

#[test]
fn a_beginning_that_the_clock_skips_is_at_the_jump() {
    // On 29 March 2026 clocks in Berlin go from 02:00 to 03:00, at 01:00 UTC.
    let night = window(WindowKind::Deny, "30 2 * * *", 1, "Europe/Berlin");
    assert_eq!(open(&night, "2026-03-29T00:59:59Z"), None);
    assert_eq!(
        open(&night, "2026-03-29T01:00:00Z"),
        Some("2026-03-29T02:00:00Z".to_owned())
    );
    assert_eq!(open(&night, "2026-03-29T02:00:00Z"), None);
    assert_eq!(
        open(&night, "2026-03-30T00:30:00Z"),
        Some("2026-03-30T01:30:00Z".to_owned())
    );
    // Half an hour on Lord Howe Island: 02:00 to 02:30 on 4 October 2026, at 15:30 UTC of the day before.
    let island = window(WindowKind::Deny, "10 2 * * *", 1, "Australia/Lord_Howe");
    assert_eq!(open(&island, "2026-10-03T15:29:59Z"), None);
    assert_eq!(
        open(&island, "2026-10-03T15:30:00Z"),
        Some("2026-10-03T16:30:00Z".to_owned())
    );
}

#[test]
fn a_beginning_that_the_clock_shows_twice_is_the_first() {
    // On 25 October 2026 clocks in Berlin go from 03:00 back to 02:00, at 01:00 UTC.
    let night = window(WindowKind::Deny, "30 2 * * *", 1, "Europe/Berlin");
    assert_eq!(
        open(&night, "2026-10-25T00:30:00Z"),
        Some("2026-10-25T01:30:00Z".to_owned())
    );
    assert_eq!(open(&night, "2026-10-25T01:30:00Z"), None);
}

#[test]
fn a_window_lasts_its_time_over_a_jump() {
    let night = window(WindowKind::Deny, "0 22 * * sat", 8, "Europe/Berlin");
    assert_eq!(
        open(&night, "2026-03-28T21:00:00Z"),
        Some("2026-03-29T05:00:00Z".to_owned())
    );
}

#[test]
fn what_denies_wins_and_what_allows_has_to_be_open() {
    let noon = at("2026-11-22T12:30:00Z");
    let deny = window(WindowKind::Deny, "0 12 * * *", 1, "UTC");
    let allow = window(WindowKind::Allow, "0 9 * * *", 8, "UTC");
    let later = window(WindowKind::Allow, "0 20 * * *", 2, "UTC");
    let until = at("2026-11-22T13:00:00Z");
    let denied = Verdict::Denied {
        window: deny.id,
        until,
    };
    for windows in [[deny.clone(), allow.clone()], [allow.clone(), deny.clone()]] {
        assert_eq!(judge(&windows, &shop(), noon), denied);
    }
    assert_eq!(
        judge(&[allow.clone(), later.clone()], &shop(), noon),
        Verdict::Open { exempt: None }
    );
    let next = Some(at("2026-11-22T20:00:00Z"));
    assert_eq!(judge(&[later], &shop(), noon), Verdict::NotAllowed { next });
    assert_eq!(judge(&[], &shop(), noon), Verdict::Open { exempt: None });
}

#[test]
fn rollbacks_are_exempt_unless_a_window_says_otherwise_and_others_have_their_own() {
    let noon = at("2026-11-22T12:30:00Z");
    let mut deny = window(WindowKind::Deny, "0 12 * * *", 1, "UTC");
    deny.rollbacks = false;
    assert_eq!(
        judge(&[deny.clone()], &shop(), noon),
        Verdict::Open {
            exempt: Some(deny.id)
        }
    );
    deny.rollbacks = true;
    deny.application = Some("blog".parse().unwrap());
    assert_eq!(
        judge(&[deny.clone()], &shop(), noon),
        Verdict::Open { exempt: None }
    );
    deny.application = Some(shop());
    assert_ne!(
        judge(&[deny], &shop(), noon),
        Verdict::Open { exempt: None }
    );
    let mut allow = window(WindowKind::Allow, "0 20 * * *", 1, "UTC");
    allow.rollbacks = false;
    assert_eq!(
        judge(&[allow], &shop(), noon),
        Verdict::Open { exempt: None }
    );
}

#[test]
fn cron_lines_are_read_as_everywhere() {
    let times = |line: &str, day: (i16, i8, i8)| {
        let cron: Cron = line.parse().unwrap();
        cron.times_of(&zone::Day::of(day.0, day.1, day.2))
    };
    let sunday = (2026, 11, 22);
    assert_eq!(times("0 9-17/4 * * *", sunday), [(9, 0), (13, 0), (17, 0)]);
    assert_eq!(times("15,45 3 * * 7", sunday), [(3, 15), (3, 45)]);
    assert_eq!(times("0 0 * * MON-FRI", sunday), []);
    assert_eq!(times("0 0 22 nov *", sunday), [(0, 0)]);
    assert_eq!(times("0 0 1 * sun", sunday), [(0, 0)]);
    assert_eq!(times("0 0 1 * mon", sunday), []);
    assert_eq!(
        times("0 5/6 * * *", sunday),
        [(5, 0), (11, 0), (17, 0), (23, 0)]
    );
    for bad in [
        "",
        "* * * *",
        "0 0 * * * *",
        "60 0 * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "5-3 0 * * *",
        "0 */0 * * *",
        "+5 0 * * *",
        "0 0 * * fun",
        "a b c d e",
        "* * * * *",
        "@daily",
        "0-0x1 0 * * *",
        "0,, 0 * * *",
    ] {
        assert!(bad.parse::<Cron>().is_err(), "{bad}");
    }
}

#[test]
fn zones_are_known_without_the_hosts_files() {
    assert!("Europe/Berlin".parse::<Zone>().is_ok() && "UTC".parse::<Zone>().is_ok());
    for bad in ["", "Europe/Atlantis", "../../etc/passwd", "local"] {
        assert!(bad.parse::<Zone>().is_err(), "{bad}");
    }
}

#[test]
fn the_leap_day_comes() {
    let leap = window(WindowKind::Deny, "0 0 29 2 *", 24, "UTC");
    let next = leap
        .next_after(at("2026-11-22T00:00:00Z"))
        .unwrap()
        .unwrap();
    assert_eq!(next.to_string(), "2028-02-29T00:00:00Z");
}
