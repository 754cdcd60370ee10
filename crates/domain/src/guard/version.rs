//! Whether an alert was seen in another version than the one that it would be blamed on.

/// Whether both name versions in the same way, and not the same one. What names them in another way, such as a commit
/// where the ledger has a number, tells nothing: a project would never be rolled back for how it names its releases.
pub(super) fn differ(told: &str, newest: &str) -> bool {
    let (told, newest) = (bare(told), bare(newest));
    if told.is_empty() || told == newest {
        return false;
    }
    match (is_commit(told), is_commit(newest)) {
        (true, true) => {
            let (told, newest) = (told.to_ascii_lowercase(), newest.to_ascii_lowercase());
            !told.starts_with(&newest) && !newest.starts_with(&told)
        }
        (true, false) | (false, true) => false,
        (false, false) => match (numbers(told), numbers(newest)) {
            (Some(a), Some(b)) if a != b => true,
            (Some(_) | None, Some(_) | None) => shape(told) == shape(newest),
        },
    }
}

/// Whether both are one, however they are written.
pub(super) fn same(a: &str, b: &str) -> bool {
    bare(a) == bare(b)
}

/// Without what senders put around it: the package before an `@`, a leading `v`, the build behind a `+`.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text.rsplit_once('@').map_or(text, |(_, version)| version);
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    text.strip_prefix(['v', 'V'])
        .filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
        .unwrap_or(text)
}

/// As commits are written, in full or short.
fn is_commit(text: &str) -> bool {
    let letters = text.bytes().any(|b| b.is_ascii_alphabetic());
    letters && (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The numbers that it begins with, two at least, without zeros at the end: `1.5` is `1.5.0`.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let parts = text[..end.unwrap_or(text.len())].split('.');
    let mut numbers: Vec<u64> = parts.map_while(|part| part.parse().ok()).collect();
    if numbers.len() < 2 {
        return None;
    }
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

/// What it is made of: `1.5.0-rc.1` is `0.0.0-a.0`.
fn shape(text: &str) -> String {
    let kind = |letter: char| match letter {
        digit if digit.is_ascii_digit() => '0',
        letter if letter.is_alphabetic() => 'a',
        other => other,
    };
    let mut shape: Vec<char> = text.chars().map(kind).collect();
    shape.dedup_by(|next, before| next == before && next.is_ascii_alphanumeric());
    shape.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "9f1c2abd4b1f0c2d3e4f5a6b7c8d9e0f1a2b3c4d";

    #[test]
    fn the_same_version_in_other_words_is_the_same() {
        for told in [
            "1.5.0",
            "v1.5.0",
            "shop@1.5.0",
            "V1.5.0 ",
            "shop@v1.5.0+77",
            "1.5",
        ] {
            assert!(!differ(told, "1.5.0"), "{told}");
        }
        assert!(!differ(COMMIT, &COMMIT[..7]) && !differ(&COMMIT[..12], COMMIT));
        assert!(!differ(&COMMIT[..12].to_ascii_uppercase(), COMMIT));
        assert!(same("shop@1.4.2", "v1.4.2") && !same("1.4.2", "1.5.0"));
    }

    #[test]
    fn another_version_of_the_same_kind_is_another() {
        for (told, newest) in [
            ("1.4.2", "1.5.0"),
            ("shop@1.4.2", "v1.5.0"),
            ("1.4.2-hotfix", "1.5.0"),
            ("1.5", "1.5.1"),
            ("1.5.0-rc.1", "1.5.0-rc.2"),
            ("2026-03-01", "2026-03-02"),
            ("build-77", "build-78"),
            ("41", "42"),
            ("9f1c2abd", "4b1f0c2"),
        ] {
            assert!(differ(told, newest), "{told} {newest}");
        }
    }

    #[test]
    fn what_can_not_be_compared_says_nothing() {
        for (told, newest) in [
            (COMMIT, "1.5.0"),
            ("1.5.0", COMMIT),
            ("", "1.5.0"),
            ("shop@", "1.5.0"),
            ("frontend", "1.5.0"),
            ("build-77", "1.5.0"),
            ("7654321000", COMMIT),
            ("1.5.0-rc.1", "1.5.0"),
            ("99999999999999999999.1", "1.5.0"),
        ] {
            assert!(!differ(told, newest), "{told} {newest}");
        }
    }
}
