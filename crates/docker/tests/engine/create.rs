//! The creation of a replica: repeated, cut off, without what it needs.

use domain::{
    effect::{Effect, Failure, Outcome},
    name::ContainerId,
    specification::Specification,
};
use serde_json::json;

use crate::house::{House, assert_failed, image};

async fn specification(house: &House, id: &ContainerId) -> Specification {
    house
        .look()
        .await
        .specifications
        .remove(id)
        .expect("a specification can be told")
}

/// A running replica on two networks.
async fn on_two_networks(house: &House) -> (ContainerId, Specification) {
    let (front, back) = (house.named("front"), house.named("back"));
    house.docker(&["network", "create", &front]);
    house.docker(&["network", "create", &back]);
    let id = house.web(
        "web-1",
        "1",
        &["--network", &front, "--network-alias", "web"],
        &[],
    );
    house.docker(&[
        "network",
        "connect",
        "--alias",
        "web-back",
        &back,
        id.as_str(),
    ]);
    let meant = specification(house, &id).await;
    (id, meant)
}

fn name_of(effect: &Effect) -> &str {
    let Effect::CreateContainer { name, .. } = effect else {
        panic!("not a creation")
    };
    name
}

fn networks(house: &House, container: &str) -> usize {
    house.inspect(container)["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap()
        .len()
}

#[tokio::test]
async fn a_creation_repeated_finds_the_first() {
    let house = House::new().await;
    let (id, meant) = on_two_networks(&house).await;
    let effect = house.creation("2", &id).await;
    for _ in 0..3 {
        assert_eq!(
            house
                .engine
                .perform(&effect, &house.context(Some(&meant)))
                .await
                .outcome,
            Outcome::Done
        );
    }
    let look = house.look().await.look;
    assert_eq!(look.containers.len(), 2);
    assert_eq!(networks(&house, name_of(&effect)), 2);
    let aliases = house.inspect(name_of(&effect))["NetworkSettings"]["Networks"]
        [house.named("back")]["Aliases"]
        .clone();
    assert!(aliases.as_array().unwrap().contains(&json!("web-back")));
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_left_to_them() {
    let house = House::new().await;
    let (id, meant) = on_two_networks(&house).await;
    let effect = house.creation("2", &id).await;
    house.docker(&["create", "--name", name_of(&effect), &image("1")]);
    let outcome = house
        .engine
        .perform(&effect, &house.context(Some(&meant)))
        .await
        .outcome;
    assert_failed(&outcome, Failure::NameTaken);
    assert_eq!(
        networks(&house, name_of(&effect)),
        1,
        "nothing was done to it"
    );
}

#[tokio::test]
async fn a_half_made_container_is_completed_by_the_next_creation_and_by_its_start() {
    let house = House::new().await;
    let (id, meant) = on_two_networks(&house).await;
    let effect = house.creation("2", &id).await;
    let ctx = house.context(Some(&meant));
    assert_eq!(
        house.engine.perform(&effect, &ctx).await.outcome,
        Outcome::Done
    );
    let first_only = || {
        let name = name_of(&effect);
        let connected = house.inspect(name)["NetworkSettings"]["Networks"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>();
        let front = house.inspect(name)["HostConfig"]["NetworkMode"]
            .as_str()
            .unwrap()
            .to_owned();
        for network in connected.iter().filter(|network| **network != front) {
            house.docker(&["network", "disconnect", network, name]);
        }
        assert_eq!(networks(&house, name), 1);
    };
    first_only();
    assert_eq!(
        house.engine.perform(&effect, &ctx).await.outcome,
        Outcome::Done
    );
    assert_eq!(networks(&house, name_of(&effect)), 2);
    first_only();
    let made = house.look().await.look.names[name_of(&effect)].clone();
    assert_eq!(
        house
            .perform(&Effect::StartContainer {
                container: made,
                restart: None
            })
            .await,
        Outcome::Done
    );
    assert_eq!(networks(&house, name_of(&effect)), 2);
}

#[tokio::test]
async fn a_network_that_is_gone_is_found_before_anything_is_made() {
    let house = House::new().await;
    let (id, mut meant) = on_two_networks(&house).await;
    let endpoints = meant.body["NetworkingConfig"]["EndpointsConfig"]
        .as_object_mut()
        .unwrap();
    endpoints.insert("no-such-network".to_owned(), json!({}));
    let effect = house.creation("2", &id).await;
    let outcome = house
        .engine
        .perform(&effect, &house.context(Some(&meant)))
        .await
        .outcome;
    assert_failed(&outcome, Failure::Missing);
    assert!(!house.look().await.look.names.contains_key(name_of(&effect)));
}

#[tokio::test]
async fn a_volume_that_is_gone_is_not_made_anew() {
    let house = House::new().await;
    let (one, two) = (house.named("one"), house.named("two"));
    let mount = format!("type=volume,src={two},dst=/two");
    let bind = format!("{one}:/one");
    let first = house.web("web-1", "1", &["-v", &bind, "--mount", &mount], &[]);
    let meant = specification(&house, &first).await;
    house.docker(&["rm", "-f", first.as_str()]);
    let id = house.web("web-1", "1", &[], &[]);
    let effect = house.creation("2", &id).await;
    for gone in [&one, &two] {
        house.docker(&["volume", "rm", gone]);
        let context = house.context(Some(&meant));
        let outcome = house.engine.perform(&effect, &context).await.outcome;
        assert_failed(&outcome, Failure::Missing);
        assert!(!house.look().await.look.names.contains_key(name_of(&effect)));
        assert!(
            !house.try_docker(&["volume", "inspect", gone]).0,
            "it was not made"
        );
        house.docker(&["volume", "create", gone]);
    }
    let context = house.context(Some(&meant));
    let outcome = house.engine.perform(&effect, &context).await.outcome;
    assert_eq!(outcome, Outcome::Done, "with both it is created");
}

#[tokio::test]
async fn a_parent_that_is_gone_is_found_before_anything_is_made() {
    let house = House::new().await;
    let parent = house.web("web-1", "1", &[], &["api"]);
    let mode = format!("container:{parent}");
    let side_car = house.web("web-2", "2", &["--network", &mode], &[]);
    let meant = specification(&house, &side_car).await;
    house.docker(&["rm", "-f", parent.as_str()]);
    let effect = house.creation("2", &side_car).await;
    let context = house.context(Some(&meant));
    let outcome = house.engine.perform(&effect, &context).await.outcome;
    assert_failed(&outcome, Failure::Missing);
    assert!(!house.look().await.look.names.contains_key(name_of(&effect)));
}

#[tokio::test]
async fn what_the_present_container_was_allowed_is_not_what_its_successor_is() {
    let house = House::new().await;
    let humble = house.web("web-1", "1", &["--cap-drop", "ALL", "--read-only"], &[]);
    let meant = specification(&house, &humble).await;
    house.docker(&["rm", "-f", humble.as_str()]);
    let greedy = [
        "--privileged",
        "--pid",
        "host",
        "-v",
        "/:/host",
        "--cap-add",
        "SYS_ADMIN",
        "--user",
        "0",
    ];
    let id = house.web_as("create", "web-1", "1", &greedy, &[]);
    let effect = house.creation("2", &id).await;
    let context = house.context(Some(&meant));
    let outcome = house.engine.perform(&effect, &context).await.outcome;
    assert_eq!(outcome, Outcome::Done);
    let made = house.inspect(name_of(&effect));
    let host = &made["HostConfig"];
    assert_eq!(
        (&host["Privileged"], &host["ReadonlyRootfs"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        (&host["CapDrop"], &host["CapAdd"]),
        (&json!(["ALL"]), &json!(null))
    );
    assert_eq!(
        (&host["PidMode"], &host["Binds"]),
        (&json!(""), &json!(null))
    );
    assert_eq!(made["Config"]["User"], json!(""));
}

#[tokio::test]
async fn a_container_that_can_not_be_completed_is_not_left_half_made() {
    let house = House::new().await;
    let (id, mut meant) = on_two_networks(&house).await;
    // An address that is not in the second network's range: only its connection finds out.
    let endpoints = meant.body["NetworkingConfig"]["EndpointsConfig"]
        .as_object_mut()
        .unwrap();
    endpoints[&house.named("back")] = json!({"IPAMConfig": {"IPv4Address": "203.0.113.9"}});
    let effect = house.creation("2", &id).await;
    let outcome = house
        .engine
        .perform(&effect, &house.context(Some(&meant)))
        .await
        .outcome;
    assert_failed(&outcome, Failure::Refused);
    assert!(!house.look().await.look.names.contains_key(name_of(&effect)));
}

#[tokio::test]
async fn what_is_missing_for_a_creation_is_named() {
    let house = House::new().await;
    let (id, meant) = on_two_networks(&house).await;
    let effect = house.creation("2", &id).await;
    assert_failed(&house.perform(&effect).await, Failure::Unreadable);
    let gone = house.creation("2", &"ab".repeat(32).parse().unwrap()).await;
    assert_failed(
        &house
            .engine
            .perform(&gone, &house.context(Some(&meant)))
            .await
            .outcome,
        Failure::Missing,
    );
    let Effect::CreateContainer {
        component,
        name,
        specification,
        replaces,
        ..
    } = effect
    else {
        panic!()
    };
    let image = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let effect = Effect::CreateContainer {
        component,
        name,
        image,
        specification,
        replaces,
        config_hash: None,
    };
    assert_failed(
        &house
            .engine
            .perform(&effect, &house.context(Some(&meant)))
            .await
            .outcome,
        Failure::Missing,
    );
}

#[tokio::test]
async fn a_side_car_is_created_for_the_successor_of_its_parent() {
    let house = House::new().await;
    let parent = house.web("web-1", "1", &[], &["api"]);
    let side_car = house.web(
        "web-2",
        "2",
        &["--network", &format!("container:{parent}")],
        &[],
    );
    let mut looked = house.look().await;
    let meant = looked.specifications.remove(&parent).unwrap();
    let first = house.creation("2", &parent).await;
    assert_eq!(
        house
            .engine
            .perform(&first, &house.context(Some(&meant)))
            .await
            .outcome,
        Outcome::Done
    );
    let successor = house.look().await.look.names[name_of(&first)].clone();
    let meant = looked.specifications.remove(&side_car).unwrap();
    let Effect::CreateContainer {
        component,
        image,
        specification,
        ..
    } = house.creation("2", &side_car).await
    else {
        panic!()
    };
    let name = house.named("web-2.next-0123456789ab");
    let second = Effect::CreateContainer {
        component,
        name: name.clone(),
        image,
        specification,
        replaces: side_car,
        config_hash: None,
    };
    assert_eq!(
        house
            .engine
            .perform(&second, &house.context(Some(&meant)))
            .await
            .outcome,
        Outcome::Done
    );
    assert_eq!(
        house.inspect(&name)["HostConfig"]["NetworkMode"],
        json!(format!("container:{successor}"))
    );
}

#[tokio::test]
async fn an_environment_value_never_comes_back_in_a_sentence() {
    let house = House::new().await;
    let (id, mut meant) = on_two_networks(&house).await;
    meant.env.push("=hunter2hunter2".to_owned());
    let effect = house.creation("2", &id).await;
    let Outcome::Failed { said, .. } = house
        .engine
        .perform(&effect, &house.context(Some(&meant)))
        .await
        .outcome
    else {
        panic!("it is refused")
    };
    assert!(!said.contains("hunter2"), "{said}");
}
