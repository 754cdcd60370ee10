//! What of a create body may be shown to everybody who may look, and stands in the clear at rest. Everything that is not
//! named here may hold a secret: command lines, labels, health commands, options of log and volume drivers.

use serde_json::{Map, Value};

const TOP: [&str; 16] = [
    "Domainname",
    "ExposedPorts",
    "Healthcheck",
    "HostConfig",
    "Hostname",
    "MacAddress",
    "NetworkDisabled",
    "NetworkingConfig",
    "OpenStdin",
    "StdinOnce",
    "StopSignal",
    "StopTimeout",
    "Tty",
    "User",
    "Volumes",
    "WorkingDir",
];
const HEALTH: [&str; 5] = [
    "Interval",
    "Retries",
    "StartInterval",
    "StartPeriod",
    "Timeout",
];
const HOST: [&str; 61] = [
    "AutoRemove",
    "Binds",
    "BlkioWeight",
    "CapAdd",
    "CapDrop",
    "Cgroup",
    "CgroupParent",
    "CgroupnsMode",
    "CpuCount",
    "CpuPercent",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "DeviceCgroupRules",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "Init",
    "IpcMode",
    "Isolation",
    "KernelMemory",
    "Links",
    "LogConfig",
    "MaskedPaths",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "Mounts",
    "NanoCpus",
    "NetworkMode",
    "OomKillDisable",
    "OomScoreAdj",
    "PidMode",
    "PidsLimit",
    "PortBindings",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyPaths",
    "ReadonlyRootfs",
    "RestartPolicy",
    "Runtime",
    "SecurityOpt",
    "ShmSize",
    "Sysctls",
    "Tmpfs",
    "UTSMode",
    "Ulimits",
    "UsernsMode",
    "VolumeDriver",
    "VolumesFrom",
    "ConsoleSize",
];
const LOG: [&str; 1] = ["Type"];
const MOUNT: [&str; 6] = [
    "BindOptions",
    "Consistency",
    "ReadOnly",
    "Source",
    "Target",
    "Type",
];
const ENDPOINT: [&str; 5] = ["Aliases", "GwPriority", "IPAMConfig", "Links", "MacAddress"];

/// The body with these parts only.
pub(super) fn shown(body: &Value) -> Value {
    let mut shown = only(body, &TOP);
    inside(&mut shown, "Healthcheck", |health| only(health, &HEALTH));
    inside(&mut shown, "HostConfig", |host| {
        let mut host = only(host, &HOST);
        inside(&mut host, "LogConfig", |log| only(log, &LOG));
        inside(&mut host, "Mounts", |mounts| {
            let each = mounts.as_array().into_iter().flatten();
            each.map(|mount| only(mount, &MOUNT)).collect()
        });
        host
    });
    inside(&mut shown, "NetworkingConfig", |networking| {
        let networks = networking["EndpointsConfig"]
            .as_object()
            .into_iter()
            .flatten();
        let endpoints: Map<String, Value> = networks
            .map(|(name, endpoint)| (name.clone(), only(endpoint, &ENDPOINT)))
            .collect();
        serde_json::json!({ "EndpointsConfig": endpoints })
    });
    shown
}

fn only(whole: &Value, names: &[&str]) -> Value {
    let fields = whole.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| names.contains(&name.as_str()));
    Value::Object(
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn inside(body: &mut Value, name: &str, narrow: impl FnOnce(&Value) -> Value) {
    if let Some(part) = body.get_mut(name).filter(|part| !part.is_null()) {
        *part = narrow(part);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_named_is_shown() {
        let secret = "tweety";
        let body = json!({
            "Cmd": [secret], "Entrypoint": [secret], "Labels": {"traefik.auth": secret}, "OnBuild": [secret],
            "User": "1000", "WorkingDir": "/srv",
            "Healthcheck": {"Test": ["CMD", secret], "Interval": 5},
            "HostConfig": {"Memory": 7, "LogConfig": {"Type": "splunk", "Config": {"splunk-token": secret}},
                "Annotations": {"a": secret}, "DeviceRequests": [{"Options": {"a": secret}}],
                "Mounts": [{"Type": "volume", "Target": "/data", "VolumeOptions": {"DriverConfig": {"Options": {"o": secret}}}}]},
            "NetworkingConfig": {"EndpointsConfig": {"shop": {"Aliases": ["api"], "DriverOpts": {"a": secret}}}},
        });
        let shown = shown(&body);
        assert!(!shown.to_string().contains(secret), "{shown}");
        assert_eq!(
            shown["HostConfig"],
            json!({"Memory": 7, "LogConfig": {"Type": "splunk"},
            "Mounts": [{"Type": "volume", "Target": "/data"}]})
        );
        assert_eq!(shown["Healthcheck"], json!({"Interval": 5}));
        assert_eq!(
            shown["NetworkingConfig"]["EndpointsConfig"]["shop"],
            json!({"Aliases": ["api"]})
        );
        assert_eq!(
            (&shown["User"], &shown["WorkingDir"]),
            (&json!("1000"), &json!("/srv"))
        );
    }

    #[test]
    fn a_body_that_is_none_shows_nothing() {
        for odd in [
            json!(null),
            json!([1]),
            json!("x"),
            json!({"HostConfig": null}),
        ] {
            assert!(!shown(&odd).to_string().contains('x'), "{odd}");
        }
    }
}
