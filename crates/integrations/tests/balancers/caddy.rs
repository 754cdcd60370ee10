//! Caddy as Debian ships it.

use domain::front::{Front, FrontServer};
use integrations::{Balancers, Trouble};
use serde_json::json;

use crate::house::{Application, Folder, Process, ask, free_port, front, until};

const ALWAYS: &(dyn Fn() -> bool + Send + Sync) = &|| true;
const BY_ID: &str = "/id/shop/upstreams/0";
const BY_PATH: &str = "/config/apps/http/servers/shop/routes/0/handle/0/upstreams/0";

struct House {
    folder: Folder,
    caddy: Option<Process>,
    port: u16,
    admin: u16,
    balancers: Balancers,
    one: Application,
    two: Application,
}

impl House {
    async fn new() -> Self {
        let (port, admin) = (free_port(), free_port());
        let (one, two) = (Application::new("one").await, Application::new("two").await);
        let upstream = json!({"@id": "shop", "handler": "reverse_proxy", "upstreams": [{"dial": one.address.to_string()}]});
        let server = json!({"listen": [format!("127.0.0.1:{port}")], "automatic_https": {"disable": true},
                            "routes": [{"handle": [upstream]}]});
        let configuration = json!({"admin": {"listen": format!("127.0.0.1:{admin}")},
                                   "apps": {"http": {"servers": {"shop": server}}}});
        let folder = Folder::new();
        folder.write("caddy.json", &configuration.to_string());
        let mut house = Self {
            folder,
            caddy: None,
            port,
            admin,
            balancers: Balancers::new().unwrap(),
            one,
            two,
        };
        house.start(&[]).await;
        house
    }

    async fn start(&mut self, more: &[&str]) {
        let file = self.folder.0.join("caddy.json").display().to_string();
        let mut arguments = vec!["run", "--config", &file];
        arguments.extend(more);
        self.caddy = Some(Process::start("caddy", &arguments, &self.folder.0));
        let (port, admin) = (self.port, self.admin);
        until("Caddy answers", || async move {
            let body = ask(port).await.ok()?;
            ask(admin).await.ok().map(|_| body)
        })
        .await;
    }

    fn front(&self, server: &str) -> Front {
        let url = format!("http://127.0.0.1:{}", self.admin);
        front(&json!({"kind": "caddy", "url": url}), &[server])
    }

    async fn look(&self, server: &str) -> Option<FrontServer> {
        let look = self.balancers.look(&self.front(server), true).await;
        look.unwrap().servers.remove(server)
    }

    async fn point(&self, server: &str, to: &Application) -> Result<(), Trouble> {
        let front = self.front(server);
        self.balancers
            .point(&front, server, to.address, ALWAYS)
            .await
    }
}

#[tokio::test]
async fn clients_go_elsewhere_by_id_and_by_path_and_stay_there_when_caddy_resumes() {
    let mut house = House::new().await;
    for server in [BY_ID, BY_PATH] {
        assert!(
            house
                .look(server)
                .await
                .unwrap()
                .points_at(house.one.address)
        );
        house.point(server, &house.two).await.unwrap();
        assert_eq!(ask(house.port).await.unwrap(), "two");
        assert!(
            house
                .look(server)
                .await
                .unwrap()
                .points_at(house.two.address)
        );
        house.point(server, &house.two).await.unwrap();
        house.point(server, &house.one).await.unwrap();
        assert_eq!(ask(house.port).await.unwrap(), "one");
    }
    house.point(BY_ID, &house.two).await.unwrap();
    house.caddy.take().unwrap().kill().await;
    house.start(&["--resume"]).await;
    assert_eq!(ask(house.port).await.unwrap(), "two");
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_who_does_not_answer() {
    let mut house = House::new().await;
    for server in [
        "/id/nope/upstreams/0",
        "/id/shop/upstreams/7",
        "/id/shop/nope/0",
        "/config/apps/http/servers/nope/routes/0/handle/0/upstreams/0",
    ] {
        assert_eq!(house.look(server).await, None, "{server}");
        let refused = house.point(server, &house.two).await;
        assert!(
            matches!(refused, Err(Trouble::Refused(_))),
            "{server}: {refused:?}"
        );
    }
    house.caddy.take().unwrap().kill().await;
    let trouble = house.point(BY_ID, &house.two).await;
    assert!(
        matches!(&trouble, Err(Trouble::Unreachable(why)) if why.contains("refused")),
        "{trouble:?}"
    );
}

#[tokio::test]
async fn nothing_is_changed_once_the_claim_is_over() {
    let house = House::new().await;
    let front = house.front(BY_ID);
    let asked = house
        .balancers
        .point(&front, BY_ID, house.two.address, &|| false);
    assert_eq!(asked.await, Err(Trouble::Fenced));
    assert_eq!(ask(house.port).await.unwrap(), "one");
}
