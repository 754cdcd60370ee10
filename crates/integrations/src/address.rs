//! Which addresses may be dialled. Private ones may: that is where probes live. Addresses that hand out a
//! machine's own credentials may never, however they are written.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses of clouds' metadata services that lie outside the link-local ranges.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// An address that is never dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is link-local, multicast or a metadata address and is never asked")]
pub(crate) struct Denied(pub(crate) IpAddr);

/// Lets an address through unless it is one that may never be dialled.
pub(crate) fn check(address: IpAddr) -> Result<(), Denied> {
    let denied = match address {
        IpAddr::V4(v4) => is_denied_v4(v4),
        IpAddr::V6(v6) => is_denied_v6(v6) || embedded(v6).is_some_and(is_denied_v4),
    };
    if denied { Err(Denied(address)) } else { Ok(()) }
}

fn is_denied_v4(v4: Ipv4Addr) -> bool {
    v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || METADATA.contains(&IpAddr::V4(v4))
}

fn is_denied_v6(v6: Ipv6Addr) -> bool {
    v6.is_unicast_link_local() || v6.is_multicast() || METADATA.contains(&IpAddr::V6(v6))
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64, 6to4.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// Resolves names through the system and drops what may not be dialled: the address that was checked is the
/// one that is dialled.
pub(crate) struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(allowed(found.collect())?.into_iter()) as Addrs)
        })
    }
}

fn allowed(
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let denied = found.iter().find_map(|address| check(address.ip()).err());
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| check(address.ip()).is_ok())
        .collect();
    match denied {
        Some(denied) if allowed.is_empty() => Err(Box::new(denied)),
        None if allowed.is_empty() => Err(Box::new(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ))),
        Some(_) | None => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metadata_address_is_denied_however_it_is_written() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert!(
                check(address.parse().unwrap()).is_err(),
                "{address} was let through"
            );
        }
    }

    #[test]
    fn the_places_where_applications_live_are_asked() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.17.0.2",
            "192.168.1.1",
            "100.64.0.1",
            "8.8.8.8",
            "::1",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert_eq!(check(address.parse().unwrap()), Ok(()));
        }
    }

    #[test]
    fn a_name_is_only_dialled_at_its_allowed_addresses() {
        let found = |list: &[&str]| {
            list.iter()
                .map(|address| SocketAddr::new(address.parse().unwrap(), 0))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            allowed(found(&["169.254.169.254", "10.0.0.1"])).unwrap(),
            found(&["10.0.0.1"])
        );
        assert!(
            allowed(found(&["169.254.169.254"]))
                .unwrap_err()
                .is::<Denied>()
        );
        assert!(allowed(Vec::new()).is_err());
    }
}
