//! What a classic builder says of what it makes, read from its log: it tells it nowhere else.

use super::Made;

/// Reads the lines of one build.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// The image that the next arrow names was there before this build.
    found: bool,
}

impl Teller {
    /// What a line says was made.
    pub(super) fn made<'a>(&mut self, line: &'a str) -> Option<Made<'a>> {
        if let Some((_, instruction)) = line
            .strip_prefix("Step ")
            .and_then(|step| step.split_once(" : "))
        {
            self.found = instruction
                .get(..5)
                .is_some_and(|word| word.eq_ignore_ascii_case("FROM "));
            return None;
        }
        let said = line.strip_prefix(" ---> ")?;
        if said == "Using cache" {
            self.found = true;
            return None;
        }
        if let Some(id) = said.strip_prefix("Running in ") {
            return is_id(id).then_some(Made::Container(id));
        }
        (is_id(said) && !self.found).then_some(Made::Layer(said))
    }
}

fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_build_made_is_its_own() {
        let log = "Step 1/5 : FROM debian:12\n ---> 111111111111\nStep 2/5 : COPY a /a\n ---> Using cache\n \
                   ---> 222222222222\nStep 3/5 : RUN [\"/a\"]\n ---> Running in 333333333333\nhello ---> 9\n\
                   Removing intermediate container 333333333333\n ---> 444444444444\nStep 4/5 : from scratch\n \
                   ---> \nStep 5/5 : LABEL a=b\n ---> Running in 555555555555\n ---> 666666666666";
        let mut teller = Teller::default();
        let made: Vec<Made<'_>> = log.lines().filter_map(|line| teller.made(line)).collect();
        assert_eq!(
            made,
            [
                Made::Container("333333333333"),
                Made::Layer("444444444444"),
                Made::Container("555555555555"),
                Made::Layer("666666666666"),
            ]
        );
    }
}
