//! What is seen of an application, and what is understood of a project.

use docker::{Kind, LookRequest};
use domain::{
    engine_look::{
        ContainerState, Health,
        holdings::{Lacking, Needs},
    },
    seen::Seen,
};

use crate::house::{House, image};

#[tokio::test]
async fn an_application_is_seen_with_its_replicas_and_nothing_else() {
    let house = House::new().await;
    let first = house.web(
        "web-1",
        "1",
        &["--restart", "unless-stopped", "--stop-timeout", "3"],
        &["api"],
    );
    let second = house.web_as("create", "web-2", "2", &[], &[]);
    house.docker(&["create", "--name", &house.named("stranger"), &image("1")]);
    let absent = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let images = [house.image("1").await, absent];
    let request = LookRequest {
        application: &house.application,
        images: &images,
        disk: true,
        paths: &[],
        specifications: false,
    };
    let looked = house.engine.look(&request).await.unwrap();
    assert!(looked.specifications.is_empty());
    let look = looked.look;
    let ids: Vec<_> = look
        .containers
        .iter()
        .map(|container| &container.id)
        .collect();
    assert_eq!(ids, [&first, &second]);
    let [one, two] = &look.containers[..] else {
        panic!("two replicas")
    };
    assert_eq!(
        (one.replica, one.state, one.health, one.stop_grace_s),
        (1, ContainerState::Running, Health::None, 3)
    );
    assert_eq!(
        (one.restart.name.as_str(), one.image.clone()),
        ("unless-stopped", images[0].clone())
    );
    assert!(
        one.address.is_some() && one.started_at.is_some() && one.mark.is_none() && !one.auto_remove
    );
    assert_eq!(
        (two.replica, two.state, two.started_at, two.address),
        (2, ContainerState::Created, None, None)
    );
    let Seen::Known(facts) = &look.images[&images[0]] else {
        panic!("{:?}", look.images)
    };
    assert!(facts.tags.contains(&image("1")) && facts.bytes > 0 && !facts.architecture.is_empty());
    assert_eq!(look.images[&images[1]], Seen::Absent);
    assert!(look.names.contains_key(&house.named("stranger")));
    assert!(
        matches!(look.engine.disk_free, Seen::Known(free) if free > 0),
        "{:?}",
        look.engine
    );
    assert!(
        look.engine.api_version.starts_with("1.")
            && !look.engine.version.is_empty()
            && !look.engine.name.is_empty()
    );
    assert_eq!((look.lock, look.kept.len()), (None, 0));
}

/// The engine is asked for paths by creations that can not succeed: nothing may be left of them.
#[tokio::test]
async fn paths_of_the_host_are_seen_and_nothing_is_made() {
    let house = House::new().await;
    let there = [
        env!("CARGO_MANIFEST_DIR"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ];
    let gone = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/no-such-folder"),
        "/no-such-root/a b",
    ];
    let look = |paths: Vec<String>| {
        let house = &house;
        async move {
            let request = LookRequest {
                application: &house.application,
                images: &[],
                disk: false,
                paths: &paths,
                specifications: false,
            };
            house.engine.look(&request).await.unwrap().look.paths
        }
    };
    let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    for seen in look(own(&there)).await.values() {
        assert_eq!(*seen, Seen::Known(()));
    }
    let both = look(own(&[there, gone].concat())).await;
    for (path, seen) in &both {
        let expected = if there.contains(&path.as_str()) {
            Seen::Known(())
        } else {
            Seen::Absent
        };
        assert_eq!(*seen, expected, "{path}");
    }
    assert_eq!(both.len(), 4);
    let odd = look(own(&["not/absolute"])).await;
    assert!(matches!(odd["not/absolute"], Seen::Unknown(_)), "{odd:?}");
    let names = house.docker(&["ps", "-a", "--format", "{{.Names}}"]);
    assert!(!names.contains("sternway-asks-for-paths"), "{names}");
}

#[tokio::test]
async fn networks_and_volumes_are_seen_and_not_made() {
    let house = House::new().await;
    let [network, volume] = ["net", "vol"].map(|name| house.named(name));
    let look = || async {
        let request = LookRequest {
            application: &house.application,
            images: &[],
            disk: true,
            paths: &[],
            specifications: false,
        };
        house.engine.look(&request).await.unwrap().look.has.unwrap()
    };
    let needs = Needs {
        networks: ["bridge".to_owned(), network.clone()].into(),
        volumes: [volume.clone()].into(),
    };
    let has = look().await;
    let lacking: Vec<Lacking<'_>> = needs.lacking(&has).collect();
    assert_eq!(
        lacking,
        [Lacking::Network(&network), Lacking::Volume(&volume)]
    );
    let id = house.docker(&["network", "create", &network]);
    house.docker(&["volume", "create", &volume]);
    let has = look().await;
    assert_eq!(needs.lacking(&has).count(), 0);
    assert!(
        has.networks.contains(id.trim()),
        "one may be known by its identity"
    );
    house.docker(&["network", "rm", &network]);
    house.docker(&["volume", "rm", &volume]);
    assert_eq!(needs.lacking(&look().await).count(), 2);
}

#[tokio::test]
async fn ports_that_others_hold_are_seen() {
    let house = House::new().await;
    let stranger = house.named("stranger");
    house.web("web-1", "1", &["-p", "127.0.0.1::8080"], &["api"]);
    house.docker(&[
        "run",
        "-d",
        "--name",
        &stranger,
        "-p",
        "127.0.0.1::8080",
        &image("1"),
        "api",
    ]);
    let port = house.docker(&["port", &stranger, "8080/tcp"]);
    let port: u16 = port.trim().rsplit(':').next().unwrap().parse().unwrap();
    let held = |look: &domain::engine_look::EngineLook| {
        let taken = look
            .taken
            .iter()
            .filter(|taken| taken.container == stranger);
        taken
            .map(|taken| taken.port.to_string())
            .collect::<Vec<_>>()
    };
    let look = house.look().await.look;
    assert_eq!(held(&look), [format!("127.0.0.1:{port}→8080/tcp")]);
    let own = &look.containers[0].name;
    assert!(
        look.taken.iter().all(|taken| taken.container != *own),
        "{look:?}"
    );
    house.docker(&["stop", "-t", "0", &stranger]);
    assert_eq!(held(&house.look().await.look), Vec::<String>::new());
}

#[tokio::test]
async fn containers_that_come_and_go_meanwhile_are_no_error() {
    let house = std::sync::Arc::new(House::new().await);
    house.web("web-1", "1", &[], &[]);
    let others = std::sync::Arc::clone(&house);
    let churn = std::thread::spawn(move || {
        for _ in 0..30 {
            let id = others.web_as("create", "web-2", "2", &[], &[]);
            others.docker(&["rm", "-f", id.as_str()]);
        }
    });
    let mut both = 0;
    while !churn.is_finished() {
        let look = house.look().await.look;
        assert!(
            look.containers
                .iter()
                .any(|container| container.name.ends_with("web-1"))
        );
        both += usize::from(look.containers.len() == 2);
        tokio::task::yield_now().await;
    }
    churn.join().unwrap();
    assert!(both > 0, "the other one was never seen at all");
}

#[tokio::test]
async fn a_container_that_the_engine_removes_by_itself_is_seen_as_such() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &["--rm"], &[]);
    assert!(house.seen(&id).await.unwrap().auto_remove);
}

#[tokio::test]
async fn health_restarts_and_exit_codes_are_seen() {
    let house = House::new().await;
    let well = ["--health-cmd", "x", "--health-interval", "1h"];
    let starting = house.web("web-1", "1", &well, &["api"]);
    let crashing = house.web(
        "web-2",
        "2",
        &["--restart", "on-failure:2", "-e", "EXIT_AFTER_MS=1"],
        &[],
    );
    assert_eq!(
        house.seen(&starting).await.unwrap().health,
        Health::Starting
    );
    let mut seen = house.seen(&crashing).await.unwrap();
    for _ in 0..200 {
        if seen.restarts >= 2 && seen.state == ContainerState::Exited {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        seen = house.seen(&crashing).await.unwrap();
    }
    assert_eq!(
        (seen.restarts, seen.exit_code, seen.state),
        (2, 1, ContainerState::Exited)
    );
    assert_eq!(
        (seen.restart.name.as_str(), seen.restart.retries_max),
        ("on-failure", 2)
    );
}

#[tokio::test]
async fn an_image_is_found_by_tag_and_identity_and_nothing_is_pulled() {
    let house = House::new().await;
    let id = house.image("1").await;
    assert_eq!(house.engine.image_id(id.as_str()).await.unwrap(), Some(id));
    assert_eq!(
        house
            .engine
            .image_id("sternway-no-such-image:1")
            .await
            .unwrap(),
        None
    );
    for bad in [
        "../containers/json",
        "a b",
        "x?y=z",
        "",
        "a//b",
        "..",
        "a/../b",
        "%2e%2e/x",
    ] {
        assert_eq!(
            house.engine.image_id(bad).await.unwrap_err().kind(),
            Kind::Refused,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_running_project_is_understood() {
    let house = House::new().await;
    house.web(
        "web-1",
        "1",
        &["--expose", "8080", "-p", "127.0.0.1::9090"],
        &["api"],
    );
    let label = |name: &str, value: &str| format!("com.docker.compose.{name}={value}");
    let (project, service) = (label("project", &house.prefix), label("service", "job"));
    let needs = label("depends_on", "web:service_started:false");
    let name = house.named("job-1");
    house.docker(&[
        "create",
        "--name",
        &name,
        "--label",
        &project,
        "--label",
        &service,
        "--label",
        &needs,
        &image("1"),
    ]);
    let project = house.prefix.parse().unwrap();
    let adoption = house.engine.adopt(&project).await.unwrap();
    assert_eq!(adoption.application.check(), Ok(()));
    let names: Vec<&str> = adoption
        .application
        .components
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    assert_eq!(names, ["web", "job"]);
    let ports: Vec<u16> = adoption
        .candidates
        .iter()
        .map(|candidate| candidate.port)
        .collect();
    assert_eq!(ports, [8080, 9090]);
    assert!(
        adoption
            .notes
            .iter()
            .any(|note| note.contains("job: 0 of 1")),
        "{:?}",
        adoption.notes
    );
    let missing = house
        .engine
        .adopt(&"no-such-project".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), Kind::Missing);
    assert!(missing.to_string().contains(&house.prefix), "{missing}");
}

#[tokio::test]
async fn a_side_car_is_reached_at_the_container_whose_network_it_shares() {
    let house = House::new().await;
    let parent = house.web("web-1", "1", &[], &["api"]);
    let side_car = house.web(
        "web-2",
        "2",
        &["--network", &format!("container:{parent}")],
        &[],
    );
    let address = house.seen(&parent).await.unwrap().address;
    assert!(address.is_some());
    assert_eq!(house.seen(&side_car).await.unwrap().address, address);
}
