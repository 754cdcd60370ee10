//! Addresses that people write into definitions. A definition is read by everybody who may look, so no password stands in one.

/// What is wrong with an address that holds a name or a password.
pub(crate) const NO_CREDENTIALS: &str =
    "leave credentials out of the address: they would be shown to everybody";

/// The parts of an `http://` or `https://` address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// What stands before the host's `@`.
    pub(crate) user: Option<&'a str>,
    /// The host, with its port where there is one.
    pub(crate) host: &'a str,
    /// What follows the host, without its first `/`; a `?` or `#` that comes before any `/` is the host's.
    pub(crate) path: &'a str,
}

/// Reads one; none where it is of another scheme.
pub(crate) fn of_http(url: &str) -> Option<Address<'_>> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))?;
    Some(parts(rest))
}

/// What follows a scheme.
pub(crate) fn parts(rest: &str) -> Address<'_> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    Address { user, host, path }
}

/// Whether it is made of what names and addresses of hosts are made of, with or without a port. Compose's names of
/// services have underscores.
pub(crate) fn is_host(text: &str) -> bool {
    let begins = |b: u8| b.is_ascii_alphanumeric() || b == b'[';
    text.bytes().next().is_some_and(begins)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_its_parts() {
        let read = |url| of_http(url).map(|found| (found.user, found.host, found.path));
        assert_eq!(
            read("http://shop_api:8080/health?x=1"),
            Some((None, "shop_api:8080", "health?x=1"))
        );
        assert_eq!(read("https://[::1]"), Some((None, "[::1]", "")));
        assert_eq!(
            read("https://a:b@c@host/x@y"),
            Some((Some("a:b@c"), "host", "x@y"))
        );
        assert_eq!(read("ftp://host"), None);
    }

    #[test]
    fn a_host_is_made_of_what_hosts_are_made_of() {
        for host in [
            "shop",
            "shop_api:80",
            "10.0.0.1",
            "[::1]:443",
            "a.b-c.example",
        ] {
            assert!(is_host(host), "{host}");
        }
        for text in [
            "", "-x", ":80", ".x", "a b", "a/b", "a?b", "a#b", "a@b", "ä",
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}
