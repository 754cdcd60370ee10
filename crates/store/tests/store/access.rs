//! Tokens: found while they live, never shown, and a set-up token that works once.

use std::sync::Arc;

use domain::name::RollbackId;
use serde_json::json;
use store::{Constraint, Error, NewToken, Page, Role, TokenKind};
use uuid::Uuid;

use crate::house::{House, actor, ana, in_ms, named, now};

fn token(hash: u8) -> NewToken {
    NewToken {
        id: Uuid::now_v7(),
        name: "laptop".to_owned(),
        kind: TokenKind::Person,
        person: ana(),
        role: Role::Admin,
        applications: None,
        hash: [hash; 32],
        created_by: actor("local:root"),
        expires_at: in_ms(600_000),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_while_it_lives() {
    let house = House::new().await;
    let store = &house.store;
    assert!(store.setup_needed().await.unwrap());
    let scoped = NewToken {
        applications: Some(vec![named("shop")]),
        role: Role::Viewer,
        ..token(1)
    };
    store.token_create(&scoped).await.unwrap();
    assert!(!store.setup_needed().await.unwrap());
    let found = store.token_find(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (found.id, found.role, &found.applications),
        (scoped.id, Role::Viewer, &scoped.applications)
    );
    assert_eq!((found.last_used_at, found.revoked_at), (None, None));
    assert!(store.token_find(&[9; 32]).await.unwrap().is_none());
    assert!(matches!(
        store.token_create(&token(1)).await,
        Err(Error::Conflict(Constraint::Taken("token")))
    ));
    store.token_used(scoped.id).await.unwrap();
    store.token_used(scoped.id).await.unwrap();
    assert!(
        store
            .token_find(&[1; 32])
            .await
            .unwrap()
            .unwrap()
            .last_used_at
            .is_some()
    );
    store.token_revoke(scoped.id, &ana()).await.unwrap();
    store.token_revoke(scoped.id, &ana()).await.unwrap();
    assert!(
        store.token_find(&[1; 32]).await.unwrap().is_none()
            && !store.token_lives(scoped.id).await.unwrap()
    );
    assert!(matches!(
        store.token_revoke(Uuid::now_v7(), &ana()).await,
        Err(Error::NotFound("token"))
    ));
    let over = NewToken {
        expires_at: now(),
        ..token(2)
    };
    store.token_create(&over).await.unwrap();
    assert!(
        store.token_find(&[2; 32]).await.unwrap().is_none(),
        "it is over"
    );
    let listed = store
        .token_list(&Page {
            after: None,
            limit: 1,
        })
        .await
        .unwrap();
    assert_eq!((listed.items[0].id, listed.next), (over.id, Some(over.id)));
    let rest = store
        .token_list(&Page {
            after: listed.next,
            limit: 1,
        })
        .await
        .unwrap();
    assert!(rest.items[0].revoked_at.is_some() && rest.next.is_none());
    assert_eq!(
        house
            .count(
                "select count(*) from audit_entry where action in ('token.create', 'token.revoke')"
            )
            .await,
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_token_works_once_though_16_use_it_at_once() {
    let house = Arc::new(House::with_connections(16).await);
    house
        .store
        .setup_token_put(&[1; 32], in_ms(600_000))
        .await
        .unwrap();
    house
        .store
        .setup_token_put(&[2; 32], in_ms(600_000))
        .await
        .unwrap();
    let earlier = house.store.setup_token_use(&[1; 32], &token(50)).await;
    assert!(
        matches!(earlier, Err(Error::NotFound("set-up token"))),
        "a newer one ends it"
    );
    let racers: Vec<_> = (0..16)
        .map(|n| {
            let house = house.clone();
            tokio::spawn(async move {
                house
                    .store
                    .setup_token_use(&[2; 32], &token(100 + n))
                    .await
                    .is_ok()
            })
        })
        .collect();
    let mut used = 0;
    for racer in racers {
        used += i32::from(racer.await.unwrap());
    }
    assert_eq!(used, 1);
    assert_eq!(house.count("select count(*) from api_token").await, 1);
    house.store.setup_token_put(&[3; 32], now()).await.unwrap();
    assert!(
        house
            .store
            .setup_token_use(&[3; 32], &token(51))
            .await
            .is_err(),
        "it is over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_nothing_else_can_be_audited_too() {
    let house = House::new().await;
    let object = format!("rollback/{}", RollbackId(Uuid::now_v7()));
    house
        .store
        .audit_put(&ana(), "request.denied", &object, json!({"role": "viewer"}))
        .await
        .unwrap();
    let entries = house
        .store
        .audit_list(&Page::default())
        .await
        .unwrap()
        .items;
    assert_eq!(
        (entries[0].object.as_str(), &entries[0].detail),
        (object.as_str(), &json!({"role": "viewer"}))
    );
}
