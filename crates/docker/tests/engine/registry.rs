//! A real registry on the loopback, gone with its owner.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use crate::house::House;

/// A port below those that the kernel gives to clients and that other processes of these tests take.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 16_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Debian's `docker-registry`, with its blobs in a folder of its own.
pub(crate) struct Registry {
    server: Option<Child>,
    pub(crate) port: u16,
    folder: PathBuf,
}

impl Registry {
    pub(crate) fn start(house: &House) -> Self {
        // Any address of 127.0.0.0/8 may be spoken to without TLS.
        let port = free_port();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(house.named("registry"));
        std::fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.join("blobs").display()
        );
        std::fs::write(folder.join("config.yml"), config).unwrap();
        let mut registry = Self {
            server: None,
            port,
            folder,
        };
        registry.up();
        registry
    }

    pub(crate) fn up(&mut self) {
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "docker-registry", "serve"])
            .arg(self.folder.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed (tests/run.sh does it)");
        self.server = Some(server);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "the registry does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn down(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Its address with a repository in it.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Damages every layer that it has.
    pub(crate) fn damage(&self) {
        let blobs = self.folder.join("blobs/docker/registry/v2/blobs/sha256");
        let mut damaged = 0;
        for prefix in std::fs::read_dir(blobs).unwrap().flatten() {
            for blob in std::fs::read_dir(prefix.path()).unwrap().flatten() {
                let data = blob.path().join("data");
                let mut bytes = std::fs::read(&data).unwrap();
                // Manifests and configurations are small; the program is not.
                if bytes.len() > 100_000 {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0xFF;
                    std::fs::write(&data, bytes).unwrap();
                    damaged += 1;
                }
            }
        }
        assert!(damaged > 0);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.down();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
