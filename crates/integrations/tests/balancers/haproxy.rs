//! HAProxy as Debian ships it.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use domain::front::{Filed, Front, FrontServer};
use integrations::{Balancers, Trouble};
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixListener, UnixStream},
};

use crate::house::{
    Application, Folder, Process, ask, free_port, front, said, socket, stream, until,
};

const ALWAYS: &(dyn Fn() -> bool + Send + Sync) = &|| true;

struct House {
    folder: Folder,
    haproxy: Option<Process>,
    port: u16,
    file: PathBuf,
    front: Front,
    balancers: Balancers,
    one: Application,
    two: Application,
}

impl House {
    async fn new() -> Self {
        Self::with("admin", "").await
    }

    /// HAProxy before `one`; `check` is added to the server's line.
    async fn with(level: &str, check: &str) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        let (one, two) = (Application::new("one").await, Application::new("two").await);
        let socket = folder.0.join("h.sock");
        let text = format!(
            "global\n    stats socket {} mode 600 level {level}\ndefaults\n    mode http\n    timeout connect 1s\n    \
             timeout client 60s\n    timeout server 60s\nfrontend shop\n    bind 127.0.0.1:{port}\n    \
             default_backend shop\nbackend shop\n    # the only one\n    server s1 {}{check}\n",
            socket.display(),
            one.address,
        );
        let file = folder.write("haproxy.cfg", &text);
        let balancer =
            json!({"kind": "haproxy", "socket": socket, "backend": "shop", "file": file});
        let front = front(&balancer, &["s1"]);
        let mut house = Self {
            folder,
            haproxy: None,
            port,
            file,
            front,
            balancers: Balancers::new().unwrap(),
            one,
            two,
        };
        house.start().await;
        house
    }

    async fn start(&mut self) {
        let file = self.file.display().to_string();
        self.haproxy = Some(Process::start(
            "haproxy",
            &["-db", "-f", &file],
            &self.folder.0,
        ));
        let (port, socket) = (self.port, self.folder.0.join("h.sock"));
        until("HAProxy answers", || async {
            let body = ask(port).await.ok()?;
            UnixStream::connect(&socket).await.ok().map(|_| body)
        })
        .await;
    }

    async fn look(&self) -> FrontServer {
        let mut look = self.balancers.look(&self.front, true).await.unwrap();
        look.servers.remove("s1").unwrap()
    }

    async fn point(&self, to: &Application) -> Result<(), Trouble> {
        self.balancers
            .point(&self.front, "s1", to.address, ALWAYS)
            .await
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }
}

#[tokio::test]
async fn clients_go_elsewhere_at_once_and_after_a_restart() {
    let mut house = House::new().await;
    assert!(house.look().await.points_at(house.one.address));
    let before = house.text();
    house.point(&house.two).await.unwrap();
    assert_eq!(ask(house.port).await.unwrap(), "two");
    assert!(house.look().await.points_at(house.two.address));
    let expected = before.replace(
        &house.one.address.to_string(),
        &house.two.address.to_string(),
    );
    assert_eq!(house.text(), expected);
    house.haproxy.take().unwrap().kill().await;
    house.start().await;
    assert_eq!(ask(house.port).await.unwrap(), "two");
    house.point(&house.two).await.unwrap();
    house.point(&house.one).await.unwrap();
    assert_eq!(
        (ask(house.port).await.unwrap().as_str(), house.text()),
        ("one", before)
    );
}

#[tokio::test]
async fn an_event_stream_stays_where_it_is_and_is_counted_there() {
    let house = House::new().await;
    let open = stream(house.port).await;
    goes_on(&house, open, "data: one\n\ndata: one").await;
}

#[tokio::test]
async fn a_web_socket_stays_where_it_is_and_is_counted_there() {
    let house = House::new().await;
    let open = socket(house.port, "one").await;
    goes_on(&house, open, "oneone").await;
}

/// What was opened before clients are sent elsewhere goes on to hear from where it is, and is counted until it ends.
async fn goes_on(house: &House, mut open: TcpStream, words: &str) {
    house.point(&house.two).await.unwrap();
    assert_eq!(ask(house.port).await.unwrap(), "two");
    said(&mut open, words).await;
    let look = house.look().await;
    assert_eq!(look.sessions_at(house.one.address), Some(1));
    assert_eq!(look.sessions_at(house.two.address), Some(0));
    drop(open);
    until("it is over", || async {
        (house.look().await.sessions_at(house.one.address) == Some(0)).then_some(())
    })
    .await;
}

/// HAProxy has connections to its servers that clients' next requests go over, whatever its server's address is then.
#[tokio::test]
async fn clients_that_keep_their_connections_go_elsewhere_too() {
    let house = House::new().await;
    let (elsewhere, over) = (Arc::default(), Arc::default());
    let clients = [(); 4].map(|()| {
        let (elsewhere, over) = (Arc::clone(&elsewhere), Arc::clone(&over));
        tokio::spawn(keeping(house.port, elsewhere, over))
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.point(&house.two).await.unwrap();
    elsewhere.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Ordering::SeqCst);
    for client in clients {
        let (two, one) = client.await.unwrap();
        assert!(two > 10 && one == 0, "{two} went to two, {one} to one");
    }
}

/// Asks on one connection until it is over: how many requests of after the change went to each.
async fn keeping(port: u16, elsewhere: Arc<AtomicBool>, over: Arc<AtomicBool>) -> (u32, u32) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut two, mut one) = (0, 0);
    while !over.load(Ordering::SeqCst) {
        let after = elsewhere.load(Ordering::SeqCst);
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            .await
            .unwrap();
        let (mut answer, mut piece) = (String::new(), [0; 512]);
        while !(answer.ends_with("one") || answer.ends_with("two")) {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the connection is kept");
            answer.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        two += u32::from(after && answer.ends_with("two"));
        one += u32::from(after && answer.ends_with("one"));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    (two, one)
}

#[tokio::test]
async fn a_server_whose_checks_failed_or_that_is_set_aside_takes_clients_again() {
    let mut house = House::with("admin", " check inter 200 fall 1 rise 30").await;
    let one = house.one.address;
    house.one = Application::new("elsewhere").await;
    until("the checks fail", || async {
        (!house.look().await.up).then_some(())
    })
    .await;
    house.point(&house.two).await.unwrap();
    let look = house.look().await;
    assert!(look.points_at(house.two.address) && !look.points_at(one));
    assert_eq!(ask(house.port).await.unwrap(), "two");
    let socket = house.folder.0.join("h.sock");
    let mut admin = UnixStream::connect(socket).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut admin, b"set server shop/s1 state maint\n")
        .await
        .unwrap();
    admin.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(!house.look().await.takes);
    house.point(&house.two).await.unwrap();
    assert!(house.look().await.points_at(house.two.address));
}

#[tokio::test]
async fn owner_and_mode_of_the_file_stay_and_a_link_stays_a_link() {
    let mut house = House::new().await;
    let (real, link) = (house.file.clone(), house.folder.0.join("link.cfg"));
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may give a file away; anybody else keeps its own.
    let owner = if chown(&real, Some(1234), Some(2345)).is_ok() {
        (1234, 2345)
    } else {
        let ours = std::fs::metadata(&real).unwrap();
        (ours.uid(), ours.gid())
    };
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let balancer = json!({"kind": "haproxy", "socket": house.folder.0.join("h.sock"), "backend": "shop", "file": link});
    house.front = front(&balancer, &["s1"]);
    // One that was killed in the middle of it left this.
    house.folder.write(".haproxy.cfg.sternway", "half a fi");
    house.point(&house.two).await.unwrap();
    assert!(house.text().contains(&house.two.address.to_string()));
    let after = std::fs::metadata(&real).unwrap();
    assert_eq!((after.uid(), after.gid()), owner);
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert!(link.is_symlink());
    assert!(!house.folder.0.join(".haproxy.cfg.sternway").exists());
}

#[tokio::test]
async fn a_file_that_was_edited_is_refused_with_what_is_there() {
    let house = House::new().await;
    let edited = house.text().replace("server s1 ", "server web1 ");
    std::fs::write(&house.file, &edited).unwrap();
    let Some(Filed::Unfit(why)) = house.look().await.filed else {
        panic!("the file is taken for fit");
    };
    assert!(
        why.contains("server s1 ADDRESS:PORT") && why.contains("there is web1"),
        "{why}"
    );
    let trouble = house.point(&house.two).await.unwrap_err();
    assert!(
        matches!(&trouble, Trouble::File(why) if why.contains("found 0")),
        "{trouble}"
    );
    assert_eq!(house.text(), edited);
    // The way back does not depend on a file: clients are sent where they should go all the same.
    assert_eq!(ask(house.port).await.unwrap(), "two");
}

#[tokio::test]
async fn nothing_is_changed_once_the_claim_is_over() {
    let house = House::new().await;
    let before = house.text();
    for calls in 0..3 {
        let left = AtomicI32::new(calls);
        let holds = || left.fetch_sub(1, Ordering::Relaxed) > 0;
        let asked = house
            .balancers
            .point(&house.front, "s1", house.two.address, &holds);
        assert_eq!(asked.await, Err(Trouble::Fenced), "after {calls} calls");
        assert_eq!(house.text(), before);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_who_does_not_answer() {
    let mut house = House::new().await;
    let socket = house.folder.0.join("h.sock");
    let balancer = |backend: &str| json!({"kind": "haproxy", "socket": socket, "backend": backend});
    let look = house
        .balancers
        .look(&front(&balancer("shop"), &["s9"]), false)
        .await;
    assert!(look.unwrap().servers.is_empty());
    let trouble = house
        .balancers
        .look(&front(&balancer("nope"), &["s1"]), false)
        .await;
    assert!(
        matches!(&trouble, Err(Trouble::Refused(why)) if why.contains("backend `nope`")),
        "{trouble:?}"
    );
    let absent = front(&balancer("shop"), &["s9"]);
    let trouble = house
        .balancers
        .point(&absent, "s9", house.two.address, ALWAYS)
        .await;
    assert!(
        matches!(&trouble, Err(Trouble::Refused(why)) if why.contains("No such server")),
        "{trouble:?}"
    );
    house.haproxy.take().unwrap().kill().await;
    let trouble = house.point(&house.two).await;
    assert!(
        matches!(&trouble, Err(Trouble::Unreachable(why)) if why.contains("refused")),
        "{trouble:?}"
    );
}

#[tokio::test]
async fn a_socket_that_may_only_look_is_known_before_anything_is_touched() {
    let house = House::with("operator", "").await;
    let trouble = house.balancers.look(&house.front, false).await.unwrap_err();
    assert!(
        trouble.to_string().contains("needs `level admin`"),
        "{trouble}"
    );
}

#[tokio::test]
async fn an_answer_without_end_and_one_that_never_comes_are_given_up() {
    let folder = Folder::new();
    for (name, endless) in [("endless", true), ("silent", false)] {
        let socket = folder.0.join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    while endless
                        && tokio::io::AsyncWriteExt::write_all(&mut stream, &[b'x'; 65536])
                            .await
                            .is_ok()
                    {}
                    tokio::time::sleep(Duration::from_secs(60)).await;
                });
            }
        });
        let balancer = json!({"kind": "haproxy", "socket": socket, "backend": "shop"});
        let begun = std::time::Instant::now();
        let look = Balancers::new()
            .unwrap()
            .look(&front(&balancer, &["s1"]), false)
            .await;
        assert!(look.is_err());
        assert!(begun.elapsed() < Duration::from_secs(10));
        task.abort();
    }
}
