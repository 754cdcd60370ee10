//! Lists: every row once, in order, whatever the page's size, and never more than a page.

use domain::name::RollbackId;
use store::{DeploymentFilter, DeploymentState, PAGE_MAX, Page, RollbackFilter};

use crate::house::{House, ana, named, report};

async fn ended(house: &House, count: usize) -> Vec<RollbackId> {
    let plan = house.planned("shop").await;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(house.request(&plan).await);
        house.raw("update rollback_run set phase = 'ended', acts = false, ended_at = now(), state =
                   state::jsonb || '{\"phase\": {\"phase\": \"ended\", \"verdict\": \"rolled_back\", \"good\": true}}'").await;
    }
    ids.reverse();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_are_listed_once_each_newest_first() {
    let house = House::new().await;
    let ids = ended(&house, 7).await;
    for limit in [1, 2, 3, 6, 7, 8, 0, 1000] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = Page { after, limit };
            let listed = house
                .store
                .rollback_list(&RollbackFilter::default(), &page)
                .await
                .unwrap();
            seen.extend(listed.items.iter().map(|row| row.id));
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ids, "pages of {limit}");
    }
    let mine = RollbackFilter {
        within: Some(vec![named("other")]),
        ..RollbackFilter::default()
    };
    assert!(
        house
            .store
            .rollback_list(&mine, &Page::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let filter = RollbackFilter {
        application: Some(named("shop")),
        within: Some(vec![named("shop")]),
        phase: Some("ended".to_owned()),
        active: Some(false),
    };
    let listed = house
        .store
        .rollback_list(
            &filter,
            &Page {
                after: None,
                limit: 3,
            },
        )
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 3);
    let row = &listed.items[0];
    assert_eq!(
        (
            row.from.as_ref().unwrap().as_str(),
            row.to.as_str(),
            row.phase.as_str()
        ),
        ("1.5.0", "1.4.2", "ended")
    );
    assert!(row.verdict.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_a_largest_size() {
    let house = House::new().await;
    for n in 0..(PAGE_MAX + 5) {
        house.application(&format!("shop{n:04}")).await;
    }
    let listed = house
        .store
        .application_list(
            None,
            &Page {
                after: None,
                limit: u32::MAX,
            },
        )
        .await
        .unwrap();
    assert_eq!(listed.items.len(), PAGE_MAX as usize);
    let rest = house
        .store
        .application_list(
            None,
            &Page {
                after: listed.next,
                limit: 0,
            },
        )
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.next), (5, None));
    // Filtered before the page is cut: neither rows nor the position of the next page name others.
    let within = ["shop0003", "shop0007", "shop0099"].map(named);
    let page = Page {
        after: None,
        limit: 2,
    };
    let some = house
        .store
        .application_list(Some(&within), &page)
        .await
        .unwrap();
    let names: Vec<_> = some.items.iter().map(|one| &one.application.name).collect();
    assert_eq!(
        (names, some.next.as_ref()),
        (vec![&within[0], &within[1]], Some(&within[1]))
    );
    let page = Page {
        after: some.next,
        limit: 2,
    };
    let rest = house
        .store
        .application_list(Some(&within), &page)
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let mut audit = house.store.audit_list(&Page::default()).await.unwrap();
    let newest = audit.items[0].clone();
    assert_eq!(
        (newest.action.as_str(), newest.object.as_str(), newest.actor),
        ("application.put", "application/shop0104", ana())
    );
    audit = house
        .store
        .audit_list(&Page {
            after: audit.next,
            limit: 10,
        })
        .await
        .unwrap();
    assert_eq!((audit.items.len(), audit.next), (5, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_are_filtered_and_paged() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    for n in 0..6 {
        house.deploy(&shop, &format!("1.{}", n % 2), 'a').await;
    }
    house
        .store
        .deployment_record(&report(&shop, "2.0"))
        .await
        .unwrap();
    let filter = DeploymentFilter {
        version: Some("1.1".parse().unwrap()),
        state: Some(DeploymentState::Watching),
        ..DeploymentFilter::default()
    };
    let first = house
        .store
        .deployment_list(
            &shop.name,
            &filter,
            &Page {
                after: None,
                limit: 2,
            },
        )
        .await
        .unwrap();
    let second = house
        .store
        .deployment_list(
            &shop.name,
            &filter,
            &Page {
                after: first.next,
                limit: 2,
            },
        )
        .await
        .unwrap();
    assert_eq!(
        (first.items.len(), second.items.len(), second.next),
        (2, 1, None)
    );
    assert!(first.items[0].deployed_at >= first.items[1].deployed_at);
    assert!(
        first
            .items
            .iter()
            .chain(&second.items)
            .all(|entry| entry.version.as_str() == "1.1")
    );
}
