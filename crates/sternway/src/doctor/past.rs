//! Looks at the ways back: of each application, whether the releases that are kept could come back. It asks the server
//! for what it found the last time; it looks at no engine.

use super::Finding;
use crate::{
    cli::args::Globals,
    client::{
        Client,
        answers::{ApplicationItem, Listing, ReleaseAnswer, ReleasesAnswer},
        segment,
    },
};

/// Applications that are looked at: a doctor is asked by a person, who waits.
const APPLICATIONS_MAX: u32 = 100;

/// Looks at each application that this client may see. Without a server there is nothing to say: that it does not run
/// is said already.
pub async fn look(globals: &Globals) -> Vec<Finding> {
    let Ok(client) = Client::new(globals) else {
        return Vec::new();
    };
    let path = format!("/api/v1/applications?limit={APPLICATIONS_MAX}");
    let Ok(reply) = client.get(&path).await else {
        return Vec::new();
    };
    let Ok(listing) = reply.read::<Listing<ApplicationItem>>() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for item in listing.items {
        let name = item.application.name.as_str();
        let path = format!("/api/v1/applications/{}/releases", segment(name));
        let Ok(reply) = client.get(&path).await else {
            continue;
        };
        let Ok(releases) = reply.read::<ReleasesAnswer>() else {
            continue;
        };
        findings.extend(of(name, &releases.items));
    }
    findings
}

fn of(application: &str, releases: &[ReleaseAnswer]) -> Vec<Finding> {
    let judged = releases
        .iter()
        .filter_map(|release| Some((release, release.readiness.as_ref()?)));
    let broken = judged.clone().filter(|(_, readiness)| readiness.broken);
    let mut findings: Vec<Finding> = broken
        .map(|(release, readiness)| {
            let found = format!("{application} {}: {}", release.version, readiness.sentence);
            let fix = readiness.next_action.clone();
            Finding::fail(
                "way back",
                found,
                fix.unwrap_or_else(|| "look at it".to_owned()),
            )
        })
        .collect();
    let kept = judged
        .filter(|(_, readiness)| !readiness.retained.is_empty())
        .count();
    if findings.is_empty() && kept > 0 {
        let found = format!("{application}: none of {kept} kept versions is known to be broken");
        findings.push(Finding::ok("way back", found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn release(version: &str, broken: bool) -> ReleaseAnswer {
        let at = "2026-11-21T09:00:00Z";
        let value = serde_json::json!({
            "version": version, "deployment": uuid::Uuid::nil(), "deployed_at": at, "components": {},
            "readiness": {"code": if broken { "gone" } else { "ready" }, "sentence": "image x is nowhere",
                "next_action": "load it", "retained": ["good"], "broken": broken, "since": at, "checked_at": at},
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_broken_way_back_fails() {
        let found = of("shop", &[release("1.4.2", true), release("1.4.1", false)]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].state, found[0].found.as_str()),
            (State::Fail, "shop 1.4.2: image x is nowhere")
        );
        assert_eq!(of("shop", &[release("1.4.1", false)])[0].state, State::Ok);
        assert!(of("shop", &[]).is_empty());
    }
}
