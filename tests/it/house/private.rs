//! An engine of a test's own, in namespaces of its own: it may be killed, restarted and filled up.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::{
    child::{Folder, Process, bound, bound_by, log_file, tail},
    engine::{ANSWER_LIMIT, Engine},
    wait::{seconds, until},
    wire::Place,
};

/// Its containers can only be reached from inside its network, so the server has to run inside as well.
pub(crate) struct PrivateEngine {
    pub(crate) engine: Engine,
    daemon: Option<Process>,
    holder: Process,
    options: Vec<String>,
    folder: Folder,
}

impl PrivateEngine {
    /// `size_mib` limits its disk.
    pub(crate) fn new(size_mib: Option<u32>, options: &[&str]) -> Self {
        let folder = Folder::new("engine");
        std::fs::create_dir_all(folder.join("data")).expect("our own folder");
        let disk = size_mib.map_or_else(String::new, |size| {
            format!("mount -t tmpfs -o size={size}m tmpfs \"$1/data\";")
        });
        let script = format!(
            "set -e; ip link set lo up; mount -t tmpfs tmpfs /run; {disk} touch \"$1/ready\"; exec sleep infinity"
        );
        let mut command = bound("unshare");
        command
            .args(["--net", "--mount", "sh", "-c", &script, "sh"])
            .arg(folder.path());
        let log = log_file(&folder.join("holder.log"));
        command
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log);
        let holder = Process::start(command);
        until(
            "the private engine's namespaces are ready",
            seconds(10),
            || folder.join("ready").exists().then_some(()),
        );
        let engine = Engine::at(folder.join("sock"));
        let options = options.iter().map(|&text| text.to_owned()).collect();
        let mut private = Self {
            engine,
            daemon: None,
            holder,
            options,
            folder,
        };
        private.start();
        private.load("sternway-demo:1.4.2");
        private.load("sternway-demo:1.5.0");
        private
    }

    /// The words before a command that shall run in the engine's network and on its disks.
    pub(crate) fn entrance(&self) -> Vec<String> {
        let place = format!("/proc/{}/ns", self.holder.pid());
        [
            "nsenter",
            &format!("--net={place}/net"),
            &format!("--mount={place}/mnt"),
            "--",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn enter(&self, signal: &str, program: &str) -> Command {
        let words = self.entrance();
        let mut command = bound_by(signal, &words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    /// Starts dockerd, for the first time or again.
    pub(crate) fn start(&mut self) {
        // Asked to stop, not killed, when we die: it takes its containers with it.
        let mut command = self.enter("TERM", "dockerd");
        let at = |name: &str| self.folder.join(name).display().to_string();
        command.args([
            "--data-root",
            &at("data"),
            "--exec-root",
            &at("exec"),
            "--pidfile",
            &at("pid"),
        ]);
        command
            .args(["-H", &self.engine.host()])
            .args(&self.options);
        let log = log_file(&self.folder.join("dockerd.log"));
        command
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log);
        // After a kill -9 both files name processes that are gone, perhaps as zombies that look alive.
        for stale in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(self.folder.join(stale));
        }
        self.daemon = Some(Process::start(command));
        until("the private engine answers", seconds(60), || {
            self.engine.answers().then_some(())
        });
    }

    /// kill -9 of dockerd.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// An orderly stop, containers included.
    pub(crate) fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::TERM);
            daemon.end(seconds(60));
        }
    }

    /// Brings an image over from this machine's engine.
    pub(crate) fn load(&self, image: &str) {
        let from = Engine::of_this_machine();
        let archive = from
            .ask("GET", &format!("/images/{image}/get"), &Value::Null)
            .expect(200);
        let place = Place::Unix(self.engine.socket().clone());
        let headers = [("content-type", "application/x-tar")];
        let reply = place
            .ask(
                "POST",
                "/images/load",
                &headers,
                &archive.body,
                ANSWER_LIMIT,
            )
            .expect("the engine answers");
        reply.expect(200);
    }

    /// Fills what is left of its disk.
    pub(crate) fn fill_up(&self) {
        self.shell(&format!(
            "head -c 4G /dev/zero >{}/data/fill 2>/dev/null; true",
            self.folder.path().display()
        ));
    }

    /// Gives the filled part of its disk back.
    pub(crate) fn free(&self) {
        self.shell(&format!("rm -f {}/data/fill", self.folder.path().display()));
    }

    fn shell(&self, script: &str) {
        let status = self
            .enter("KILL", "sh")
            .args(["-c", script])
            .status()
            .expect("nsenter runs");
        assert!(status.success(), "{script}");
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the private engine's log:\n{}",
                tail(&self.folder.join("dockerd.log"), 15)
            );
        } else if self.daemon.is_none() {
            // Containers outlive a killed dockerd; only another one can end them.
            self.start();
        }
        if self.engine.answers() {
            for container in self.engine.containers("") {
                self.engine
                    .remove(container["Id"].as_str().unwrap_or_default());
            }
        }
        if let Some(daemon) = &mut self.daemon {
            daemon.signal(Signal::TERM);
            for _ in 0..1000 {
                if daemon.ended().is_some() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        self.holder.kill();
    }
}
