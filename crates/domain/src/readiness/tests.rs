use super::*;
use crate::{
    ledger::{RecordedSpecification, ReleaseComponent},
    supply::Archive,
    time::Moment,
};
use uuid::Uuid;

fn id() -> ImageId {
    format!("sha256:{}", "a1".repeat(32)).parse().unwrap()
}

fn release(readable: Option<bool>) -> Release {
    let part = ReleaseComponent {
        image: id(),
        reference: "shop:1".to_owned(),
        sources: Vec::new(),
        architecture: None,
        bytes: None,
        specification: readable.map(|readable| {
            let stored =
                serde_json::json!({"digest": "d1".repeat(32), "readable": readable, "env": {}});
            serde_json::from_value::<RecordedSpecification>(stored).unwrap()
        }),
    };
    Release {
        deployment: Uuid::nil(),
        commit: None,
        version: "1".parse().unwrap(),
        deployed_at: Moment::from_unix_ms(1),
        good_at: None,
        hold: None,
        insecure: None,
        components: [("api".parse().unwrap(), part)].into(),
    }
}

fn sight(here: bool, sources: Vec<SourceSeen>) -> BTreeMap<ImageId, ImageSight> {
    let facts = ImageFacts {
        tags: Vec::new(),
        digests: Vec::new(),
        bytes: 1,
        architecture: "amd64".to_owned(),
    };
    let here = if here {
        Seen::Known(facts)
    } else {
        Seen::Absent
    };
    BTreeMap::from([(id(), ImageSight { here, sources })])
}

fn source(registry: bool, there: Seen<()>) -> SourceSeen {
    let source = if registry {
        let reference = format!("r/shop@{}", id());
        ImageSource::Registry {
            reference: reference.parse().unwrap(),
        }
    } else {
        ImageSource::Archive(Archive {
            path: "/a".to_owned(),
            sha256: String::new(),
            bytes: 1,
        })
    };
    SourceSeen { source, there }
}

fn application() -> Application {
    serde_json::from_value(serde_json::json!({
        "name": "shop", "environment": "test", "project": "shop", "probes": [],
        "source": {"repository": "/srv/shop.git"}, "components": [{"name": "api", "build": {}}],
    }))
    .unwrap()
}

/// What is nowhere is told from what can be built, and only the commit that the ledger has counts.
#[test]
fn a_release_that_is_nowhere_may_be_built_from_its_tag() {
    use ReadinessCode as Code;
    let tags = |tag: &str, more: bool| {
        Seen::Known(TagsSeen {
            tags: vec![crate::source::Tag {
                name: tag.parse().unwrap(),
                commit: "12".repeat(20).parse().unwrap(),
            }],
            more,
        })
    };
    let down = Seen::Unknown("refused".to_owned());
    let table = [
        (None, tags("v1", false), Code::Rebuildable, "from tag v1"),
        (
            Some("1212121"),
            tags("v1", false),
            Code::Rebuildable,
            "commit 121212121212",
        ),
        (
            Some("abcdef0"),
            tags("v1", false),
            Code::Gone,
            "another commit",
        ),
        (None, tags("v2", false), Code::Gone, "has no tag v1"),
        (None, tags("v2", true), Code::Unknown, "has no tag v1"),
        (None, down, Code::Unknown, "refused"),
        (None, Seen::Absent, Code::Gone, "nobody else"),
    ];
    for (commit, tags, code, says) in table {
        let release = Release {
            commit: commit.map(str::to_owned),
            ..release(Some(true))
        };
        let found = readiness(
            &release,
            &sight(false, Vec::new()),
            None,
            &application(),
            &tags,
        );
        assert_eq!(found.code, code, "{found:?}");
        assert!(found.sentence.contains(says), "{found:?}");
        assert_eq!(code.word().parse(), Ok(code));
    }
    let mut fixed = application();
    fixed.components[0].build = None;
    let found = readiness(
        &release(Some(true)),
        &sight(false, Vec::new()),
        None,
        &fixed,
        &tags("v1", false),
    );
    assert_eq!(found.code, Code::Gone);
}

#[test]
fn a_volume_that_is_gone_breaks_the_way_back() {
    let mut release = release(Some(true));
    let part = release.components.values_mut().next().unwrap();
    let mounts = serde_json::json!({"mounts": [{"kind": "volume", "source": "data", "target": "/data", "writable": true}]});
    let recorded = part.specification.as_mut().unwrap();
    recorded.shape = Some(serde_json::from_value(mounts).unwrap());
    let found = |has: Option<&Holdings>| {
        let sights = sight(true, Vec::new());
        readiness(&release, &sights, has, &application(), &Seen::Absent)
    };
    let mut has = Holdings::default();
    let gone = found(Some(&has));
    assert_eq!(gone.code, ReadinessCode::SurroundingsGone);
    assert!(
        gone.code.broken()
            && gone
                .next_action
                .unwrap()
                .contains("docker volume create data")
    );
    assert_eq!(found(None).code, ReadinessCode::Ready, "nobody looked");
    has.volumes.insert("data".to_owned());
    assert_eq!(found(Some(&has)).code, ReadinessCode::Ready);
}

#[test]
fn each_place_has_its_code() {
    use ReadinessCode as Code;
    let down = || Seen::Unknown("refused".to_owned());
    let table = [
        (Some(true), sight(true, Vec::new()), Code::Ready),
        (
            Some(false),
            sight(true, Vec::new()),
            Code::SpecificationLost,
        ),
        (None, sight(true, Vec::new()), Code::SpecificationLost),
        (
            Some(true),
            sight(false, vec![source(false, Seen::Known(()))]),
            Code::SecondCopy,
        ),
        (
            Some(true),
            sight(false, vec![source(true, Seen::Known(()))]),
            Code::Pullable,
        ),
        (
            Some(true),
            sight(false, vec![source(true, down())]),
            Code::Unknown,
        ),
        (
            Some(true),
            sight(false, vec![source(true, Seen::Absent)]),
            Code::Gone,
        ),
        (None, sight(false, Vec::new()), Code::Gone),
        (Some(true), BTreeMap::new(), Code::Unknown),
    ];
    for (readable, sights, code) in table {
        let found = readiness(
            &release(readable),
            &sights,
            None,
            &application(),
            &Seen::Absent,
        );
        assert_eq!(found.code, code, "{found:?}");
        assert_eq!(code.word().parse(), Ok(code));
        assert!(!code.broken() || found.next_action.is_some());
    }
}
