//! Secrets at rest: nothing in a dump, and a lost key costs the secrets only.

use std::collections::BTreeMap;

use domain::{
    specification::Specification,
    trigger::{Headers, Trigger},
};
use serde_json::json;
use store::{ArtifactKind, Desk, Error, NewArtifact, NewMessage, NewToken, Role, TokenKind};
use uuid::Uuid;

use crate::{
    databases::server,
    house::{Hand, House, actor, ana, component, container, in_ms, key, named, worker},
};

const CANARY: &str = "tweety-8d1f";

fn secret() -> Specification {
    Specification {
        body: json!({"HostConfig": {"Memory": 1_073_741_824_i64, "NetworkMode": "shop"},
            "Cmd": ["serve", "--token", CANARY], "Labels": {"traefik.auth": CANARY},
            "Healthcheck": {"Test": ["CMD", "curl", "-u", CANARY]}}),
        env: vec![
            format!("PASSWORD={CANARY}"),
            "EMPTY=".to_owned(),
            "BARE".to_owned(),
        ],
    }
}

/// What an engine said of a container and of its image, with a secret in each.
fn whole() -> (serde_json::Value, serde_json::Value) {
    let env = json!([format!("PASSWORD={CANARY}")]);
    (
        json!({"Id": "1", "Config": {"Env": env, "MacAddress": "02:42:ac:11:00:09"}}),
        json!({"Env": env}),
    )
}

fn image_of_whole() -> domain::name::ImageId {
    format!("sha256:{}", "9".repeat(64)).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_is_kept_whole_and_its_image_once() {
    let (house, _, _) = house_with_secrets().await;
    let digest = house.store.key().digest(&secret());
    let (raw, settings) = whole();
    let kept = house.store.inspection_get(&digest).await.unwrap();
    assert_eq!(
        (kept.image, kept.inspection),
        (image_of_whole(), raw.clone())
    );
    let other = json!({"Id": "2"});
    house
        .store
        .inspection_put(&digest, &image_of_whole(), &other, &settings)
        .await
        .unwrap();
    assert_eq!(
        house
            .store
            .inspection_get(&digest)
            .await
            .unwrap()
            .inspection,
        raw,
        "the first stays"
    );
    assert_eq!(
        house.store.image_settings(&image_of_whole()).await.unwrap(),
        Some(settings.clone())
    );
    let unknown = format!("sha256:{}", "8".repeat(64)).parse().unwrap();
    assert_eq!(house.store.image_settings(&unknown).await.unwrap(), None);
    let missing = house
        .store
        .inspection_get(&"0".repeat(64).parse().unwrap())
        .await;
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");

    // With another key nothing can be read, and what is seen again is sealed anew.
    house
        .raw("update image_settings set key_id = 'lost', sealed = decode('00', 'hex')")
        .await;
    assert!(house.store.image_settings(&image_of_whole()).await.is_err());
    house
        .store
        .inspection_put(&digest, &image_of_whole(), &other, &settings)
        .await
        .unwrap();
    assert_eq!(
        house.store.image_settings(&image_of_whole()).await.unwrap(),
        Some(settings)
    );
}

async fn house_with_secrets() -> (House, Hand, Uuid) {
    let house = House::new().await;
    let hand = Hand::of(&house.claimed("shop", &worker()).await);
    let digest = house.store.specification_put(&secret()).await.unwrap();
    let deployment = hand.plan.deployment;
    house
        .store
        .deployment_specifications(deployment, &BTreeMap::from([(component(), digest)]))
        .await
        .unwrap();
    let (raw, settings) = whole();
    house
        .store
        .inspection_put(
            &house.store.key().digest(&secret()),
            &image_of_whole(),
            &raw,
            &settings,
        )
        .await
        .unwrap();
    let log = format!("starting with {CANARY}\n");
    for kind in [ArtifactKind::Logs, ArtifactKind::Inspect] {
        let new = NewArtifact {
            component: &component(),
            container: &container('f'),
            kind,
            content: log.as_bytes(),
        };
        house.store.artifact_put(&hand.held, &new).await.unwrap();
    }
    let token = NewToken {
        id: Uuid::now_v7(),
        name: "ci".to_owned(),
        kind: TokenKind::Service,
        person: actor("service:ci"),
        role: Role::Operator,
        applications: Some(vec![named("shop")]),
        hash: [7; 32],
        created_by: ana(),
        expires_at: in_ms(1_000_000),
    };
    house.store.token_create(&token).await.unwrap();
    ask_in_a_chat(&house).await;
    (house, hand, deployment)
}

/// Where a chat takes an answer for half an hour, from whoever knows the address.
fn answer_url() -> String {
    format!("http://127.0.0.1:9/{CANARY}")
}

/// A command in a chat, and an answer to it that is not sent yet.
async fn ask_in_a_chat(house: &House) {
    let settings = json!({"channel": "C0OPS", "base_url": "http://127.0.0.1:9"});
    let trigger =
        json!({"name": "slack", "kind": "slack", "mode": "propose", "settings": settings});
    let trigger: Trigger = serde_json::from_value(trigger).unwrap();
    let store = &house.store;
    store.trigger_put(&trigger, &ana(), None).await.unwrap();
    let message = NewMessage {
        trigger: trigger.name.clone(),
        event_id: "body:1".to_owned(),
        headers: Headers::default(),
        body: format!("text=shop&response_url={}", answer_url()).into_bytes(),
        settle: std::time::Duration::ZERO,
        desk: Desk::Chat,
    };
    assert!(store.inbox_put(message).await.unwrap());
    store
        .chat_answer_put(
            Uuid::from_u128(5),
            &trigger.name,
            &answer_url(),
            "One moment.",
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_s_address_is_sealed_and_one_of_before_is_read_as_it_is() {
    let (house, _, _) = house_with_secrets().await;
    let lease = std::time::Duration::ZERO;
    let read = async || {
        let answers = house.store.chat_answers_due(9, lease).await.unwrap();
        let urls: Vec<_> = answers.into_iter().map(|answer| answer.url).collect();
        assert_eq!(urls, [answer_url()]);
        let due = house.store.inbox_due(Desk::Chat, 9, lease).await.unwrap();
        let bodies: Vec<_> = due
            .into_iter()
            .map(|due| String::from_utf8(due.body).unwrap())
            .collect();
        assert_eq!(bodies, [format!("text=shop&response_url={}", answer_url())]);
    };
    read().await;
    // With another key there is nothing to send, and nothing breaks: whoever has the key may come by.
    let other = house.other_process(key(2)).await;
    assert_eq!(other.chat_answers_due(9, lease).await.unwrap(), []);
    let due = async || other.inbox_due(Desk::Chat, 9, lease).await.unwrap();
    assert!(due().await.is_empty() && due().await.is_empty());
    // Nobody came: it is given out without its body, with the reason, so that it ends.
    let given_up = due().await;
    assert_eq!(given_up.len(), 1);
    assert!(given_up[0].body.is_empty());
    let why = given_up[0].lost.as_deref().unwrap();
    assert!(why.contains("sealed with key"), "{why}");
    let url = answer_url();
    house
        .raw(format!(
            "update chat_answer set url = '{url}', url_sealed = null;
             update inbox set body = 'text=shop&response_url={url}', sealed = false"
        ))
        .await;
    read().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_dump() {
    let (house, _, _) = house_with_secrets().await;
    let dump = server()
        .program("pg_dump")
        .args(["--inserts", &house.database])
        .output()
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let text = String::from_utf8(dump.stdout).unwrap();
    assert!(
        text.contains("INSERT INTO public.specification") && text.contains("PASSWORD"),
        "names are in the clear"
    );
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!text.contains(CANARY) && !text.contains(&hex));
    let key_bytes = "01".repeat(32);
    assert!(!text.contains(&key_bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_comes_back_with_the_key() {
    let (house, hand, deployment) = house_with_secrets().await;
    let digest = house.store.key().digest(&secret());
    assert_eq!(
        house.store.specification_put(&secret()).await.unwrap(),
        digest,
        "content addressed"
    );
    assert_eq!(house.count("select count(*) from specification").await, 1);
    assert_eq!(
        house.store.specification_get(&digest).await.unwrap(),
        secret()
    );
    let readable = house
        .store
        .specifications_readable(&[digest.clone(), "0".repeat(64).parse().unwrap()])
        .await
        .unwrap();
    assert_eq!(readable, BTreeMap::from([(digest.clone(), true)]));
    let details = house
        .store
        .release_get(&named("shop"), &hand.plan.to)
        .await
        .unwrap();
    let shown = &details.specifications[&component()];
    assert_eq!(
        (shown.readable, &shown.digest, &shown.body),
        (true, &digest, &secret().body)
    );
    assert_eq!(shown.env_names, ["BARE", "EMPTY", "PASSWORD"]);
    let recorded = details.release.components[&component()]
        .specification
        .as_ref()
        .unwrap();
    assert_eq!(
        recorded.env["PASSWORD"],
        house.store.key().fingerprint("PASSWORD", CANARY)
    );
    assert_eq!(recorded.shape, secret().shape());
    assert!(recorded.shape.is_some(), "read from the stored body");
    assert_eq!(
        details
            .deployments
            .iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>(),
        [deployment]
    );
    let captured = house.store.captured(hand.held.rollback).await.unwrap();
    assert_eq!(captured.into_iter().collect::<Vec<_>>(), [container('f')]);
    let artifacts = house
        .store
        .artifacts_list(hand.held.rollback)
        .await
        .unwrap();
    assert_eq!(artifacts.len(), 2);
    let (artifact, content) = house.store.artifact_get(artifacts[0].id).await.unwrap();
    assert_eq!(
        (artifact.bytes as usize, String::from_utf8(content).unwrap()),
        (26, format!("starting with {CANARY}\n"))
    );
    assert!(matches!(
        house.store.artifact_get(Uuid::now_v7()).await,
        Err(Error::NotFound("artifact"))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_said_and_nothing_else_breaks() {
    let (house, mut hand, _) = house_with_secrets().await;
    let digest = house.store.key().digest(&secret());
    let store = house.other_process(key(2)).await;
    let lost = store.specification_get(&digest).await;
    assert!(
        matches!(&lost, Err(Error::KeyLost(id)) if *id == key(1).key_id().to_string()),
        "{lost:?}"
    );
    let readable = store
        .specifications_readable(std::slice::from_ref(&digest))
        .await
        .unwrap();
    assert!(!readable[&digest]);
    let details = store
        .release_get(&named("shop"), &hand.plan.to)
        .await
        .unwrap();
    assert!(
        !details.release.components[&component()]
            .specification
            .as_ref()
            .unwrap()
            .readable
    );
    assert!(!details.specifications[&component()].readable);
    let artifacts = store.artifacts_list(hand.held.rollback).await.unwrap();
    assert!(matches!(
        store.artifact_get(artifacts[0].id).await,
        Err(Error::KeyLost(_))
    ));
    assert_eq!(store.releases(&named("shop")).await.unwrap().len(), 2);
    hand.walk_to_watch(&store).await;
    let fresh = store.specification_put(&secret()).await.unwrap();
    assert_ne!(
        fresh, digest,
        "another key gives another digest, so both can be kept"
    );
    assert_eq!(store.specification_get(&fresh).await.unwrap(), secret());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specification_that_was_changed_or_moved_is_not_used() {
    let (house, _, _) = house_with_secrets().await;
    let digest = house.store.key().digest(&secret());
    let other = Specification {
        env: vec!["PASSWORD=x".to_owned()],
        ..secret()
    };
    let moved = house.store.specification_put(&other).await.unwrap();
    house.raw(format!(
        "update specification set env_sealed = (select env_sealed from specification where digest = '{digest}')
         where digest = '{moved}'"
    )).await;
    assert!(matches!(
        house.store.specification_get(&moved).await,
        Err(Error::Corrupt(_))
    ));
    // What is shown is not what is used; and what is used must be what its digest says.
    let privileged = r#"body = body || '{"Privileged": true}'"#;
    house
        .raw(format!(
            "update specification set {privileged} where digest = '{digest}'"
        ))
        .await;
    let used = house.store.specification_get(&digest).await.unwrap();
    assert_eq!(used, secret());
    let of_other = format!("(select body_sealed from specification where digest = '{moved}')");
    for seal in ["null".to_owned(), of_other] {
        house
            .raw(format!(
                "update specification set body_sealed = {seal} where digest = '{digest}'"
            ))
            .await;
        assert!(matches!(
            house.store.specification_get(&digest).await,
            Err(Error::Corrupt(_))
        ));
    }
    house
        .raw("update plan set body = replace(body, '1.4.2', '6.6.6')")
        .await;
    let plan: String = sqlx::query_scalar("select digest from plan")
        .fetch_one(&house.pool)
        .await
        .unwrap();
    assert!(matches!(
        house.store.plan_get(&plan.parse().unwrap()).await,
        Err(Error::Corrupt(_))
    ));
}

/// Rows of before bodies were sealed: they can be read as they are, and are sealed by the next sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_before_is_read_as_it_is_and_sealed_by_the_sweep() {
    let (house, hand, _) = house_with_secrets().await;
    let digest = house.store.key().digest(&secret());
    let body = secret().body.to_string().replace('\'', "''");
    house
        .raw(format!(
            "update specification set body_sealed = null, body = '{body}'"
        ))
        .await;
    let read = async || {
        assert_eq!(
            house.store.specification_get(&digest).await.unwrap(),
            secret()
        );
        let (shop, to) = (named("shop"), &hand.plan.to);
        let details = house.store.release_get(&shop, to).await.unwrap();
        assert_eq!(details.specifications[&component()].body, secret().body);
        let recorded = details.release.components[&component()]
            .specification
            .clone();
        assert_eq!(recorded.unwrap().shape, secret().shape());
    };
    read().await;
    assert_eq!(house.store.specifications_seal().await.unwrap(), 1);
    assert_eq!(house.store.specifications_seal().await.unwrap(), 0);
    read().await;
    let clear = "select count(*) from specification where body::text like '%tweety%'";
    assert_eq!(house.count(clear).await, 0);
}

/// Without the key only what everybody may see is left.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_a_body_shows_what_everybody_may_see() {
    let (house, hand, _) = house_with_secrets().await;
    let other = house.other_process(key(9)).await;
    let details = other
        .release_get(&named("shop"), &hand.plan.to)
        .await
        .unwrap();
    let shown = &details.specifications[&component()];
    assert_eq!(shown.body, Specification::shown(&secret().body));
    assert!(!shown.readable && !shown.body.to_string().contains(CANARY));
    let recorded = details.release.components[&component()]
        .specification
        .clone();
    assert_eq!(recorded.unwrap().shape, None, "half a shape would be a lie");
    assert_eq!(other.specifications_seal().await.unwrap(), 0);
}
