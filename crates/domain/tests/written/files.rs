//! Files that a rollback edits: one value changes, and whatever else is in them, written by whomever, stays as it is.

use std::collections::BTreeMap;

use domain::{
    compose::{
        env_file,
        override_file::{self, Images},
    },
    name::{ComponentName, VariableName},
};
use proptest::{prelude::*, sample::Index, sample::select};

fn variable() -> VariableName {
    "VERSION".parse().unwrap()
}

/// A `.env` as people write one, with lines that are none.
fn env() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "VERSION=1.5.0",
        "VERSION = '1.5.0' # ours",
        "export VERSION=\"1.5.0\"",
        "'VERSION'=1",
        "VERSIONS=2",
        "MY_VERSION=3",
        "# VERSION=0",
        "",
        "A=$VERSION",
        "B=\"two\nlines\nVERSION=7\n\"",
        "C='it''s'",
        "D=\"x\\\"y\"",
        "E",
        "=1",
        "VERSION",
        "F=#",
        "\u{feff}VERSION=9",
        "G=\"never closed",
        "VERSION=",
        "VERSION=\"\"",
        "H=é",
        "VERSION=1.5.0 #x",
        "VERSION=\"1\" x",
        "\t I\t=\t2",
    ]);
    let end = select(vec!["\n", "\r\n", "\r", "\n\n", ""]);
    let lines = prop::collection::vec((line, end), 0..8);
    prop_oneof![
        4 => lines.prop_map(|lines| lines.iter().map(|(line, end)| format!("{line}{end}")).collect::<String>().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..120),
    ]
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn one_variable_changes_and_nothing_else(content in env(), version in "[0-9A-Za-z][0-9A-Za-z._+-]{0,20}", any in "\\PC{0,12}") {
        let name = variable();
        let _ = env_file::difference(&content, version.as_bytes());
        for value in [&version, &any] {
            if let Some(edited) = env_file::with_value(&content, &name, value) {
                prop_assert_eq!(env_file::value(&edited, &name), Some(value.clone().into_bytes()));
                prop_assert_eq!(env_file::rest(&edited, &name), env_file::rest(&content, &name));
                // Set again, it is the same file.
                prop_assert_eq!(env_file::with_value(&edited, &name, value), Some(edited.clone()));
                let other: VariableName = "VERSIONS".parse().unwrap();
                prop_assert_eq!(env_file::value(&edited, &other), env_file::value(&content, &other));
            }
        }
    }

    #[test]
    fn an_override_file_is_ours_whole_or_not_at_all(
        images in prop::collection::btree_map("[a-z][a-z0-9_.-]{0,8}", "\\PC{0,20}|[a-z]{1,8}(:[0-9.]{1,5})?(@sha256:[0-9a-f]{64})?", 0..4),
        at in any::<Index>(), byte in any::<u8>(), more in "\\PC{0,8}"
    ) {
        let images: BTreeMap<ComponentName, String> = images.into_iter().map(|(name, image)| (name.parse().unwrap(), image)).collect();
        let plain = |image: &String| !image.is_empty() && image.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
        let fit = !images.is_empty() && images.values().all(plain);
        let made = Images::new(images);
        prop_assert_eq!(made.is_some(), fit, "nothing that means something in YAML gets in");
        let Some(made) = made else { return Ok(()) };
        prop_assert_eq!(Images::parse(&made.to_string()), Some(made.clone()));
        let content = made.content();
        prop_assert_eq!(override_file::value(&content), Ok(made.clone()));
        let mut edited = content.clone();
        let at = at.index(edited.len());
        edited[at] = byte;
        let mut longer = content.clone();
        longer.splice(at..at, more.bytes());
        for other in [edited, longer] {
            let _ = override_file::difference(&content, &other);
            match override_file::value(&other) {
                // What is read is what would be written.
                Ok(images) => prop_assert_eq!(images.content(), other),
                Err(why) => prop_assert!(!why.is_empty() && other != content),
            }
        }
    }

    #[test]
    fn whatever_an_override_file_is_it_is_read_or_told(content in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        let _ = (override_file::is_ours(&content), override_file::difference(&content, text.as_bytes()));
        prop_assert!(override_file::value(&content).is_err());
        if let Some(images) = Images::parse(&text) {
            prop_assert_eq!(images.to_string(), text);
        }
    }
}
