//! Names become parts of paths, of commands' arguments and of requests to engines: what is taken can be none of the marks
//! that mean something there.

use std::{fmt::Display, str::FromStr};

use domain::{
    name::{
        Actor, ApplicationName, ChatUser, CommitId, ComponentName, ContainerId, EnvironmentName,
        ImageId, PlanDigest, PullReference, SpecificationDigest, TagName, TriggerName,
        VariableName, Version,
    },
    window::{Cron, Zone},
};
use proptest::{prelude::*, sample::select, test_runner::TestCaseError};
use serde::{Serialize, de::DeserializeOwned};

/// Texts that are names, nearly names, or what somebody would like to have taken for one.
fn text() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "shop",
        "1.4.2",
        "v",
        "-",
        "--",
        "-rf",
        ".",
        "..",
        "/",
        "../etc",
        "\0",
        "\n",
        " ",
        "$(id)",
        "`id`",
        ";",
        "|",
        "&",
        "\"",
        "'",
        "\\",
        "*",
        "?",
        "é",
        "ß",
        "\u{202e}",
        "\u{feff}",
        "🚀",
        "@",
        ":",
        "sha256:",
        "T0001.U1",
        "=",
        "+",
        "#",
        "%2e",
        "~",
        "A",
        "_",
        "trigger:ci",
        "local:root",
        ".lock",
        "{",
        "}",
        "<!channel>",
        "\u{7f}",
        "\u{85}",
        "0",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
        "\\PC{0,40}",
        "[a-z0-9][a-z0-9_.-]{0,70}",
        "[0-9a-f]{40,64}",
        "sha256:[0-9a-f]{62,66}",
        "[a-z.:/]{1,20}@sha256:[0-9a-f]{64}",
        any::<String>(),
    ]
}

/// What is taken is the text itself, in every form; says whether it was.
fn taken<Name>(text: &str) -> Result<bool, TestCaseError>
where
    Name: FromStr + Display + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    Name::Err: Display,
{
    let written = serde_json::Value::from(text);
    let read: Result<Name, _> = serde_json::from_value(written.clone());
    match text.parse::<Name>() {
        Ok(name) => {
            prop_assert_eq!(name.to_string(), text);
            prop_assert_eq!(serde_json::to_value(&name).unwrap(), written);
            prop_assert_eq!(read.ok(), Some(name));
            Ok(true)
        }
        Err(why) => {
            prop_assert!(read.is_err(), "{text:?}");
            prop_assert!(why.to_string().chars().count() < 500, "{why}");
            Ok(false)
        }
    }
}

/// Nothing of a shell's, a path's, an option's or a line's.
fn harmless(text: &str, more: &[u8]) -> bool {
    !text.is_empty()
        && !text.starts_with(['-', '.', '/'])
        && !text.split('/').any(|part| part == ".." || part == ".")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b) || more.contains(&b))
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_name_that_is_taken_means_nothing_to_a_shell_a_path_or_an_engine(text in text()) {
        let mut each = vec![
            (taken::<ApplicationName>(&text)?, b"".as_slice(), 63),
            (taken::<ComponentName>(&text)?, b"", 63),
            (taken::<TriggerName>(&text)?, b"", 63),
            (taken::<EnvironmentName>(&text)?, b"", 63),
            (taken::<Version>(&text)?, b"+", 128),
            (taken::<VariableName>(&text)?, b"", 63),
            (taken::<TagName>(&text)?, b"+/", 200),
        ];
        for digest in [taken::<PlanDigest>(&text)?, taken::<ContainerId>(&text)?, taken::<SpecificationDigest>(&text)?] {
            each.push((digest, b"", 64));
        }
        each.push((taken::<CommitId>(&text)?, b"", 64));
        each.push((taken::<ImageId>(&text)?, b":", 71));
        each.push((taken::<PullReference>(&text)?, b":/@", 512));
        for (is, more, most) in each {
            prop_assert!(!is || (harmless(&text, more) && text.len() <= most), "{text:?}");
        }
        // Neither goes into a path or a command.
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        prop_assert!(!taken::<ChatUser>(&text)? || (plain(&text) && text.len() <= 80), "{text:?}");
        prop_assert!(!taken::<Actor>(&text)? || (!text.chars().any(char::is_control) && text.len() <= 128), "{text:?}");
    }

    #[test]
    fn a_cron_line_is_refused_or_kept(line in cron(), zone in zone()) {
        if let Ok(cron) = line.parse::<Cron>() {
            prop_assert!(cron.as_str().len() <= 200);
            let again: Cron = cron.as_str().parse().unwrap();
            prop_assert_eq!(&again, &cron);
            prop_assert_eq!(&serde_json::from_value::<Cron>(serde_json::to_value(&cron).unwrap()).unwrap(), &cron);
        }
        // One that was stored by a program that knew others is there all the same.
        let _ = Cron::stored(&line);
        if let Ok(known) = zone.parse::<Zone>() {
            prop_assert_eq!(known.as_str(), zone);
        }
    }

    #[test]
    fn a_window_of_any_line_that_is_taken_says_whether_it_is_open(line in cron(), at in 0..4_000_000_000_000_i64, hours in 1..744_u64) {
        use domain::{time::{Millis, Moment}, window::{Window, WindowKind, judge}};
        for zone in ["UTC", "Europe/Berlin", "Pacific/Apia", "America/Sao_Paulo"] {
            let window = Window {
                id: uuid::Uuid::from_u128(1),
                kind: WindowKind::Deny,
                application: None,
                cron: Cron::stored(&line),
                duration: Millis(hours * 3_600_000),
                zone: zone.parse().unwrap(),
                rollbacks: true,
            };
            let verdict = judge(&[window], &"shop".parse().unwrap(), Moment::from_unix_ms(at));
            let unreadable = matches!(verdict, domain::window::Verdict::Unreadable { .. });
            // What nobody understands lets nothing through.
            prop_assert_eq!(unreadable, line.parse::<Cron>().is_err(), "{:?}", verdict);
        }
    }
}

fn cron() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("*".to_owned()),
        "[0-9]{1,3}",
        "[0-9]{1,2}-[0-9]{1,2}",
        "\\*/[0-9]{1,3}",
        "[0-9]{1,2}(,[0-9]{1,2}){1,4}",
        "(jan|FEB|mon|Fri|sun-sat|fri-mon)",
        "[*/,0-9-]{0,8}",
        "\\PC{0,4}",
    ];
    prop_oneof![
        4 => prop::collection::vec(field, 5).prop_map(|fields| fields.join(" ")),
        1 => "\\PC{0,30}",
        1 => "[0-9* ,/-]{0,260}",
    ]
}

fn zone() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "UTC",
            "Europe/Berlin",
            "../../etc/passwd",
            "/etc/localtime",
            "",
            "EST5EDT",
            "Nowhere/At_All"
        ])
        .prop_map(ToOwned::to_owned),
        "\\PC{0,20}",
    ]
}
