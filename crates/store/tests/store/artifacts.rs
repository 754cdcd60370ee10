//! What is captured of a container before it is removed.

use store::{ARTIFACT_BYTES_MAX, ArtifactKind, NewArtifact};

use crate::house::{Hand, House, component, container, worker};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_long_log_the_end_is_kept() {
    let house = House::new().await;
    let claimed = Hand::of(&house.claimed("shop", &worker()).await);
    let mut log = vec![b'x'; ARTIFACT_BYTES_MAX];
    log.extend_from_slice(b"the last words");
    let new = NewArtifact {
        component: &component(),
        container: &container('f'),
        kind: ArtifactKind::Logs,
        content: &log,
    };
    house.store.artifact_put(&claimed.held, &new).await.unwrap();
    let other = NewArtifact {
        content: b"a second try",
        ..new
    };
    house
        .store
        .artifact_put(&claimed.held, &other)
        .await
        .unwrap();
    assert!(
        house
            .store
            .captured(claimed.held.rollback)
            .await
            .unwrap()
            .is_empty(),
        "the inspection is missing"
    );
    let artifacts = house
        .store
        .artifacts_list(claimed.held.rollback)
        .await
        .unwrap();
    let (artifact, content) = house.store.artifact_get(artifacts[0].id).await.unwrap();
    assert_eq!(artifact.bytes as usize, ARTIFACT_BYTES_MAX);
    assert!(content.ends_with(b"the last words"));
}
