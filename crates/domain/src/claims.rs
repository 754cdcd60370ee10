//! Whose container is it: one belongs to one application.

use crate::{
    application::{Application, Component},
    name::ComponentName,
};

impl Application {
    /// The components whose containers another application claims as well: two definitions of one container would
    /// roll it back from under each other.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Vec<&ComponentName> {
        if self.name == other.name || self.engine != other.engine {
            return Vec::new();
        }
        let same_project = self.project.is_some() && self.project == other.project;
        let claims = |component: &&Component| {
            let named = other.component(&component.name);
            let of_project = |one: &Component| one.containers.is_empty();
            let by_project = same_project && of_project(component) && named.is_some_and(of_project);
            let mut theirs = other.components.iter();
            by_project
                || theirs.any(|one| {
                    let both = |name| component.containers.contains(name);
                    one.containers.iter().any(both)
                        || names_of(self, component, one)
                        || names_of(other, one, component)
                })
        };
        self.components
            .iter()
            .filter(claims)
            .map(|component| &component.name)
            .collect()
    }
}

/// Whether a container that is named is one that Compose makes for a service: `PROJECT_SERVICE_1`, with hyphens from
/// Compose 2 on. A `container_name` is not known here.
fn names_of(application: &Application, service: &Component, named: &Component) -> bool {
    let Some(project) = application.project.as_ref() else {
        return false;
    };
    let made = |name: &str| {
        ['_', '-'].into_iter().any(|mark| {
            name.strip_prefix(project.as_str())
                .and_then(|rest| rest.strip_prefix(mark)?.strip_prefix(service.name.as_str()))
                .and_then(|rest| rest.strip_prefix(mark))
                .is_some_and(|number| {
                    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
                })
        })
    };
    service.containers.is_empty() && named.containers.iter().any(|name| made(name.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn application(
        name: &str,
        engine: &str,
        project: Option<&str>,
        parts: &[(&str, &[&str])],
    ) -> Application {
        let parts: Vec<_> = parts
            .iter()
            .map(|(name, containers)| json!({"name": name, "containers": containers}))
            .collect();
        serde_json::from_value(json!({
            "name": name, "environment": "test", "engine": engine, "project": project, "components": parts,
        }))
        .unwrap()
    }

    #[test]
    fn a_service_of_one_project_belongs_to_one_application() {
        let shop = application("shop", "local", Some("p"), &[("api", &[]), ("worker", &[])]);
        let claims = |engine: &str, project: Option<&str>, part: &str| {
            let other = application("other", engine, project, &[(part, &[])]);
            !shop.shared_with(&other).is_empty()
        };
        assert!(claims("local", Some("p"), "api"));
        assert!(
            !claims("local", Some("p"), "front"),
            "another service of the project"
        );
        assert!(!claims("local", Some("q"), "api"), "another project");
        assert!(!claims("other", Some("p"), "api"), "another engine");
        assert!(!claims("local", None, "api"));
        assert!(shop.shared_with(&shop).is_empty(), "its own");
    }

    #[test]
    fn a_container_that_is_named_belongs_to_one_application() {
        let shop = application("shop", "local", None, &[("api", &["web-1", "web-2"])]);
        let other = application("other", "local", None, &[("front", &["web-2"])]);
        assert_eq!(shop.shared_with(&other), [&shop.components[0].name]);
        assert_eq!(other.shared_with(&shop), [&other.components[0].name]);
        let apart = application("apart", "local", None, &[("api", &["web-3"])]);
        assert!(shop.shared_with(&apart).is_empty());
    }

    #[test]
    fn what_compose_names_belongs_to_the_application_of_the_project() {
        let shop = application(
            "shop",
            "local",
            Some("p"),
            &[("api", &[]), ("worker", &["p_other_1"])],
        );
        for (name, shared) in [
            ("p_api_1", true),
            ("p-api-12", true),
            ("p_api_", false),
            ("p_api_1b", false),
            ("p_api-1", false),
            ("p_worker_1", false),
            ("q_api_1", false),
        ] {
            let other = application("other", "local", None, &[("front", &[name])]);
            assert_eq!(!shop.shared_with(&other).is_empty(), shared, "{name}");
            assert_eq!(!other.shared_with(&shop).is_empty(), shared, "{name}");
        }
    }
}
