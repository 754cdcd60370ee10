//! A real Prometheus that watches an application, and a real Alertmanager that tells Sternway.

use super::{
    child::{Folder, Process, bound, log_file, tail},
    server::free_port,
    wait::{seconds, until},
    wire::Place,
};

/// Both, from Debian's packages, with folders and ports of their own.
pub(crate) struct Watchmen {
    prometheus: Process,
    port: u16,
    _alertmanager: Process,
    folder: Folder,
}

impl Watchmen {
    /// Asks the application every second; while its failures grow, an alert fires and is told to `hook` with this bearer
    /// token, and told again when it is over.
    pub(crate) fn new(application: &str, port: u16, hook: &str, token: &str) -> Self {
        let folder = Folder::new("watchmen");
        let (alertmanager, own) = (free_port(), free_port());
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("our own folder");
        };
        write(
            "alertmanager.yml",
            &format!(
                "route: {{receiver: sternway, group_by: [alertname, job], group_wait: 0s, group_interval: 1s, \
                 repeat_interval: 1m}}\n\
                 receivers:\n- name: sternway\n  webhook_configs:\n  - url: {hook}\n    send_resolved: true\n    \
                 http_config: {{authorization: {{credentials: {token}}}}}\n"
            ),
        );
        write(
            "rules.yml",
            "groups:\n- name: shop\n  rules:\n  - alert: ApplicationFails\n    \
             expr: increase(demo_failures_total[10s]) > 0\n    labels: {severity: critical}\n    \
             annotations: {summary: 'answers fail'}\n",
        );
        write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [rules.yml]\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n\
                 scrape_configs:\n- job_name: {application}\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
            ),
        );
        let alertmanager_process = launch(
            &folder,
            "prometheus-alertmanager",
            alertmanager,
            &[
                ("--config.file", "alertmanager.yml"),
                ("--storage.path", "alertmanager"),
            ],
            &["--cluster.listen-address="],
        );
        let prometheus_process = launch(
            &folder,
            "prometheus",
            own,
            &[
                ("--config.file", "prometheus.yml"),
                ("--storage.tsdb.path", "prometheus"),
            ],
            &[],
        );
        Self {
            prometheus: prometheus_process,
            port: own,
            _alertmanager: alertmanager_process,
            folder,
        }
    }

    /// Where the Prometheus is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Takes the Prometheus away.
    pub(crate) fn go_blind(&mut self) {
        self.prometheus.kill();
    }

    /// What both said last, for a story that fails.
    pub(crate) fn said(&self) -> String {
        ["prometheus", "prometheus-alertmanager"]
            .map(|name| tail(&self.folder.join(&format!("{name}.log")), 5))
            .join("\n")
    }
}

/// Starts one of them and waits until it is ready.
fn launch(
    folder: &Folder,
    program: &str,
    port: u16,
    files: &[(&str, &str)],
    more: &[&str],
) -> Process {
    let mut command = bound(program);
    for (option, name) in files {
        command.arg(format!("{option}={}", folder.join(name).display()));
    }
    command
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(more);
    let log = log_file(&folder.join(&format!("{program}.log")));
    command
        .stdout(log.try_clone().expect("a log can be shared"))
        .stderr(log);
    let process = Process::start(command);
    let place = Place::Tcp(([127, 0, 0, 1], port).into());
    until(&format!("{program} is ready"), seconds(60), || {
        let reply = place.ask("GET", "/-/ready", &[], &[], seconds(2)).ok()?;
        (reply.status == 200).then_some(())
    });
    process
}
