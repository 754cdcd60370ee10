//! A server of its own for each test, on a database of its own.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use api::{ApiSettings, NotReady, Server, Surroundings, Token, TokenType};
use domain::{
    name::{Actor, ApplicationName, RollbackId},
    time::Millis,
};
use serde_json::{Value, json};
use store::{NewToken, PgConnectOptions, Role, SecretKey, Store, StoreSettings, TokenKind, Wake};
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    cardboard::{Cardboard, now, shop},
    client::{Ask, Reply},
    postgres_fixture::Postgres,
};

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static CLONING: Mutex<()> = Mutex::const_new(());
static CLONES: AtomicU32 = AtomicU32::new(0);

pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) database: String,
    pub(crate) socket: PathBuf,
    pub(crate) store: Store,
    pub(crate) worker: Cardboard,
    pub(crate) admin: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: tokio::task::JoinHandle<()>,
}

fn options(database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(SERVER.socket_folder().to_str().unwrap())
        .username("postgres")
        .database(database)
}

/// A session of its own that does this and ends.
pub(crate) fn psql(database: &str, statements: &str) -> std::process::Child {
    SERVER
        .program("psql")
        .args(["-qX", "-d", database, "-c", statements])
        .spawn()
        .unwrap()
}

fn createdb(arguments: &[&str]) {
    let made = SERVER.program("createdb").args(arguments).output().unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

async fn database() -> String {
    TEMPLATE
        .get_or_init(|| async {
            createdb(&["house"]);
            store::migrate(&options("house")).await.unwrap();
        })
        .await;
    let _turn = CLONING.lock().await;
    let name = format!("house_{}", CLONES.fetch_add(1, Ordering::Relaxed));
    createdb(&["--template=house", &name]);
    name
}

impl House {
    pub(crate) async fn new() -> Self {
        let database = database().await;
        let key = SecretKey::from_bytes([7; 32]);
        let settings = StoreSettings {
            connections: 8,
            ..StoreSettings::default()
        };
        let store = Store::connect(options(&database), settings, key, Wake::default())
            .await
            .unwrap();
        let socket = SERVER.socket_folder().join(format!("{database}.sock"));
        let server = Server::bind(ApiSettings {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            unix_socket: Some(socket.clone()),
            version: "0.1.0-test".to_owned(),
        });
        let server = server.await.unwrap();
        let address = server.addresses()[0];
        let shutdown = CancellationToken::new();
        let ready = store.clone();
        let surroundings = Surroundings {
            readiness: Arc::new(move || {
                let store = ready.clone();
                Box::pin(async move { not_ready(&store).await })
            }),
            metrics: None,
        };
        let served = tokio::spawn(server.run(store.clone(), surroundings, shutdown.clone()));
        let worker = Cardboard::start(store.clone());
        let mut house = Self {
            address,
            database,
            socket,
            store,
            worker,
            admin: String::new(),
            shutdown,
            served,
        };
        house.admin = house
            .token("admin", TokenKind::Person, Role::Admin, None)
            .await;
        house
    }

    /// A token made behind the API's back.
    pub(crate) async fn token(
        &self,
        person: &str,
        kind: TokenKind,
        role: Role,
        applications: Option<&[&str]>,
    ) -> String {
        let days = 30_u64;
        self.token_until(
            person,
            kind,
            role,
            applications,
            now().after(Millis(days * 86_400_000)),
        )
        .await
    }

    pub(crate) async fn token_until(
        &self,
        person: &str,
        kind: TokenKind,
        role: Role,
        applications: Option<&[&str]>,
        expires_at: domain::time::Moment,
    ) -> String {
        let token = Token::generate(TokenType::Person).unwrap();
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.parse().unwrap())
                .collect::<Vec<ApplicationName>>()
        };
        let new = NewToken {
            id: Uuid::now_v7(),
            name: format!("{person}'s"),
            kind,
            person: person.parse().unwrap(),
            role,
            applications: applications.map(names),
            hash: token.hash(),
            created_by: "test".parse::<Actor>().unwrap(),
            expires_at,
        };
        self.store.token_create(&new).await.unwrap();
        token.reveal().to_owned()
    }

    pub(crate) async fn send(&self, ask: Ask) -> Reply {
        ask.token(&self.admin).to(self.address).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Ask::new("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Ask::new("POST", path).json(body)).await
    }

    pub(crate) async fn application(&self, definition: &Value) -> Reply {
        let path = format!(
            "/api/v1/applications/{}",
            definition["name"].as_str().unwrap()
        );
        self.send(Ask::new("PUT", &path).json(definition)).await
    }

    pub(crate) async fn deploy(&self, name: &str, version: &str) -> Value {
        let body = json!({"version": version, "images": {"api": format!("shop-api:{version}")}});
        self.post(&format!("/api/v1/applications/{name}/deployments"), &body)
            .await
            .ok(201)
    }

    /// An application that runs 1.5.0, with 1.4.2 proved good.
    pub(crate) async fn with_history(&self, name: &str) {
        self.application(&shop(name)).await.ok(201);
        let good = self.deploy(name, "1.4.2").await;
        self.worker
            .judge_good(good["id"].as_str().unwrap().parse().unwrap())
            .await;
        self.deploy(name, "1.5.0").await;
    }

    pub(crate) async fn plan(&self, name: &str) -> String {
        let plan = self
            .post(&format!("/api/v1/applications/{name}/plans"), &json!({}))
            .await
            .ok(200);
        plan["digest"].as_str().unwrap().to_owned()
    }

    /// A request as somebody.
    pub(crate) fn ask_rollback(token: &str, digest: &str, key: &str) -> Ask {
        let body = json!({"plan_digest": digest, "reason": "critical_bug", "note": "500s"});
        Ask::new("POST", "/api/v1/rollbacks")
            .token(token)
            .header("idempotency-key", key)
            .json(&body)
    }

    /// A rollback of an application with history.
    pub(crate) async fn rollback(&self, name: &str) -> RollbackId {
        let digest = self.plan(name).await;
        let asked = Self::ask_rollback(&self.admin, &digest, &Uuid::now_v7().to_string())
            .to(self.address)
            .await;
        RollbackId(asked.ok(202)["id"].as_str().unwrap().parse().unwrap())
    }
}

async fn not_ready(store: &Store) -> Vec<NotReady> {
    match store.ready().await {
        Ok(_) => Vec::new(),
        Err(error) => vec![NotReady {
            what: "database".to_owned(),
            sentence: error.to_string(),
        }],
    }
}
