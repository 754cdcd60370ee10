//! `tags`: what could be built again, and whether a tag still names what the ledger says.

use super::{
    args::ApplicationArgs,
    table::{self, Cell, Tone},
};
use crate::{
    client::{
        Client,
        answers::{TagAnswer, TagsAnswer},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint},
};

/// Digits of a commit that are enough for a person.
const COMMIT_CHARS: usize = 12;

/// The command.
///
/// # Errors
/// What the server says no with.
pub async fn run(args: &ApplicationArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let path = format!(
        "/api/v1/applications/{}/tags",
        segment(args.application.as_str())
    );
    let reply = client.get(&path).await?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let mut answer: TagsAnswer = reply.read()?;
    let shown = usize::from(args.limit);
    if answer.more || answer.items.len() > shown {
        out.say(&format!(
            "There are more: --limit shows up to 100 rows, {path} up to 500."
        ));
    }
    answer.items.truncate(shown);
    if answer.items.is_empty() {
        out.say(&format!("{} has no tags.", answer.repository));
    }
    out.data(&text(&answer.items, out.data));
    Ok(Exit::Reached)
}

fn text(tags: &[TagAnswer], paint: Paint) -> String {
    let rows: Vec<[Cell; 4]> = tags
        .iter()
        .map(|tag| {
            [
                tag.tag.as_str().into(),
                tag.commit.as_str()[..COMMIT_CHARS].into(),
                Cell::or_dash(tag.version.as_ref().map(|version| version.as_str())),
                ledger(tag),
            ]
        })
        .collect();
    table::render(["TAG", "COMMIT", "VERSION", "IN THE LEDGER"], &rows, paint)
}

fn ledger(tag: &TagAnswer) -> Cell {
    let recorded = tag.ledger_commit.as_deref().unwrap_or_default();
    match (tag.in_ledger, tag.moved) {
        (false, _) => Cell::toned("no", Tone::Plain),
        (true, None) => Cell::toned("yes, without its commit", Tone::Warn),
        (true, Some(false)) => Cell::toned("yes, the same commit", Tone::Good),
        (true, Some(true)) => Cell::toned(
            format!("yes, but from commit {recorded}: the tag was moved"),
            Tone::Bad,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_what_the_ledger_knows_of_it() {
        let tag = |name: &str, in_ledger: bool, moved: Option<bool>| TagAnswer {
            tag: name.parse().unwrap(),
            commit: "ab".repeat(20).parse().unwrap(),
            version: name
                .strip_prefix('v')
                .map(|version| version.parse().unwrap()),
            in_ledger,
            ledger_commit: moved.map(|_| "1234567".to_owned()),
            moved,
        };
        let tags = [
            tag("v1.5.0", true, Some(false)),
            tag("v1.4.2", true, Some(true)),
            tag("v1.4.1", true, None),
            tag("nightly", false, None),
        ];
        assert_eq!(
            text(&tags, Paint::default()),
            "TAG      COMMIT        VERSION  IN THE LEDGER\n\
             v1.5.0   abababababab  1.5.0    yes, the same commit\n\
             v1.4.2   abababababab  1.4.2    yes, but from commit 1234567: the tag was moved\n\
             v1.4.1   abababababab  1.4.1    yes, without its commit\n\
             nightly  abababababab  –        no"
        );
    }
}
