//! The published port moves: the one container leaves its networks, the other joins them. What can be asked or
//! prepared is asked and prepared before; between the two calls that clients notice there is nothing else.

use bollard::models::{EndpointIpamConfig, EndpointSettings};
use domain::{
    engine_look::{Live, RestartPolicy},
    name::ContainerId,
    plan::Joint,
    specification::Endpoint,
};

use super::PerformContext;
use crate::{
    connect::Engine,
    error::{Error, Kind},
    look::live,
};

/// What the effect asks for.
pub(super) struct Wanted<'a> {
    pub(super) from: Option<&'a ContainerId>,
    pub(super) to: &'a ContainerId,
    /// Where `to` belongs, the network that gives the gateway first.
    pub(super) joints: &'a [Joint],
    pub(super) restart: Option<&'a RestartPolicy>,
}

impl Engine {
    pub(super) async fn hand_over(
        &self,
        wanted: &Wanted<'_>,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(Some(wanted.to), ctx).await?;
        let kinds = self.network_kinds().await?;
        let joining = self.inspect_there(wanted.to).await?;
        let there = live::read(&joining, &kinds);
        let mut leaving = Live::default();
        if let Some(from) = wanted.from
            && let Some(inspect) = self.inspect(from.as_str()).await?
        {
            leaving = live::read(&inspect, &kinds);
            // An engine that restarts connects what has no network to its first one, port and all.
            ctx.must_hold()?;
            let no = RestartPolicy {
                name: "no".to_owned(),
                retries_max: 0,
            };
            self.restart_policy(from, &inspect, &no).await?;
        }
        self.leave_then_join(wanted, &leaving, &there, ctx).await?;
        for stage in there.networks.iter().filter(|on| on.is_stage()) {
            ctx.must_hold()?;
            self.disconnect(&stage.network, wanted.to).await?;
        }
        if let Some(policy) = wanted.restart {
            ctx.must_hold()?;
            self.restart_policy(wanted.to, &joining, policy).await?;
        }
        Ok(())
    }

    /// Any network that the one keeps takes its ports along, an internal one included: it leaves them all, the one
    /// that gives the gateway last, which the other joins first.
    async fn leave_then_join(
        &self,
        wanted: &Wanted<'_>,
        leaving: &Live,
        there: &Live,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        let mut left: Vec<_> = leaving.networks.iter().collect();
        left.sort_by_key(|on| on.gateway);
        let mut joints = wanted
            .joints
            .iter()
            .filter(|joint| there.on(&joint.network).is_none())
            .map(|joint| (joint, settings(&joint.endpoint)));
        let first = joints.next();
        if let Some(from) = wanted.from {
            for on in left {
                ctx.must_hold()?;
                self.disconnect(&on.network, from).await?;
            }
        }
        for (joint, endpoint) in first.into_iter().chain(joints) {
            ctx.must_hold()?;
            self.connect_to(&joint.network, wanted.to.as_str(), endpoint)
                .await
                .map_err(said_of_a_port)?;
        }
        Ok(())
    }
}

/// The engine's own words are "driver failed programming external connectivity".
fn said_of_a_port(error: Error) -> Error {
    if error.to_string().contains("already allocated") {
        Error::new(
            Kind::Refused,
            format!("its port is still held by another container: {error}"),
        )
    } else {
        error
    }
}

fn settings(endpoint: &Endpoint) -> EndpointSettings {
    let meant = EndpointIpamConfig {
        ipv4_address: endpoint.ipv4.clone(),
        ipv6_address: endpoint.ipv6.clone(),
        link_local_ips: filled(&endpoint.link_local),
    };
    EndpointSettings {
        ipam_config: (meant != EndpointIpamConfig::default()).then_some(meant),
        aliases: filled(&endpoint.aliases),
        links: filled(&endpoint.links),
        driver_opts: (!endpoint.driver_options.is_empty())
            .then(|| endpoint.driver_options.clone().into_iter().collect()),
        gw_priority: (endpoint.gateway_priority != 0).then_some(endpoint.gateway_priority),
        ..EndpointSettings::default()
    }
}

fn filled(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}
