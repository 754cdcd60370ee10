//! A real registry on the loopback: Debian's `docker-registry`, with its blobs in a folder of its own.

use std::net::TcpStream;

use super::{
    application::Application,
    child::{Folder, Process, bound, log_file},
    server::free_port,
    wait::{seconds, until},
};

/// A registry that goes with its owner.
pub(crate) struct Registry {
    server: Option<Process>,
    port: u16,
    folder: Folder,
}

impl Registry {
    pub(crate) fn new() -> Self {
        // Any address of 127.0.0.0/8 may be spoken to without TLS.
        let (port, folder) = (free_port(), Folder::new("registry"));
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.join("blobs").display()
        );
        std::fs::write(folder.join("config.yml"), config).expect("our own folder");
        let mut registry = Self {
            server: None,
            port,
            folder,
        };
        registry.up();
        registry
    }

    pub(crate) fn up(&mut self) {
        let mut command = bound("docker-registry");
        command.arg("serve").arg(self.folder.join("config.yml"));
        let log = log_file(&self.folder.join("log"));
        command
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log);
        self.server = Some(Process::start(command));
        until("the registry listens", seconds(20), || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    pub(crate) fn down(&mut self) {
        self.server = None;
    }

    /// Its address with a repository in it.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Pushes a version of an application, as CI does before it deploys. As long as the tag that it did so by is there, the
    /// engine knows the image's digest in the registry.
    pub(crate) fn push(&self, shop: &Application, version: &str) {
        let remote = format!("{}:{version}", self.repository(&shop.name));
        let local = shop.image(version);
        for words in [vec!["tag", &local, &remote], vec!["push", "-q", &remote]] {
            let output = shop.engine.docker(&words);
            assert!(
                output.status.success(),
                "{words:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
