//! What is to be done with each thing that a message says, as far as the message and its trigger tell: most of it is
//! nothing but recorded. The rest is judged by facts, elsewhere.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Headers, Mode, Trigger,
    alert::{Alert, AlertState, Deployed, DeployedState, Notice},
    message,
    route::{Route, Routes},
};
use crate::{
    application::Application,
    name::{ApplicationName, ComponentName, EnvironmentName, Version},
    time::Moment,
};

/// One thing that a message says.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The application that it is about, when a route fits.
    pub application: Option<ApplicationName>,
    /// What is to be done with it.
    pub matter: Matter,
    /// Why nothing more is, as a stable code.
    pub code: &'static str,
    /// The same as a sentence.
    pub said: String,
    /// What it says, for people.
    pub notice: Value,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Matter {
    /// It says nothing that anything is done with.
    Nothing,
    /// It is recorded: nothing that began.
    Known,
    /// Something began to be wrong.
    Alert(Box<Alert>),
    /// A version is being put in service.
    Begun(Begun),
    /// A version was put in service.
    Deployment(Box<Deployment>),
}

/// A deployment that began. Until its end is told, alerts are left to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// Where, in the sender's word; none where the route's rule speaks of it, which decided it.
    pub environment: Option<String>,
}

/// A deployment for the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Which one: told twice, it is one.
    pub key: String,
    /// The version.
    pub version: Version,
    /// The commit.
    pub commit: Option<String>,
    /// The image of each component, by the message or the route.
    pub images: BTreeMap<ComponentName, String>,
    /// The one image of an application with one component, when that is all that the message names.
    pub image: Option<String>,
    /// Notes.
    pub notes: Option<String>,
    /// Where it was put in service, in the sender's word; none where the route's rule speaks of it, which decided it.
    pub environment: Option<String>,
    /// When, by the sender's clock.
    pub at: Moment,
}

/// Everything that a message says, in its order.
#[must_use]
pub fn sorted(trigger: &Trigger, headers: &Headers, body: &[u8]) -> Vec<Part> {
    let notice = match message::read(trigger.kind, &trigger.settings, headers, body) {
        Ok(notice) => notice,
        Err(unreadable) => {
            let said = format!("it can not be read: {unreadable}");
            return vec![nothing("unreadable", said, Value::Null)];
        }
    };
    let shown = |notice: &Notice| serde_json::to_value(notice).unwrap_or_default();
    match &notice {
        Notice::Ping => {
            let said = "the sender tries whether we can be reached".to_owned();
            vec![nothing("ping", said, shown(&notice))]
        }
        Notice::Other { kind } => {
            let said = format!("nothing is done with `{kind}`");
            vec![nothing("unknown_kind", said, shown(&notice))]
        }
        Notice::Deployed(told) => vec![deployed(trigger, told, shown(&notice))],
        Notice::Alerts(alerts) => {
            let routes = Routes::of(trigger);
            let part = |alert: &Alert| {
                let notice = serde_json::to_value(alert).unwrap_or_default();
                alerted(trigger.mode, alert, routes.find(alert), notice)
            };
            let parts: Vec<Part> = alerts.iter().map(part).collect();
            if parts.is_empty() {
                return vec![nothing(
                    "empty",
                    "it holds no alert".to_owned(),
                    Value::Null,
                )];
            }
            parts
        }
    }
}

/// Which application an alert is about, and whether it is one that something is decided about.
#[must_use]
pub fn led(trigger: &Trigger, alert: &Alert) -> (Option<ApplicationName>, bool) {
    let routes = Routes::of(trigger);
    let part = alerted(trigger.mode, alert, routes.find(alert), Value::Null);
    (part.application, matches!(part.matter, Matter::Alert(_)))
}

/// What people call an environment, in one word for each.
fn environment(word: &str) -> String {
    let word = word.trim().to_lowercase();
    match word.as_str() {
        "prod" => "production".to_owned(),
        "stage" => "staging".to_owned(),
        "dev" => "development".to_owned(),
        _ => word,
    }
}

fn nothing(code: &'static str, said: String, notice: Value) -> Part {
    Part {
        application: None,
        matter: Matter::Nothing,
        code,
        said,
        notice,
    }
}

fn alerted(mode: Mode, alert: &Alert, route: Option<&Route>, notice: Value) -> Part {
    let known = |code, said: &str| Part {
        application: route.map(|route| route.application.clone()),
        matter: Matter::Known,
        code,
        said: said.to_owned(),
        notice: notice.clone(),
    };
    if alert.ours {
        return known("own_alert", "it is an alert that we raised ourselves");
    }
    if route.is_none() {
        return known("unknown_application", "no route of the trigger fits it");
    }
    match alert.state {
        AlertState::Resolved => known("resolved", "it is over"),
        AlertState::Merged => known("merged", "it is followed under another alert, and not over"),
        AlertState::Acknowledged => known("acknowledged", "a person looks after it"),
        AlertState::Firing if alert.repeated => known("repeated", "it tells of no new trouble"),
        AlertState::Firing => {
            let (code, said) = match mode {
                Mode::Off => ("trigger_off", "its trigger is off"),
                Mode::Record => ("record_mode", "its trigger only records"),
                Mode::Propose | Mode::Shadow | Mode::Auto => ("guards", "the guards decide"),
            };
            Part {
                matter: Matter::Alert(Box::new(alert.clone())),
                ..known(code, said)
            }
        }
    }
}

fn deployed(trigger: &Trigger, told: &Deployed, notice: Value) -> Part {
    let routes = Routes::of(trigger);
    let Some(route) = routes.find(told) else {
        let said = format!("no route of the trigger fits `{}`", told.service);
        return nothing("unknown_application", said, notice);
    };
    let known = |code, said: &str| Part {
        application: Some(route.application.clone()),
        matter: Matter::Known,
        code,
        said: said.to_owned(),
        notice: notice.clone(),
    };
    let environment = told.environment.clone();
    let environment = environment.filter(|_| !route.decides_the_environment());
    match told.state {
        DeployedState::Announced => {
            return known(
                "release_published",
                "a release was published: nothing is put in service by that",
            );
        }
        DeployedState::Started => {
            return Part {
                matter: Matter::Begun(Begun { environment }),
                ..known("deploy_started", "a deployment began")
            };
        }
        DeployedState::Failed => return known("deploy_failed", "a deployment did not come about"),
        DeployedState::Succeeded => {}
    }
    match put_in_service(told, route, environment) {
        Ok(deployment) => Part {
            matter: Matter::Deployment(Box::new(deployment)),
            ..known("deployed", "a version was put in service")
        },
        Err((code, said)) => known(code, said),
    }
}

/// What the ledger is told, or what the message lacks, as a stable code and a sentence.
fn put_in_service(
    told: &Deployed,
    route: &Route,
    environment: Option<String>,
) -> Result<Deployment, (&'static str, &'static str)> {
    let version = told.version.as_deref();
    let version = version
        .and_then(|text| text.parse::<Version>().ok())
        .ok_or(("no_version", "it names no version, or one that is none"))?;
    let named: Option<BTreeMap<ComponentName, String>> = told
        .images
        .iter()
        .map(|(name, image)| Some((name.parse().ok()?, image.clone())))
        .collect();
    let images = match named {
        Some(images) if !images.is_empty() => Some(images),
        Some(_) => route.images_of(told),
        None => None,
    };
    let plain = |image: &String| {
        (1..=512).contains(&image.len())
            && image.bytes().all(|b| b.is_ascii_graphic())
            && !image.starts_with('-')
    };
    let one = told.image.clone().filter(&plain);
    let images = images
        .filter(|images| images.values().all(plain))
        .ok_or(("no_image", "it names an image or a component that is none"))?;
    if images.is_empty() && one.is_none() {
        let said = "it names no image, and its route has no `images` to tell them from the version";
        return Err(("no_image", said));
    }
    let commit = told.commit.clone().filter(|text| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (7..=64).contains(&text.len()) && text.bytes().all(hex)
    });
    let by = told.actor.as_ref().map(|actor| format!("by {actor}"));
    let notes: Vec<String> = by.into_iter().chain(told.url.clone()).collect();
    Ok(Deployment {
        key: told.key.clone(),
        version,
        commit,
        images,
        image: one,
        notes: (!notes.is_empty()).then(|| notes.join(", ")),
        environment,
        at: told.at,
    })
}

impl Begun {
    /// Why it is none of this application, as a stable code and a sentence; none when it is.
    #[must_use]
    pub fn other(&self, application: &Application) -> Option<(&'static str, String)> {
        other_environment(self.environment.as_deref(), application)
    }
}

fn other_environment(
    said: Option<&str>,
    application: &Application,
) -> Option<(&'static str, String)> {
    let (name, here) = (&application.name, &application.environment);
    let said = elsewhere(said, here)?;
    let said = format!(
        "it is of the environment `{said}`, and {name} is of `{here}`: where that is the same, say so by a `rule` \
         of its route that names `environment`, such as `environment == '{said}'`"
    );
    Some(("other_environment", said))
}

fn elsewhere<'a>(said: Option<&'a str>, here: &EnvironmentName) -> Option<&'a str> {
    said.filter(|said| environment(said) != environment(here.as_str()))
}

impl Deployment {
    /// The image of each component, for the ledger of this application.
    ///
    /// # Errors
    /// Why it does not go in there, as a stable code and a sentence.
    pub fn images_of(
        &self,
        application: &Application,
    ) -> Result<BTreeMap<ComponentName, String>, (&'static str, String)> {
        if let Some(other) = other_environment(self.environment.as_deref(), application) {
            return Err(other);
        }
        let name = &application.name;
        let components = application.components.iter();
        let names: Vec<_> = components.map(|component| &component.name).collect();
        self.images_for(&names).ok_or_else(|| {
            let said = format!(
                "it names no image for the components of {name}, or one of another component"
            );
            ("no_image", said)
        })
    }

    /// The sender's word for its environment, when that is another one than this.
    #[must_use]
    pub fn elsewhere(&self, here: &EnvironmentName) -> Option<&str> {
        elsewhere(self.environment.as_deref(), here)
    }

    /// The image of each component of an application with these components; none when the message tells too little.
    fn images_for(&self, components: &[&ComponentName]) -> Option<BTreeMap<ComponentName, String>> {
        let mut images = self.images.clone();
        if let (true, [only], Some(image)) = (images.is_empty(), components, &self.image) {
            images.insert((*only).clone(), image.clone());
        }
        let known = !images.is_empty() && images.keys().all(|name| components.contains(&name));
        known.then_some(images)
    }
}
