//! What a container asks for, and what it has at this moment: networks, the host's ports, mounts.

use domain::{
    engine_look::Container,
    specification::{MountKind, NetworkMode},
};

use crate::{house::House, registry::free_port};

/// A container with three networks, a published port and two mounts; gives the names of its networks too.
async fn furnished(
    house: &House,
    port: u16,
    address: &str,
    range: &str,
) -> (Container, [String; 3]) {
    let names = ["front", "admin", "inner"].map(|name| house.named(name));
    let [front, admin, inner] = &names;
    house.docker(&[
        "network",
        "create",
        "--subnet",
        &format!("{range}.0/24"),
        front,
    ]);
    house.docker(&["network", "create", admin]);
    house.docker(&["network", "create", "--internal", inner]);
    let published = format!("127.0.0.1:{port}:8080");
    let data = format!("{}:/data:ro", house.named("data"));
    let network = [
        "--network",
        front,
        "--network-alias",
        "api",
        "--ip",
        address,
    ];
    let rest = ["-p", &published, "-v", &data, "-v", "/nameless"];
    let id = house.web("web-1", "1", &[&network[..], &rest[..]].concat(), &["api"]);
    for network in [admin, inner] {
        house.docker(&["network", "connect", network, id.as_str()]);
    }
    (house.seen(&id).await.unwrap(), names)
}

#[tokio::test]
async fn what_it_asks_for_is_seen() {
    let house = House::new().await;
    let range = house.address_range();
    let address = format!("{range}.7");
    let (seen, [front, ..]) = furnished(&house, free_port(), &address, &range).await;
    let shape = seen.shape.expect("a full look works it out");
    assert_eq!(shape.network, NetworkMode::Named(front.clone()));
    assert_eq!(shape.networks[&front].aliases, ["api"]);
    assert_eq!(
        shape.networks[&front].ipv4.as_deref(),
        Some(address.as_str())
    );
    assert_eq!(shape.fixed_ports().count(), 1);
}

#[tokio::test]
async fn networks_ports_and_mounts_are_seen_as_they_are_now() {
    let house = House::new().await;
    let range = house.address_range();
    let (address, port) = (format!("{range}.7"), free_port());
    let (seen, [front, admin, inner]) = furnished(&house, port, &address, &range).await;
    let networks: Vec<_> = seen
        .live
        .networks
        .iter()
        .map(|on| {
            (
                on.network.as_str(),
                on.gateway,
                on.internal,
                on.address.is_some(),
            )
        })
        .collect();
    let expected = [
        (admin.as_str(), true, false, true),
        (&front, false, false, true),
        (&inner, false, true, true),
    ];
    assert_eq!(networks, expected, "the gateway is the first by name");
    let meant = &seen.live.on(&front).unwrap().endpoint;
    assert_eq!(meant.ipv4.as_deref(), Some(address.as_str()));
    assert_eq!(meant.aliases, ["api"]);
    let [held] = &seen.live.ports[..] else {
        panic!("one port: {:?}", seen.live.ports)
    };
    let on_host = (held.host_ip.as_deref(), held.host_port);
    assert_eq!(
        (held.port, on_host),
        (8080, (Some("127.0.0.1"), Some(port)))
    );
    let mounts = seen.live.mounts.iter();
    let kinds: Vec<_> = mounts
        .map(|mount| (mount.kind, mount.shares_writes()))
        .collect();
    assert_eq!(
        kinds,
        [(MountKind::Volume, false), (MountKind::Anonymous, true)]
    );
}

#[tokio::test]
async fn a_container_without_any_network_holds_no_port_whatever_the_engine_still_says() {
    let house = House::new().await;
    let network = house.named("front");
    house.docker(&["network", "create", &network]);
    let published = format!("127.0.0.1:{}:8080", free_port());
    let id = house.web(
        "web-1",
        "1",
        &["--network", &network, "-p", &published],
        &["api"],
    );
    assert_eq!(house.seen(&id).await.unwrap().live.ports.len(), 1);
    house.docker(&["network", "disconnect", &network, id.as_str()]);
    let seen = house.seen(&id).await.unwrap();
    assert!(seen.runs());
    assert_eq!(
        (
            seen.live.ports.len(),
            seen.live.networks.len(),
            seen.live.gateway()
        ),
        (0, 0, None)
    );
}

#[tokio::test]
async fn one_that_only_waits_holds_nothing() {
    let house = House::new().await;
    let published = format!("127.0.0.1:{}:8080", free_port());
    let id = house.web_as("create", "web-1", "1", &["-p", &published], &["api"]);
    let seen = house.seen(&id).await.unwrap();
    assert_eq!(seen.live.ports.len(), 0);
    assert_eq!(seen.shape.unwrap().fixed_ports().count(), 1);
    let host = house.web("web-2", "2", &["--network", "host"], &["worker"]);
    let seen = house.seen(&host).await.unwrap();
    assert_eq!(
        (seen.shape.unwrap().network, seen.live.networks.len()),
        (NetworkMode::Host, 0)
    );
}
