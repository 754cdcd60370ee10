//! What a `.dockerignore` leaves out, by the engine's own rules: patterns are anchored at the context, the last one
//! that matches decides, and a pattern that matches a folder matches all below it.

use globset::{GlobBuilder, GlobMatcher};

/// The patterns of one file, in their order.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    matcher: GlobMatcher,
    /// `!pattern`: what it matches is let in again.
    lets_in: bool,
}

impl Ignored {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// The line that is no pattern.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut patterns = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in text.lines() {
            if line.starts_with('#') {
                continue;
            }
            let (lets_in, path) = match line.trim().strip_prefix('!') {
                Some(path) => (true, path.trim()),
                None => (false, line.trim()),
            };
            let path = clean(path);
            if path.is_empty() {
                continue;
            }
            let glob = GlobBuilder::new(&literal_braces(&path))
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|_| line.to_owned())?;
            patterns.push(Pattern {
                matcher: glob.compile_matcher(),
                lets_in,
            });
        }
        Ok(Self { patterns })
    }

    /// Whether a path relative to the context, written with `/`, is left out.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        let mut out = false;
        for pattern in &self.patterns {
            // Only what would turn the answer has to be asked.
            if pattern.lets_in == out && matches(&pattern.matcher, path) {
                out = !pattern.lets_in;
            }
        }
        out
    }

    /// Whether something below a folder that is left out may be let in again.
    pub(super) fn lets_in_again(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.lets_in)
    }
}

/// The path itself, or one of the folders that it is in.
fn matches(matcher: &GlobMatcher, path: &str) -> bool {
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    matcher.is_match(path) || folders.into_iter().any(|folder| matcher.is_match(folder))
}

/// The shortest way to say the same path, without a leading or trailing slash; `.` is nothing.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Docker knows no alternatives: a brace is a brace.
fn literal_braces(pattern: &str) -> String {
    let mut literal = String::with_capacity(pattern.len());
    let mut escaped = false;
    for c in pattern.chars() {
        if !escaped && matches!(c, '{' | '}') {
            literal.push('\\');
        }
        escaped = !escaped && c == '\\';
        literal.push(c);
    }
    literal
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::TestCaseError};

    use super::*;

    fn left_out(text: &str, paths: &[&str]) -> Vec<String> {
        let ignored = Ignored::parse(text).unwrap();
        paths
            .iter()
            .filter(|path| ignored.leaves_out(path))
            .map(|path| (*path).to_owned())
            .collect()
    }

    #[test]
    fn patterns_are_anchored_at_the_context() {
        let paths = [
            "target",
            "target/debug/app",
            "src/target",
            "a.log",
            "logs/a.log",
            "x{1}",
        ];
        assert_eq!(
            left_out("# comment\n\n/target\n*.log\nx{1}\n", &paths),
            ["target", "target/debug/app", "a.log", "x{1}"]
        );
        assert_eq!(left_out("**/*.log\n", &paths), ["a.log", "logs/a.log"]);
        assert_eq!(left_out("./logs/\n", &paths), ["logs/a.log"]);
        assert_eq!(
            left_out("lo?s/../target", &paths),
            ["target", "target/debug/app"]
        );
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let paths = ["docs/a.md", "docs/README.md", "docs/keep/x", "src/a.rs"];
        assert_eq!(
            left_out("docs\n!docs/README.md\n!docs/keep", &paths),
            ["docs/a.md"]
        );
        assert_eq!(
            left_out("*\n!src", &paths),
            ["docs/a.md", "docs/README.md", "docs/keep/x"]
        );
        assert_eq!(left_out("!docs\ndocs/keep", &paths), ["docs/keep/x"]);
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        let paths = ["a/b", "a/b/c", "b"];
        assert_eq!(left_out("*/b", &paths), ["a/b", "a/b/c"]);
        assert_eq!(left_out("a/*/c", &paths), ["a/b/c"]);
        assert_eq!(left_out("a/**", &paths), ["a/b", "a/b/c"]);
        assert_eq!(left_out("**/b", &paths), ["a/b", "a/b/c", "b"]);
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        assert_eq!(Ignored::parse("ok\n[a-").unwrap_err(), "[a-");
    }

    proptest! {
        #![proptest_config(crate::tries())]

        #[test]
        fn whatever_is_written_leaves_something_out_or_is_named(
            lines in prop::collection::vec(prop_oneof![
                "[a-c*?!./{}\\[\\]\\\\^-]{0,12}", "\\PC{0,12}", "(\\*\\*/){0,8}[ab]", "#.{0,4}",
            ], 0..6),
            path in "[a-c.]{1,3}(/[a-c.]{1,3}){0,4}",
        ) {
            let text = lines.join("\n");
            match Ignored::parse(&text) {
                Err(line) => prop_assert!(lines.iter().any(|own| own.lines().any(|own| own == line)) || text.contains(&line)),
                Ok(ignored) => {
                    let out = ignored.leaves_out(&path);
                    // Without a pattern nothing is, and the last line has the last word.
                    prop_assert!(!out || lines.iter().any(|line| !line.trim().is_empty()));
                    let after = format!("{text}\n!**\n");
                    let all = Ignored::parse(&after).map_err(TestCaseError::fail)?;
                    prop_assert!(!all.leaves_out(&path) && all.lets_in_again());
                }
            }
        }
    }
}
