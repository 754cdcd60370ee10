//! The labels by which we find our own containers again, and Compose's that we read.

use std::collections::HashMap;

use domain::{
    engine_look::Mark,
    name::{ApplicationName, ComponentName, ContainerId, Fence, RollbackId, SpecificationDigest},
};

pub(crate) const PREFIX: &str = "sternway.";
pub(crate) const APPLICATION: &str = "sternway.application";
pub(crate) const COMPONENT: &str = "sternway.component";
pub(crate) const ROLLBACK: &str = "sternway.rollback";
pub(crate) const FENCE: &str = "sternway.fence";
pub(crate) const STEP: &str = "sternway.step";
pub(crate) const REPLACES: &str = "sternway.replaces";
pub(crate) const SPECIFICATION: &str = "sternway.specification";
/// Networks that are connected after the creation, as JSON: whoever starts the container sees that none is missing.
pub(crate) const NETWORKS: &str = "sternway.networks";
pub(crate) const KEEP: &str = "sternway.keep";
/// The application whose rollback proves its target on this network.
pub(crate) const STAGE: &str = "sternway.stage";
pub(crate) const LOCK: &str = "sternway.lock";
pub(crate) const OWNER: &str = "sternway.owner";

pub(crate) const COMPOSE_PROJECT: &str = "com.docker.compose.project";
pub(crate) const COMPOSE_SERVICE: &str = "com.docker.compose.service";
pub(crate) const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";
pub(crate) const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
pub(crate) const COMPOSE_SLUG: &str = "com.docker.compose.slug";
pub(crate) const COMPOSE_DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// What Compose compares with its files to tell whether a container is up to date.
pub(crate) const COMPOSE_CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// The image that Compose 2 made a container from.
pub(crate) const COMPOSE_IMAGE: &str = "com.docker.compose.image";
pub(crate) const COMPOSE_VERSION: &str = "com.docker.compose.version";
pub(crate) const COMPOSE_FOLDER: &str = "com.docker.compose.project.working_dir";
pub(crate) const COMPOSE_FILES: &str = "com.docker.compose.project.config_files";
pub(crate) const COMPOSE_ENV_FILE: &str = "com.docker.compose.project.environment_file";
/// Compose v2 notes here which container it is about to replace: never true of a copy.
pub(crate) const COMPOSE_REPLACE: &str = "com.docker.compose.replace";

/// A container's labels.
pub(crate) type Labels = HashMap<String, String>;

/// What a rollback writes on a container that it creates.
#[derive(Clone, Debug)]
pub struct Marks<'a> {
    /// The application.
    pub application: &'a ApplicationName,
    /// The component: a plain container's own name does not say it for ever.
    pub component: &'a ComponentName,
    /// The rollback.
    pub rollback: RollbackId,
    /// Its fence.
    pub fence: Fence,
    /// Index of its step, for people.
    pub step: u16,
    /// The container that is replaced.
    pub replaces: &'a ContainerId,
    /// What it is created from.
    pub specification: &'a SpecificationDigest,
}

impl Marks<'_> {
    pub(crate) fn labels(&self) -> [(String, String); 7] {
        [
            (APPLICATION, self.application.to_string()),
            (COMPONENT, self.component.to_string()),
            (ROLLBACK, self.rollback.to_string()),
            (FENCE, self.fence.0.to_string()),
            (STEP, self.step.to_string()),
            (REPLACES, self.replaces.to_string()),
            (SPECIFICATION, self.specification.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

/// The mark of a rollback of this application; another application's marks mean nothing here.
pub(crate) fn mark(labels: &Labels, application: &ApplicationName) -> Option<Mark> {
    if labels.get(APPLICATION)? != application.as_str() {
        return None;
    }
    Some(Mark {
        rollback: rollback(labels)?,
        fence: fence(labels)?,
        replaces: labels.get(REPLACES)?.parse().ok()?,
    })
}

pub(crate) fn rollback(labels: &Labels) -> Option<RollbackId> {
    let text = labels.get(ROLLBACK)?.clone();
    serde_json::from_value(serde_json::Value::String(text)).ok()
}

pub(crate) fn fence(labels: &Labels) -> Option<Fence> {
    labels.get(FENCE)?.parse().ok().map(Fence)
}

/// The name by which a replica goes: without what a rollback appends to it while two of them exist.
pub(crate) fn replica_name(name: &str) -> &str {
    for infix in [".next-", ".former-"] {
        if let Some((replica, tail)) = name.rsplit_once(infix)
            && tail.len() == 12
            && tail
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return replica;
        }
    }
    name
}

/// The names of a container as a list gives them: `/web`, and `/db/web` for each link to it, which is no name.
pub(crate) fn own_name(names: &[String]) -> Option<&str> {
    names
        .iter()
        .filter_map(|name| name.strip_prefix('/'))
        .find(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_rollback_appended_is_taken_off_a_name() {
        assert_eq!(replica_name("shop_api_1.next-0123456789ab"), "shop_api_1");
        assert_eq!(replica_name("shop_api_1.former-0123456789ab"), "shop_api_1");
        for own in [
            "shop_api_1",
            "web.next-door",
            "web.next-0123456789AB",
            "web.next-0123456789abc",
        ] {
            assert_eq!(replica_name(own), own);
        }
    }

    #[test]
    fn a_link_to_a_container_is_not_its_name() {
        let names = ["/db/web".to_owned(), "/web".to_owned()];
        assert_eq!(own_name(&names), Some("web"));
    }

    #[test]
    fn a_mark_of_another_application_is_none() {
        let replaces = "ab".repeat(32);
        let rollback = "0190f5a0-0000-7000-8000-000000000001";
        let labels: Labels = [
            (APPLICATION, "shop"),
            (ROLLBACK, rollback),
            (FENCE, "7"),
            (REPLACES, &replaces),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let found = mark(&labels, &"shop".parse().unwrap()).unwrap();
        assert_eq!(
            (found.fence, found.rollback.to_string().as_str()),
            (Fence(7), rollback)
        );
        assert_eq!(mark(&labels, &"blog".parse().unwrap()), None);
    }

    proptest! {
        #![proptest_config(crate::tries())]

        #[test]
        fn labels_of_strangers_are_no_mark_of_ours(
            application in "shop|\\PC{0,8}", rollback in "\\PC{0,40}|0190f5a0-0000-7000-8000-00000000000[0-9]",
            fence in "\\PC{0,8}|-?[0-9]{1,24}", replaces in "\\PC{0,8}|[0-9a-fA-F]{63,65}", name in "\\PC{0,20}(\\.next-[0-9a-f]{11,13})?",
        ) {
            let given = [(APPLICATION, &application), (ROLLBACK, &rollback), (FENCE, &fence), (REPLACES, &replaces)];
            let labels: Labels = given.map(|(name, value)| (name.to_owned(), value.clone())).into();
            if let Some(found) = mark(&labels, &"shop".parse().unwrap()) {
                prop_assert_eq!(application, "shop");
                prop_assert_eq!(found.rollback.to_string(), rollback);
                prop_assert_eq!(found.replaces.as_str(), replaces);
                prop_assert_eq!(fence.parse().ok().map(Fence), Some(found.fence));
            }
            prop_assert!(name.starts_with(replica_name(&name)));
            prop_assert!(own_name(std::slice::from_ref(&name)).is_none_or(|own| !own.contains('/')));
        }
    }
}
