//! HAProxy's configuration file, kept true for reloads: the address in one server's line is replaced, and nothing
//! else. A file in which that line can not be found is refused, never guessed at.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use domain::front::Filed;

use super::super::{Holds, Trouble};

/// Largest configuration that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Words that begin a section.
const SECTIONS: [&str; 17] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "cache",
    "program",
    "ring",
    "http-errors",
    "mailers",
    "fcgi-app",
    "crt-store",
    "log-forward",
    "log-profile",
];

/// What the file says of each of these servers.
pub(super) async fn read(
    path: &Path,
    backend: &str,
    servers: &[String],
) -> io::Result<BTreeMap<String, Filed>> {
    let (path, backend, servers) = (path.to_owned(), backend.to_owned(), servers.to_owned());
    blocking(move || {
        let text = text_of(&path);
        let filed = |server: &String| match &text {
            Ok(text) => match find(text, &backend, server) {
                Ok((_, address)) => Filed::Says(address),
                Err(why) => Filed::Unfit(format!("{}: {why}", path.display())),
            },
            Err(error) => Filed::Unfit(format!("{} can not be read: {error}", path.display())),
        };
        Ok(servers
            .iter()
            .map(|server| (server.clone(), filed(server)))
            .collect())
    })
    .await
}

/// Makes the line of one server say `to`.
pub(super) async fn rewrite(
    path: &Path,
    backend: &str,
    server: &str,
    to: SocketAddr,
    holds: Holds<'_>,
) -> Result<(), Trouble> {
    let (owned, backend, server) = (path.to_owned(), backend.to_owned(), server.to_owned());
    let changed = blocking(move || {
        let text = text_of(&owned)?;
        let (range, address) = find(&text, &backend, &server).map_err(io::Error::other)?;
        Ok((address != to).then(|| {
            let mut text = text;
            text.replace_range(range, &to.to_string());
            text
        }))
    });
    let trouble = |error: io::Error| {
        Trouble::File(format!("{} can not be kept true: {error}", path.display()))
    };
    let Some(text) = changed.await.map_err(trouble)? else {
        return Ok(());
    };
    if !holds() {
        return Err(Trouble::Fenced);
    }
    let owned = path.to_owned();
    blocking(move || replace(&owned, &text))
        .await
        .map_err(trouble)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}

/// Where the address of a server stands in a configuration, and what it is.
fn find(text: &str, backend: &str, server: &str) -> Result<(Range<usize>, SocketAddr), String> {
    let (mut inside, mut offset, mut lines) = (false, 0, Vec::new());
    let mut others = Vec::new();
    for line in text.split_inclusive('\n') {
        let words = words(line, offset);
        let word = |at: usize| {
            words
                .get(at)
                .map(|range: &Range<usize>| &text[range.clone()])
        };
        if let Some(first) = word(0) {
            if SECTIONS.contains(&first) {
                inside = matches!(first, "backend" | "listen") && word(1) == Some(backend);
            } else if inside && first == "server" {
                match word(1) {
                    Some(name) if name == server => lines.push(words.get(2).cloned()),
                    Some(name) => others.push(name.to_owned()),
                    None => {}
                }
            }
        }
        offset += line.len();
    }
    let [found] = lines.as_slice() else {
        let there = match others.is_empty() {
            true => "no other server is there".to_owned(),
            false => format!("there is {}", others.join(", ")),
        };
        return Err(format!(
            "expected exactly one line `server {server} ADDRESS:PORT` in backend `{backend}`, found {}; {there}",
            lines.len()
        ));
    };
    let found = found
        .clone()
        .ok_or_else(|| format!("the line `server {server}` has no address"))?;
    let written = &text[found.clone()];
    let address = written.parse().map_err(|_| {
        format!("the line `server {server}` says `{written}`, which is no plain ADDRESS:PORT")
    })?;
    Ok((found, address))
}

/// The first words of a line and where they stand; none of a comment. Quotes are left as they are: a word with one
/// is no name of ours and no address.
fn words(line: &str, offset: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut open: Option<usize> = None;
    for (at, byte) in line.bytes().enumerate() {
        match (byte, open) {
            (b'#', None) => break,
            (b' ' | b'\t' | b'\r' | b'\n', Some(start)) => {
                found.push(offset + start..offset + at);
                open = None;
            }
            (b' ' | b'\t' | b'\r' | b'\n', None) | (_, Some(_)) => {}
            (_, None) => open = Some(at),
        }
        if found.len() == 3 {
            return found;
        }
    }
    if let Some(start) = open {
        found.push(offset + start..offset + line.len());
    }
    found
}

/// Replaces a file in one move, owner and mode kept; a symbolic link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let (folder, beside) = beside(&path)?;
    let before = fs::metadata(&path)?;
    // Left by one that was killed in the middle of it.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = write_beside(&beside, text, &before).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_beside(beside: &Path, text: &str, before: &fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) != (before.uid(), before.gid()) {
        fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn beside(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it is no file in a folder"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".sternway");
    Ok((folder.to_owned(), folder.join(hidden)))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::TestCaseError};

    use super::*;

    const FILE: &str = "global\n    stats socket /run/h.sock level admin\n# backend shop\nfrontend shop\n    bind :80\n\
        backend  shop\n\tbalance roundrobin\n    server s1  172.17.0.2:8080 check # the first\n    \
        server s2 [fd00::2]:8080\nbackend other\n    server s1 10.0.0.1:80\n";

    fn changed(text: &str, server: &str, to: &str) -> Result<String, String> {
        let (range, _) = find(text, "shop", server)?;
        let mut text = text.to_owned();
        text.replace_range(range, to);
        Ok(text)
    }

    #[test]
    fn one_address_changes_and_nothing_else() {
        let text = changed(FILE, "s1", "172.17.0.9:8080").unwrap();
        assert_eq!(text, FILE.replace("172.17.0.2:8080", "172.17.0.9:8080"));
        assert_eq!(
            find(FILE, "shop", "s2").unwrap().1,
            "[fd00::2]:8080".parse().unwrap()
        );
    }

    #[test]
    fn a_line_that_can_not_be_found_is_refused_with_what_is_there() {
        let said = find(FILE, "shop", "s3").unwrap_err();
        assert!(said.contains("found 0; there is s1, s2"), "{said}");
        let twice = FILE.replace("server s2 [fd00::2]:8080", "server s1 172.17.0.3:8080");
        assert!(find(&twice, "shop", "s1").unwrap_err().contains("found 2"));
        for other in [
            "${ADDRESS}",
            "shop.local:8080",
            "\"172.17.0.2:8080\"",
            "172.17.0.2",
        ] {
            let text = FILE.replace("172.17.0.2:8080", other);
            let said = find(&text, "shop", "s1").unwrap_err();
            assert!(said.contains("no plain ADDRESS:PORT"), "{said}");
        }
        assert!(
            find("backend shop\n server s1", "shop", "s1")
                .unwrap_err()
                .contains("no address")
        );
        assert!(find("", "shop", "s1").is_err());
    }

    proptest! {
        #![proptest_config(crate::tries())]

        #[test]
        fn whatever_the_file_is_one_address_changes_or_it_is_refused(
            pieces in prop::collection::vec(prop::sample::select(vec![
                FILE, "backend shop\n", "backend shop", "listen shop\r\n", "server s1 ", "server s1 1.2.3.4:5 check\n", "\n", "#",
                "server s1 [::1]:80", "server  s1\t9.9.9.9:65536\n", "defaults\n", "\"", "\\", "é", "\0", "\t", "server", " ",
                "127.0.0.1:0", "frontend shop\n", "    server s1 10.0.0.1:80 # server s1 10.0.0.2:80\n", "program shop\n",
            ]), 0..9),
            noise in "\\PC{0,20}",
        ) {
            let text = pieces.concat() + &noise;
            let to: SocketAddr = "[fd00::9]:9".parse().unwrap();
            if let Ok((range, address)) = find(&text, "shop", "s1") {
                prop_assert_eq!(text[range.clone()].parse().ok(), Some(address));
                let mut edited = text.clone();
                edited.replace_range(range.clone(), &to.to_string());
                let (again, now) = find(&edited, "shop", "s1").map_err(TestCaseError::fail)?;
                prop_assert_eq!((again.start, now), (range.start, to));
                prop_assert_eq!(&edited[..again.start], &text[..range.start]);
                prop_assert_eq!(&edited[again.end..], &text[range.end..]);
                prop_assert_eq!(find(&edited, "shop", "s2").is_ok(), find(&text, "shop", "s2").is_ok());
            }
        }
    }
}
