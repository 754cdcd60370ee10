//! Builds on the engine: from a packed context to an image that is found again, and what a build that ends early
//! leaves.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use docker::{
    Audience, BuildOrder, Checkout, Context, Engine, Kind, Limits, Made, Remains, Sources,
};
use domain::{name::ImageId, source::Build};
use serde_json::json;

use crate::house::{House, Living, app};

const LIMIT: Duration = Duration::from_secs(60);

/// Writes down what it is told.
#[derive(Default)]
struct Heard(Mutex<(Vec<String>, Remains)>);

impl Heard {
    fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }

    fn made(&self) -> Remains {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }
}

impl Audience for Heard {
    fn line(&self, line: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .push(line.to_owned());
    }

    fn made(&self, made: Made<'_>) {
        let remains = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1;
        match made {
            Made::Layer(id) => remains.layers.push(id.to_owned()),
            Made::Container(id) => remains.containers.push(id.to_owned()),
            Made::Image(image) => remains.image = Some(image.clone()),
        }
    }
}

/// A repository with one tag, and everything to build it.
struct Site {
    house: House,
    folder: std::path::PathBuf,
    order: BuildOrder,
    sources: Sources,
}

impl Site {
    async fn new(dockerfile: &str) -> Self {
        let house = House::new().await;
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(house.named("site"));
        let repository = folder.join("repository");
        std::fs::create_dir_all(&repository).unwrap();
        std::fs::copy(app(), repository.join("app")).unwrap();
        // Nothing is shared with the builds of other tests, the first layer included.
        let own = format!("FROM scratch\nLABEL test={}\n", house.prefix);
        let dockerfile = dockerfile.replace("FROM scratch\n", &own);
        std::fs::write(repository.join("Dockerfile"), dockerfile).unwrap();
        std::fs::write(repository.join("noise"), &house.prefix).unwrap();
        std::fs::write(repository.join(".dockerignore"), "noise\n").unwrap();
        git(&repository, &["init", "--quiet", "--initial-branch=main"]);
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "--message", "1"]);
        git(&repository, &["tag", "v1.4.2"]);
        let commit = git(&repository, &["rev-parse", "HEAD"]).parse().unwrap();
        let build = Build {
            args: [("WHO".to_owned(), house.prefix.clone())].into(),
            ..Build::default()
        };
        let order = BuildOrder {
            application: house.application.name.clone(),
            component: "web".parse().unwrap(),
            version: "1.4.2".parse().unwrap(),
            source: serde_json::from_value(json!({"repository": repository})).unwrap(),
            tag: "v1.4.2".parse().unwrap(),
            commit,
            build,
        };
        let sources = Sources::open(folder.join("state"), None, Limits::default()).unwrap();
        Self {
            house,
            folder,
            order,
            sources,
        }
    }

    async fn packed(&self) -> (Checkout, Context) {
        let order = &self.order;
        let checkout = self
            .sources
            .checkout(&order.source, &order.tag, &order.commit)
            .await
            .unwrap();
        let context = checkout
            .pack(&order.build, &Limits::default())
            .await
            .unwrap();
        (checkout, context)
    }

    fn engine(&self) -> &Engine {
        &self.house.engine
    }

    async fn build(&self, heard: &Heard, limit: Duration) -> Result<ImageId, docker::Error> {
        let (checkout, context) = self.packed().await;
        let time = checkout.committed_at();
        self.engine()
            .build(&self.order, &context, time, limit, heard)
            .await
    }

    async fn drop_all(&self, heard: &Heard) {
        self.engine()
            .drop_build(&self.order, &heard.made(), &Living)
            .await
            .unwrap();
    }

    /// Whether the container of the last instruction runs.
    fn runs(&self, heard: &Heard) -> bool {
        let made = heard.made().containers;
        made.last().is_some_and(|last| {
            self.house
                .try_docker(&["inspect", "--format", "{{.State.Running}}", last])
                == (true, "true".to_owned())
        })
    }

    /// Whether any container of the build is on the engine.
    fn is_there(&self, heard: &Heard) -> bool {
        let made = heard.made().containers;
        made.iter()
            .any(|container| self.house.try_docker(&["inspect", container]).0)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn git(folder: &std::path::Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.org"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_COMMITTER_DATE", "2026-03-01T12:00:00Z")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const GOOD: &str = "FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY . /\nENTRYPOINT [\"/app\"]\n";
/// The demo's application as a worker never ends.
const ENDLESS: &str =
    "FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY app /app\nRUN [\"/app\", \"worker\"]\n";

#[tokio::test]
async fn what_is_built_is_labelled_tagged_and_found_again() {
    let site = Site::new(GOOD).await;
    assert_eq!(site.engine().built(&site.order).await.unwrap(), None);
    let heard = Heard::default();
    let image = site.build(&heard, LIMIT).await.unwrap();
    assert_eq!(
        site.engine().built(&site.order).await.unwrap(),
        None,
        "without its tag it is not finished"
    );
    site.engine()
        .tag_built(&site.order, &image, &Living)
        .await
        .unwrap();
    assert_eq!(
        site.engine().built(&site.order).await.unwrap().as_ref(),
        Some(&image)
    );
    let labels = site.house.docker(&[
        "inspect",
        "--format",
        "{{json .Config.Labels}}",
        image.as_str(),
    ]);
    for part in [
        "\"org.opencontainers.image.version\":\"1.4.2\"",
        "\"org.opencontainers.image.created\":\"2026-03-01T12:00:00Z\"",
        site.order.commit.as_str(),
        &site.house.prefix,
    ] {
        assert!(labels.contains(part), "{part} is not in {labels}");
    }
    assert!(
        heard.lines().iter().any(|line| line.starts_with("Step 1/")),
        "{:?}",
        heard.lines()
    );
    // Asked for once more, it is the same image, and nothing runs.
    let again = Heard::default();
    assert_eq!(site.build(&again, LIMIT).await.unwrap(), image);
    assert_eq!(again.lines(), Vec::<String>::new());
    site.drop_all(&heard).await;
    assert_eq!(
        site.engine().image_id(image.as_str()).await.unwrap(),
        None,
        "it was dropped"
    );
}

#[tokio::test]
async fn another_commit_or_a_moved_tag_of_the_engine_is_not_taken_for_it() {
    let site = Site::new(GOOD).await;
    let heard = Heard::default();
    let image = site.build(&heard, LIMIT).await.unwrap();
    site.engine()
        .tag_built(&site.order, &image, &Living)
        .await
        .unwrap();
    let other = BuildOrder {
        version: "1.4.3".parse().unwrap(),
        ..site.order.clone()
    };
    assert_eq!(site.engine().built(&other).await.unwrap(), None);
    // Somebody puts our tag on another image: that one has not our label.
    let bad = site
        .house
        .docker(&["images", "--quiet", "--no-trunc", "sternway-demo:1.5.0"]);
    if !bad.is_empty() {
        site.house.docker(&["tag", &bad, &site.order.reference()]);
        assert_eq!(site.engine().built(&site.order).await.unwrap(), None);
        site.house.docker(&["rmi", &site.order.reference()]);
    }
    site.drop_all(&heard).await;
}

#[tokio::test]
async fn a_build_that_fails_says_its_last_lines_and_leaves_nothing() {
    let site = Site::new("FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY app /app\nRUN [\"/app\", \"no-such-command\"]\n").await;
    let heard = Heard::default();
    let error = site.build(&heard, LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), Kind::BuildFailed);
    let said = error.to_string();
    assert!(said.starts_with("building web from tag v1.4.2 ("), "{said}");
    assert!(
        said.contains("returned a non-zero code")
            && said.contains("unknown role \"no-such-command\""),
        "{said}"
    );
    assert!(!heard.made().layers.is_empty(), "{:?}", heard.lines());
    site.drop_all(&heard).await;
    for layer in heard.made().layers {
        assert_eq!(
            site.engine()
                .image_id(&format!("sha256:{layer}"))
                .await
                .ok()
                .flatten(),
            None,
            "{layer}"
        );
        assert!(
            !site.house.try_docker(&["inspect", &layer]).0,
            "layer {layer} is left"
        );
    }
    assert!(!site.is_there(&heard));
}

#[tokio::test]
async fn a_dockerfile_that_is_none_is_a_failed_build() {
    let site = Site::new("NONSENSE\n").await;
    let error = site.build(&Heard::default(), LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), Kind::BuildFailed, "{error}");
}

#[tokio::test]
async fn a_build_that_is_called_off_is_stopped_by_the_engine_and_removed() {
    let site = Site::new(ENDLESS).await;
    let heard = Heard::default();
    {
        let build = site.build(&heard, LIMIT);
        tokio::pin!(build);
        let running = async {
            while !site.runs(&heard) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ended = &mut build => panic!("it ended: {ended:?}"),
            () = running => {}
        }
    }
    // The future is dropped: its connection is gone.
    for _ in 0..200 {
        if !site.is_there(&heard) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!site.is_there(&heard), "the engine did not stop the build");
    site.drop_all(&heard).await;
    for layer in heard.made().layers {
        assert!(
            !site.house.try_docker(&["inspect", &layer]).0,
            "layer {layer} is left"
        );
    }
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_stopped() {
    let site = Site::new(ENDLESS).await;
    let heard = Heard::default();
    let error = site
        .build(&heard, Duration::from_secs(3))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::BuildFailed);
    assert!(
        error.to_string().contains("was not done after 3 s"),
        "{error}"
    );
    site.drop_all(&heard).await;
}

#[tokio::test]
async fn what_somebody_uses_or_named_is_not_dropped() {
    let site = Site::new(GOOD).await;
    let heard = Heard::default();
    let image = site.build(&heard, LIMIT).await.unwrap();
    site.engine()
        .tag_built(&site.order, &image, &Living)
        .await
        .unwrap();
    let user = site.house.named("user");
    site.house
        .docker(&["create", "--name", &user, image.as_str()]);
    site.drop_all(&heard).await;
    assert!(
        site.engine()
            .image_id(image.as_str())
            .await
            .unwrap()
            .is_some(),
        "a container needs it"
    );
    site.house.docker(&["rm", &user]);
    site.house.try_docker(&["rmi", image.as_str()]);
}
