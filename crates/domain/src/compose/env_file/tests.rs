use proptest::prelude::*;

use super::*;

fn version() -> VariableName {
    "VERSION".parse().unwrap()
}

fn set(content: &str, value: &str) -> String {
    String::from_utf8(with_value(content.as_bytes(), &version(), value).unwrap()).unwrap()
}

fn read(content: &str) -> Option<String> {
    value(content.as_bytes(), &version()).map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn the_value_is_changed_and_nothing_around_it() {
    for (before, after) in [
        ("VERSION=1.5.0\n", "VERSION=1.4.2\n"),
        (
            "# VERSION=9\nA=1\nVERSION=1.5.0\nB=2\n",
            "# VERSION=9\nA=1\nVERSION=1.4.2\nB=2\n",
        ),
        (
            "VERSION=\"1.5.0\"\r\nA=1\r\n",
            "VERSION=\"1.4.2\"\r\nA=1\r\n",
        ),
        (
            "export VERSION = '1.5.0'  # set by CI\n",
            "export VERSION = '1.4.2'  # set by CI\n",
        ),
        ("VERSION=1.5.0 # set by CI", "VERSION=1.4.2 # set by CI"),
        (
            "  VERSION=1.5.0\t\nX=VERSION=7\n",
            "  VERSION=1.4.2\t\nX=VERSION=7\n",
        ),
        ("VERSION=\n", "VERSION=1.4.2\n"),
        ("\u{feff}VERSION=1.5.0\n", "\u{feff}VERSION=1.4.2\n"),
        (
            "MY_VERSION=1\nVERSION_2=2\nVERSION=3",
            "MY_VERSION=1\nVERSION_2=2\nVERSION=1.4.2",
        ),
    ] {
        assert_eq!(set(before, "1.4.2"), after);
        assert_eq!(read(after).as_deref(), Some("1.4.2"), "{after:?}");
    }
}

#[test]
fn of_two_entries_the_last_one_counts() {
    assert_eq!(set("VERSION=1\nVERSION=2\n", "3"), "VERSION=1\nVERSION=3\n");
}

#[test]
fn a_file_without_it_gets_a_line_at_the_end() {
    assert_eq!(set("", "1.4.2"), "VERSION=1.4.2\n");
    assert_eq!(set("A=1", "1.4.2"), "A=1\nVERSION=1.4.2\n");
    assert_eq!(set("A=1\r\n", "1.4.2"), "A=1\r\nVERSION=1.4.2\r\n");
    assert_eq!(set("# VERSION=1\n", "2"), "# VERSION=1\nVERSION=2\n");
}

#[test]
fn what_stands_inside_another_value_is_not_the_variable() {
    let text = "NOTE=\"first\nVERSION=9\n\"\nVERSION=1.5.0\n";
    assert_eq!(read(text).as_deref(), Some("1.5.0"));
    assert_eq!(
        set(text, "1.4.2"),
        "NOTE=\"first\nVERSION=9\n\"\nVERSION=1.4.2\n"
    );
    let open = "NOTE=\"never closed\nVERSION=1.5.0\n";
    assert_eq!(set(open, "1.4.2"), "NOTE=\"never closed\nVERSION=1.4.2\n");
    assert_eq!(
        read("VERSION=\"1\"x\n"),
        None,
        "Compose does not understand it either"
    );
}

#[test]
fn an_edit_that_would_alter_another_entry_is_refused() {
    let text = b"NOTE=\"\nVERSION=a\"b\n\"\n";
    assert_eq!(with_value(text, &version(), "1"), None);
}

#[test]
fn the_rest_tells_an_edit_from_a_pin() {
    let rest = |text: &str| rest(text.as_bytes(), &version());
    assert_eq!(
        rest("A=1\nVERSION=1\n# b\n"),
        rest("A=1\nVERSION='2' # why\n# b\n")
    );
    assert_eq!(rest("A=1"), rest(&set("A=1", "2")));
    assert_ne!(rest("A=1\nVERSION=1\n"), rest("A=2\nVERSION=1\n"));
    assert_ne!(rest("VERSION=1\n"), rest("VERSION=1\n# a note\n"));
}

#[test]
fn a_difference_names_variables_and_shows_no_value() {
    let said = |a: &str, b: &str| difference(a.as_bytes(), b.as_bytes());
    assert_eq!(said("A=1\nB=2\n", "A=1\nB=s3cret\nC=1\n"), "B, C differ");
    assert_eq!(said("A=1\n", "A='2'\n"), "A differs");
    assert!(said("A=1\n", "# why\nA=1\n").starts_with("comments"));
}

/// Lines as people write them, ours among them.
fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[A-Z_]{1,8}=[a-z0-9.$ ]{0,8}",
        "# [ -~]{0,20}",
        "[A-Z]{1,4}=\"[a-z \\n]{0,9}\"",
        "[ -~]{0,20}",
        Just(String::new()),
        "VERSION=[a-z0-9.]{0,6}",
        "(export )?VERSION ?= ?['\"]?[a-z0-9.]{0,6}['\"]?( # [a-z]{0,4})?",
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("")];
    proptest::collection::vec((line, end), 0..12)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #[test]
    fn it_says_the_value_afterwards_and_the_rest_is_the_same(text in text(), value in "[A-Za-z0-9][A-Za-z0-9._+-]{0,10}") {
        let Some(edited) = with_value(text.as_bytes(), &version(), &value) else { return Ok(()) };
        let says = super::value(&edited, &version());
        prop_assert_eq!(says.as_deref(), Some(value.as_bytes()));
        prop_assert_eq!(rest(&edited, &version()), rest(text.as_bytes(), &version()));
    }

    #[test]
    fn setting_it_again_changes_nothing(text in text(), value in "[a-z0-9][a-z0-9.]{0,6}") {
        let Some(once) = with_value(text.as_bytes(), &version(), &value) else { return Ok(()) };
        prop_assert_eq!(with_value(&once, &version(), &value), Some(once));
    }

    /// The edit is one stretch of bytes: what is before and after it is untouched.
    #[test]
    fn every_other_byte_stays(text in text(), value in "[a-z0-9][a-z0-9.]{0,6}") {
        let old = text.as_bytes();
        let Some(new) = with_value(old, &version(), &value) else { return Ok(()) };
        let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
        let (removed, added) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
        let line = format!("VERSION={value}");
let was = super::value(old, &version()).map_or(0, |value| value.len());
        prop_assert!(removed.len() <= was, "{:?}", String::from_utf8_lossy(removed));
        prop_assert!(added.len() <= line.len() + 4, "{:?}", String::from_utf8_lossy(added));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_kept(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let whole: Vec<u8> = entries(&bytes).iter().flat_map(|entry| entry.whole.to_vec()).collect();
        prop_assert_eq!(&whole, &bytes);
        let parts: Vec<u8> = entries(&bytes).iter().flat_map(|entry| [entry.head, entry.value, entry.end].concat()).collect();
        prop_assert_eq!(&parts, &bytes);
    }
}
