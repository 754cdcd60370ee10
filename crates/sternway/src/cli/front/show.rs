//! What `front` says beforehand and afterwards: files with their differences, containers, and what it costs.

use domain::front::{
    adopted::{Adopted, Speaks},
    port_line,
};

use super::site::Site;
use crate::out::one_line;

/// What `front adopt` will do.
pub(super) fn adoption(site: &Site, adopted: &Adopted, two_versions: bool, begun: bool) -> String {
    let (name, port) = (&adopted.component, &adopted.port);
    let mut lines = vec![format!(
        "{name} of {} gives its port {port} to HAProxy ({}).",
        site.application.name, adopted.image
    )];
    if begun {
        lines.push("It was begun already, and goes on from where it ended.".to_owned());
    }
    lines.push("Files:".to_owned());
    lines.extend(files(site, adopted));
    lines.push("Containers:".to_owned());
    lines.push(format!(
        "  {} is made from {}; it passes on {} as user {}",
        adopted.service(),
        adopted.image,
        match adopted.speaks {
            Speaks::Http => "HTTP",
            Speaks::Tcp => "connections",
        },
        adopted.user
    ));
    lines.push(format!(
        "  {name} is made anew from the same image, without the port"
    ));
    lines.push("What it costs:".to_owned());
    lines.push(format!("  {}", cost(site, adopted)));
    lines.push(format!("  {}", later(name.as_str(), two_versions)));
    lines.push(format!(
        "`sternway front release {}` takes it back, at the same cost.",
        site.application.name
    ));
    lines.join("\n")
}

fn files(site: &Site, adopted: &Adopted) -> Vec<String> {
    let folder = &adopted.folder;
    let mut lines = Vec::new();
    let own = site.files.iter().find(|(name, _)| *name == adopted.file);
    if let Some((name, content)) = own
        && let Ok(Some(taken)) = port_line::taken(content, &adopted.component, &adopted.port)
    {
        lines.push(format!("  {folder}/{name}"));
        lines.extend(difference(content, &taken));
    }
    if let Some(listed) = adopted.listed(site.env.as_deref()) {
        lines.push(format!("  {folder}/{}", site.compose.env_file()));
        let before = site.env.as_deref().unwrap_or_default();
        lines.extend(difference(before, &listed));
    }
    lines.push(format!("  {folder}/{} (new)", adopted.name));
    lines.extend(difference(b"", &adopted.content()));
    lines.push(format!(
        "  {} (new, with the folder of its socket)",
        adopted.configuration_path()
    ));
    lines
}

fn cost(site: &Site, adopted: &Adopted) -> String {
    let known = match site.last_gap_ms {
        Some(gap) => format!("its last rollback kept them waiting for {gap} ms"),
        None => "how long that takes is not known of it yet".to_owned(),
    };
    let grace = site
        .container(&adopted.component)
        .map_or(10, |container| container.stop_grace_s);
    format!(
        "clients get no answer from the stop of {} (at most {grace} s) until it has booted again; {known}",
        adopted.component
    )
}

fn later(name: &str, two_versions: bool) -> String {
    if two_versions {
        return format!("from then on a rollback of {name} loses no request");
    }
    format!(
        "from then on a rollback of {name} still stops one version before it starts the other, as nobody said that two may \
         run at once: --two-versions says so, and then it loses no request"
    )
}

/// What was done.
pub(super) fn adopted(adopted: &Adopted, two_versions: bool) -> String {
    format!(
        "{} is behind HAProxy on {}, proved through the port: {}",
        adopted.component,
        adopted.port,
        later(adopted.component.as_str(), two_versions)
    )
}

/// What `front release` will do.
pub(super) fn release(site: &Site, adopted: &Adopted) -> String {
    let (name, folder) = (&adopted.component, &adopted.folder);
    let mut lines = vec![format!(
        "{name} of {} takes its port {} back from HAProxy.",
        site.application.name, adopted.port
    )];
    let own = site.files.iter().find(|(name, _)| *name == adopted.file);
    if let Some((file, content)) = own
        && let Ok(former) = port_line::put_back(content, name, &adopted.port)
    {
        lines.push(format!("  {folder}/{file}"));
        lines.extend(difference(content, &former));
    }
    lines.push(format!(
        "  {folder}/{} is removed, and {}",
        adopted.name,
        adopted.below()
    ));
    lines.push(format!(
        "  {} is removed, and {name} is made anew with the port",
        adopted.service()
    ));
    lines.push(format!("  {}", cost(site, adopted)));
    lines.push(format!(
        "  releases that were recorded behind it come back without the port: report the present one again afterwards (`sternway \
         record-deploy {} --key KEY`)",
        site.application.name
    ));
    lines.join("\n")
}

/// What was done.
pub(super) fn released(adopted: &Adopted) -> String {
    format!(
        "{} has its port {} again; the files are as they were",
        adopted.component, adopted.port
    )
}

/// The lines that two texts do not share at their beginning and end.
fn difference(before: &[u8], after: &[u8]) -> Vec<String> {
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(same)
        .count();
    let shown = |sign: char, lines: &[&str]| -> Vec<String> {
        let lines = lines.iter();
        lines
            .map(|line| format!("    {sign} {}", unmarked(line)))
            .collect()
    };
    let mut lines = shown('-', &old[..old.len() - tail]);
    lines.extend(shown('+', &new[..new.len() - tail]));
    lines
}

/// A line without what a terminal obeys; its indentation stays.
fn unmarked(line: &str) -> String {
    let bare = line.trim_start_matches(' ');
    format!("{}{}", &line[..line.len() - bare.len()], one_line(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changes_and_nothing_else() {
        let before = b"services:\n  api:\n    ports:\n      - 80:80\n    image: a\n";
        let after = b"services:\n  api:\n    # ports:\n      # - 80:80\n    image: a\n";
        assert_eq!(
            difference(before, after),
            [
                "    -     ports:",
                "    -       - 80:80",
                "    +     # ports:",
                "    +       # - 80:80"
            ]
        );
        assert_eq!(difference(b"", b"a\x1b[2J\n"), ["    + a"]);
        assert_eq!(difference(after, after), [""; 0]);
    }

    #[test]
    fn what_a_later_rollback_costs_is_said() {
        assert!(later("api", true).contains("loses no request"));
        assert!(later("api", false).contains("--two-versions"));
    }
}
