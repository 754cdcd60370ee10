//! Where a front that follows is pointed when no rollback acts: a deployment or a restart of the engine gives a
//! container another address, and clients shall not wait for a person to correct a line.

use std::net::SocketAddr;

use super::{Front, FrontLook, FrontServer};
use crate::{
    application::Component,
    engine_look::{Container, EngineLook},
    plan::is_interim_name,
    seen::Seen,
};

/// A server to point, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The server.
    pub server: String,
    /// Where its clients are to be sent.
    pub to: SocketAddr,
}

/// What to point a component's front at. Nothing where it does not follow, where a rollback holds the application on
/// its engine, and where it is not plain which container is a replica.
///
/// # Errors
/// Why the balancer could not be looked at.
pub fn follow(component: &Component, look: &EngineLook) -> Result<Vec<Aim>, String> {
    let Some(front) = component.front.as_ref().filter(|front| front.follow) else {
        return Ok(Vec::new());
    };
    if look.lock.as_ref().is_some_and(|lock| !lock.stale) {
        return Ok(Vec::new());
    }
    let known = match look.fronts.get(&component.name) {
        Some(Seen::Known(known)) => known,
        Some(Seen::Unknown(why)) => return Err(why.clone()),
        Some(Seen::Absent) | None => return Err("it was not looked at".to_owned()),
    };
    let servers = (1..).zip(&front.servers);
    Ok(servers
        .filter_map(|(replica, name)| aim(component, front, known, replica, name, look))
        .collect())
}

fn aim(
    component: &Component,
    front: &Front,
    known: &FrontLook,
    replica: u32,
    name: &str,
    look: &EngineLook,
) -> Option<Aim> {
    let server = known.servers.get(name)?;
    let of_it = |container: &&Container| {
        container.component == component.name && container.replica == replica && container.runs()
    };
    let running: Vec<&Container> = look.containers.iter().filter(of_it).collect();
    let own = running
        .iter()
        .filter(|container| !is_interim_name(&container.name));
    let [own] = own.collect::<Vec<_>>()[..] else {
        return None;
    };
    let at = |container: &Container| Some(SocketAddr::new(container.address?, front.port));
    let to = at(own)?;
    let elsewhere = server.address.is_some() && server.address != Some(to);
    let known_there = running
        .iter()
        .any(|container| elsewhere && at(container) == server.address);
    (!known_there && is_off(server, to)).then(|| Aim {
        server: name.to_owned(),
        to,
    })
}

/// A server that somebody took out of service stays out.
fn is_off(server: &FrontServer, to: SocketAddr) -> bool {
    server.takes && !(server.aims_at(to) && server.files(to))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{application::Application, front::Filed};

    const FORMER: &str = "172.18.0.2:8080";
    const NOW: &str = "172.18.0.5:8080";

    fn shop() -> Application {
        serde_json::from_value(json!({"name": "shop", "environment": "production", "project": "shop", "components": [
            {"name": "api", "front": {
                "balancer": {"kind": "haproxy", "socket": "/run/h.sock", "backend": "api", "file": "/etc/h.cfg"},
                "servers": ["api-1"], "port": 8080, "follow": true}}]}))
        .unwrap()
    }

    fn container(name: &str, state: &str, address: &str) -> Value {
        let id = format!("{:0>64}", name.len());
        json!({"id": id, "name": name, "component": "api", "replica": 1, "image": format!("sha256:{}", "a".repeat(64)),
               "state": state, "health": "none", "started_at": null, "restarts": 0, "exit_code": 0,
               "restart": {"name": "no", "retries_max": 0}, "address": address, "auto_remove": false,
               "stop_grace_s": 10, "mark": null, "specification": null})
    }

    fn server(address: &str, filed: &str) -> FrontServer {
        FrontServer {
            address: Some(address.parse().unwrap()),
            takes: true,
            up: true,
            filed: Some(Filed::Says(filed.parse().unwrap())),
            sessions: Seen::Absent,
        }
    }

    fn look(containers: &[Value], server: FrontServer) -> EngineLook {
        let mut look: EngineLook = serde_json::from_value(json!({
            "at": "2026-11-23T08:00:00Z", "engine": {"name": "h", "version": "20.10", "api_version": "1.41",
            "disk_free": "absent"}, "containers": containers, "images": {}, "names": {}, "kept": {},
            "lock": null}))
        .unwrap();
        let servers = [("api-1".to_owned(), server)].into();
        let seen = Seen::Known(FrontLook { servers });
        look.fronts.insert("api".parse().unwrap(), seen);
        look
    }

    fn aims(look: &EngineLook) -> Vec<String> {
        let aims = follow(&shop().components[0], look).unwrap();
        aims.into_iter().map(|aim| aim.to.to_string()).collect()
    }

    fn running() -> Value {
        container("shop_api_1", "running", "172.18.0.5")
    }

    #[test]
    fn an_address_that_nobody_has_is_followed_and_the_right_one_is_left() {
        assert_eq!(aims(&look(&[running()], server(FORMER, FORMER))), [NOW]);
        assert_eq!(aims(&look(&[running()], server(NOW, NOW))), [""; 0]);
        let by_file = look(&[running()], server(NOW, FORMER));
        assert_eq!(aims(&by_file), [NOW], "a reload would turn it");
    }

    #[test]
    fn where_it_is_not_plain_who_serves_nothing_is_pointed() {
        let stopped = container("shop_api_1", "exited", "172.18.0.5");
        assert_eq!(aims(&look(&[stopped], server(FORMER, FORMER))), [""; 0]);
        assert_eq!(aims(&look(&[], server(FORMER, FORMER))), [""; 0]);
        let twice = [running(), container("other_api_1", "running", "172.18.0.9")];
        assert_eq!(aims(&look(&twice, server(FORMER, FORMER))), [""; 0]);
        let mut out = server(FORMER, FORMER);
        out.takes = false;
        assert_eq!(aims(&look(&[running()], out)), [""; 0], "a person's doing");
    }

    #[test]
    fn it_never_points_at_what_a_rollback_started_nor_away_from_it() {
        let next = container("shop_api_1.next-0123456789ab", "running", "172.18.0.9");
        let both = [running(), next.clone()];
        assert_eq!(aims(&look(&both, server(FORMER, FORMER))), [NOW]);
        let there = server("172.18.0.9:8080", FORMER);
        assert_eq!(aims(&look(&both, there)), [""; 0], "somebody serves there");
        assert_eq!(aims(&look(&[next], server(FORMER, FORMER))), [""; 0]);
    }

    #[test]
    fn while_a_rollback_holds_the_engine_and_without_a_word_of_the_balancer_nothing_is_pointed() {
        let mut held = look(&[running()], server(FORMER, FORMER));
        let lock = json!({"container": "b".repeat(64), "owner": "here", "rollback": uuid::Uuid::nil(),
                          "stale": false});
        held.lock = Some(serde_json::from_value(lock).unwrap());
        assert_eq!(aims(&held), [""; 0]);
        let mut silent = look(&[running()], server(FORMER, FORMER));
        silent.fronts.clear();
        assert!(follow(&shop().components[0], &silent).is_err());
        let mut fixed = shop();
        fixed.components[0].front.as_mut().unwrap().follow = false;
        assert_eq!(follow(&fixed.components[0], &silent), Ok(Vec::new()));
    }
}
