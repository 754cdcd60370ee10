//! What a real engine says that it did, over connections that break.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use docker::{Change, Engine, Heard, News};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::house::House;

/// Listening that ends with the test.
struct Listening {
    news: News,
    task: JoinHandle<()>,
}

impl Listening {
    fn to(engine: &Engine) -> Self {
        let (engine, news) = (engine.clone(), News::default());
        let told = news.clone();
        let task = tokio::spawn(async move { engine.follow(&told).await });
        Self { news, task }
    }

    /// Listens until something is as wanted; everything heard on the way is gone.
    async fn until(&self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        let search = async {
            loop {
                let heard = self.news.next().await;
                if wanted(&heard) {
                    return heard;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), search).await;
        found.unwrap_or_else(|_| panic!("waited in vain for this: {what}"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket before an engine's own, whose connections can be broken.
struct Door {
    socket: PathBuf,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
    closed: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Door {
    fn before(engine: &Engine, name: &str) -> Self {
        let behind = engine.endpoint().trim_start_matches("unix://").to_owned();
        let socket = std::env::temp_dir().join(format!("sternway-door-{name}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let open: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let closed = Arc::new(AtomicBool::new(false));
        let (passed, shut) = (Arc::clone(&open), Arc::clone(&closed));
        let task = tokio::spawn(async move {
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                if shut.load(Ordering::SeqCst) {
                    continue;
                }
                let behind = behind.clone();
                let passing = tokio::spawn(async move {
                    if let Ok(mut engine) = UnixStream::connect(behind).await {
                        let _ = tokio::io::copy_bidirectional(&mut caller, &mut engine).await;
                    }
                });
                passed.lock().unwrap().push(passing);
            }
        });
        Self {
            socket,
            open,
            closed,
            task,
        }
    }

    fn engine(&self) -> Engine {
        Engine::connect(&format!("unix://{}", self.socket.display())).unwrap()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for passing in self.open.lock().unwrap().drain(..) {
            passing.abort();
        }
    }

    fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
        self.task.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn about<'a>(house: &'a House, name: &'a str) -> impl Fn(&Heard) -> bool + 'a {
    move |heard| {
        heard.changes.iter().any(|change| match change {
            Change::Container {
                name: of, project, ..
            } => of == name && project.as_deref() == Some(house.prefix.as_str()),
            Change::Image => false,
        })
    }
}

#[tokio::test]
async fn what_happens_to_a_project_is_heard_at_once() {
    let house = House::new().await;
    let listening = Listening::to(&house.engine);
    let first = listening.until("the engine is found", |heard| heard.connected);
    assert!(first.await.everything, "a new connection means everything");
    let name = house.named("web-1");
    house.web("web-1", "1", &[], &[]);
    listening.until("it starts", about(&house, &name)).await;
    house.docker(&["rename", &name, &house.named("web-2")]);
    listening.until("its old name", about(&house, &name)).await;
    house.docker(&["rm", "-f", &house.named("web-2")]);
    let gone = house.named("web-2");
    listening.until("it is removed", about(&house, &gone)).await;
    let tag = format!("{}:moved", house.prefix);
    house.docker(&["tag", &crate::house::image("1"), &tag]);
    let tagged = |heard: &Heard| heard.changes.contains(&Change::Image);
    listening.until("an image is tagged", tagged).await;
    house.docker(&["rmi", &tag]);
    listening.until("an image is untagged", tagged).await;
}

#[tokio::test]
async fn a_cut_stream_is_taken_up_again_and_nothing_is_lost() {
    let house = House::new().await;
    let door = Door::before(&house.engine, &house.prefix);
    let listening = Listening::to(&door.engine());
    listening
        .until("the engine is found", |heard| heard.connected)
        .await;
    door.close();
    let lost = listening.until("it is lost", |heard| !heard.connected);
    assert!(lost.await.said.is_some(), "the reason is said");
    house.web("web-1", "1", &[], &[]);
    door.open();
    let again = listening.until("it is found again", |heard| heard.connected);
    assert!(again.await.everything);
    house.docker(&["stop", "-t", "0", &house.named("web-1")]);
    let name = house.named("web-1");
    listening.until("it goes on", about(&house, &name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_slowly_hears_of_everything_all_the_same() {
    let house = House::new().await;
    let listening = Listening::to(&house.engine);
    listening
        .until("the engine is found", |heard| heard.connected)
        .await;
    let id = house.web_as("create", "web-0", "1", &[], &[]);
    for count in 1..=40 {
        let name = house.named(&format!("web-{count}"));
        house.docker(&["rename", id.as_str(), &name]);
    }
    // Nobody has listened until now; the engine was read all the same.
    let first = house.named("web-1");
    let heard = listening.until("the first rename", about(&house, &first));
    assert!(!heard.await.everything);
    let last = house.named("web-41");
    house.docker(&["rename", id.as_str(), &last]);
    listening
        .until("the last rename", about(&house, &last))
        .await;
}
