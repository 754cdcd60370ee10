//! Which application a message is about. Rules are bounded by what they may be made of: nothing in them repeats, so the
//! time that one takes grows with its length and with nothing else.

use std::collections::BTreeMap;

use cel::{Context, Program, Value};
use regex::RegexBuilder;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Trigger,
    alert::{Alert, Deployed},
    field,
};
use crate::{
    application::BadField,
    name::{ApplicationName, ComponentName},
};

/// Longest rule.
pub const RULE_CHARS_MAX: usize = 512;
/// Most of what opens and of what stands before a value in a rule: it is read and answered by functions that call
/// themselves.
pub const RULE_DEPTH_MAX: usize = 24;
/// Deepest nesting of brackets. Each costs the library a dozen calls, in a build for tests 170 KB of a thread's 2 MB.
pub const RULE_NESTING_MAX: usize = 6;
/// Most memory that the patterns of one rule may compile to, together. They are compiled each time that the rule is
/// asked, which costs 4 us for each KB; `\w{99}` alone would cost 20 ms.
const PATTERNS_BYTES_MAX: usize = 64 << 10;
/// Most labels that a route asks for.
const LABELS_MAX: usize = 16;
/// Most image templates of a route.
const IMAGES_MAX: usize = 64;
/// What runs over lists, and so multiplies time.
const REPEATING: [&str; 6] = [
    "all(",
    "exists(",
    "exists_one(",
    "map(",
    "filter(",
    "existsOne(",
];

/// One way from a message to an application. Everything that is given has to fit; a route with nothing given fits
/// everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The application.
    pub application: ApplicationName,
    /// The sender's name for it: PagerDuty's service id, a repository, Sentry's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub service: Option<String>,
    /// Labels that have to be there with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A rule in CEL over `service`, `title`, `severity`, `version`, `environment` and `labels`, such as
    /// `labels.team == 'shop' && severity in ['critical', 'page']`. What runs over lists is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub rule: Option<String>,
    /// For deployments: the image of each component, where the message names none. `{version}` and `{commit}` are
    /// filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub images: BTreeMap<ComponentName, String>,
}

impl Route {
    pub(super) fn check(&self, path: &str, bad: &mut Vec<BadField>) {
        if self
            .service
            .as_ref()
            .is_some_and(|text| text.len() > field::TEXT_CHARS_MAX)
        {
            bad.push(BadField::new(format!("{path}.service"), "it is too long"));
        }
        let long = |(name, value): (&String, &String)| {
            name.len() > field::TEXT_CHARS_MAX || value.len() > field::TEXT_CHARS_MAX
        };
        if self.labels.len() > LABELS_MAX || self.labels.iter().any(long) {
            let what = format!("use at most {LABELS_MAX} labels of 1024 characters");
            bad.push(BadField::new(format!("{path}.labels"), what));
        }
        if let Some(Err(what)) = self.rule.as_deref().map(compiled) {
            bad.push(BadField::new(format!("{path}.rule"), what));
        }
        let templates = self.images.values().any(|text| {
            text.is_empty() || text.len() > 512 || !text.bytes().all(|b| b.is_ascii_graphic())
        });
        if self.images.len() > IMAGES_MAX || templates {
            let what = "use references such as `registry.example/shop-api:{version}`";
            bad.push(BadField::new(format!("{path}.images"), what));
        }
    }

    /// Whether its rule speaks of the environment: then whoever wrote it decided which one is meant.
    #[must_use]
    pub fn decides_the_environment(&self) -> bool {
        let rule = self.rule.as_deref().map(compiled);
        rule.is_some_and(|rule| {
            rule.is_ok_and(|rule| rule.references().has_variable("environment"))
        })
    }

    /// The images of a deployment by this route's templates; none where the message leaves out what one needs.
    #[must_use]
    pub fn images_of(&self, told: &Deployed) -> Option<BTreeMap<ComponentName, String>> {
        let filled = |template: &String| {
            let mut text = template.clone();
            for (mark, value) in [("{version}", &told.version), ("{commit}", &told.commit)] {
                if text.contains(mark) {
                    text = text.replace(mark, value.as_ref()?);
                }
            }
            Some(text)
        };
        let named = self.images.iter();
        named
            .map(|(component, template)| Some((component.clone(), filled(template)?)))
            .collect()
    }
}

/// What a message says of where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Signs<'a> {
    service: Option<&'a str>,
    title: &'a str,
    severity: Option<&'a str>,
    version: Option<&'a str>,
    environment: Option<&'a str>,
    labels: Option<&'a BTreeMap<String, String>>,
}

impl<'a> From<&'a Alert> for Signs<'a> {
    fn from(alert: &'a Alert) -> Self {
        Self {
            service: alert.service.as_deref(),
            title: &alert.title,
            severity: alert.severity.as_deref(),
            version: alert.version.as_deref(),
            environment: alert.labels.get("environment").map(String::as_str),
            labels: Some(&alert.labels),
        }
    }
}

impl<'a> From<&'a Deployed> for Signs<'a> {
    fn from(told: &'a Deployed) -> Self {
        Self {
            service: Some(&told.service),
            title: "",
            severity: None,
            version: told.version.as_deref(),
            environment: told.environment.as_deref(),
            labels: None,
        }
    }
}

/// The routes of a trigger, their rules read once.
#[derive(Debug)]
pub struct Routes<'a> {
    routes: Vec<(&'a Route, Option<Program>)>,
}

impl<'a> Routes<'a> {
    /// Reads them. A rule that can not be read, which was refused when it was set, fits nothing.
    #[must_use]
    pub fn of(trigger: &'a Trigger) -> Self {
        let read = |route: &'a Route| match route.rule.as_deref().map(compiled) {
            None => Some((route, None)),
            Some(Ok(program)) => Some((route, Some(program))),
            Some(Err(_)) => None,
        };
        Self {
            routes: trigger.routes.iter().filter_map(read).collect(),
        }
    }

    /// The first route that fits.
    #[must_use]
    pub fn find<'b>(&self, signs: impl Into<Signs<'b>>) -> Option<&'a Route> {
        let signs = signs.into();
        let found = self.routes.iter().find(|(route, rule)| {
            route
                .service
                .as_deref()
                .is_none_or(|name| signs.service == Some(name))
                && route.labels.iter().all(|(name, value)| {
                    signs.labels.and_then(|labels| labels.get(name)) == Some(value)
                })
                && rule.as_ref().is_none_or(|rule| holds(rule, &signs))
        });
        found.map(|(route, _)| *route)
    }
}

/// Whether a rule says yes. What it can not answer, such as a label that is not there, is a no.
fn holds(rule: &Program, signs: &Signs<'_>) -> bool {
    let mut context = Context::default();
    let texts = [
        ("service", signs.service),
        ("title", Some(signs.title)),
        ("severity", signs.severity),
        ("version", signs.version),
        ("environment", signs.environment),
    ];
    for (name, text) in texts {
        context.add_variable_from_value(name, text.unwrap_or_default());
    }
    let labels: std::collections::HashMap<String, String> = signs
        .labels
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    context.add_variable_from_value("labels", labels);
    matches!(rule.execute(&context), Ok(Value::Bool(true)))
}

/// A rule that is allowed, or what is wrong with it.
fn compiled(rule: &str) -> Result<Program, String> {
    if rule.len() > RULE_CHARS_MAX || rule.trim().is_empty() {
        return Err(format!("use 1 to {RULE_CHARS_MAX} characters"));
    }
    if rule.bytes().any(|b| b.is_ascii_control()) {
        return Err("write it in one line".to_owned());
    }
    let dense: String = rule
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    if let Some(word) = REPEATING.iter().find(|word| dense.contains(*word)) {
        let word = word.trim_end_matches('(');
        return Err(format!(
            "leave `{word}` out: what runs over lists is not allowed"
        ));
    }
    within_reach(rule)?;
    if depth(rule) > RULE_DEPTH_MAX {
        return Err(format!(
            "use at most {RULE_DEPTH_MAX} brackets and negations in all, those in texts included"
        ));
    }
    if nesting(rule) > RULE_NESTING_MAX {
        return Err(format!("nest it at most {RULE_NESTING_MAX} deep"));
    }
    Program::compile(rule).map_err(|error| {
        let said = error.to_string();
        format!("it is no CEL: {}", said.lines().next().unwrap_or_default())
    })
}

/// Looks at every pattern of a rule: each is written out, and together they compile to little.
fn within_reach(rule: &str) -> Result<(), String> {
    let patterns: Option<Vec<String>> = rule
        .match_indices("matches")
        .filter_map(|(at, word)| rule[at + word.len()..].trim_start().strip_prefix('('))
        .map(written_out)
        .collect();
    let patterns = patterns.ok_or(
        "write the pattern of `matches` as one text without quotes in it, with every `\\` doubled or as r'...'",
    )?;
    let each = PATTERNS_BYTES_MAX / patterns.len().max(1);
    for pattern in patterns {
        match RegexBuilder::new(&pattern).size_limit(each).build() {
            Ok(_) => {}
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err(format!(
                    "`{pattern}` is too much to look for: use `[0-9]` for `\\d`, `[a-z]` for `\\w`, and small numbers in `{{}}`"
                ));
            }
            Err(_) => return Err(format!("`{pattern}` is no pattern")),
        }
    }
    Ok(())
}

/// The pattern, where one text and nothing else stands between the brackets. What might end the text later than it seems,
/// an escaped quote or three of them, and what might stand for another letter are refused.
fn written_out(call: &str) -> Option<String> {
    let call = call.trim_start();
    let raw = call.strip_prefix('r');
    let text = raw.unwrap_or(call);
    let (pattern, after) = ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.split_once(quote))?;
    let plain = raw.is_some() || !pattern.replace("\\\\", "").contains('\\');
    let ends = !pattern.is_empty() && !pattern.ends_with('\\') && plain;
    (ends && after.trim_start().starts_with(')')).then(|| match raw {
        Some(_) => pattern.to_owned(),
        None => pattern.replace("\\\\", "\\"),
    })
}

/// How deep the brackets of a rule nest at most. What closes inside of a text closes nothing; where it is not plain which
/// that is, nothing is taken for closed.
fn nesting(rule: &str) -> usize {
    let plain = !rule.contains(['\\', '`', '#'])
        && !["\"\"\"", "'''", "//"]
            .iter()
            .any(|mark| rule.contains(mark));
    let (mut deepest, mut open, mut text) = (0_usize, 0_usize, None);
    for letter in rule.chars() {
        match (letter, text) {
            (quote, Some(opened)) if quote == opened => text = None,
            ('\'' | '"', None) => text = Some(letter),
            ('(' | '[' | '{', _) => open += 1,
            (')' | ']' | '}', None) if plain => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// How deep a rule can nest at most, whatever its texts hold: what opens, and what stands before a value.
fn depth(rule: &str) -> usize {
    rule.bytes()
        .filter(|b| matches!(b, b'(' | b'[' | b'{' | b'!' | b'?'))
        .count()
        + rule.matches("--").count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trigger::{Kind, Mode, Settings, alert::AlertState};

    fn alert(labels: &[(&str, &str)]) -> Alert {
        let at = crate::time::Moment::from_unix_ms(0);
        Alert {
            episode: "e".to_owned(),
            recurs: None,
            state: AlertState::Firing,
            title: "shop: 5xx".to_owned(),
            url: None,
            severity: Some("critical".to_owned()),
            service: Some("PSVC001".to_owned()),
            labels: labels
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            version: None,
            started_at: at,
            occurred_at: at,
            repeated: false,
            ours: false,
        }
    }

    fn route(rule: Option<&str>) -> Route {
        Route {
            application: "shop".parse().unwrap(),
            service: None,
            labels: BTreeMap::new(),
            rule: rule.map(ToOwned::to_owned),
            images: BTreeMap::new(),
        }
    }

    fn trigger(routes: Vec<Route>) -> Trigger {
        Trigger {
            name: "t".parse().unwrap(),
            kind: Kind::Pagerduty,
            mode: Mode::Record,
            trust: None,
            routes,
            severities: BTreeMap::new(),
            settings: Settings::default(),
        }
    }

    fn fits(rule: &str) -> bool {
        let trigger = trigger(vec![route(Some(rule))]);
        trigger.check().unwrap();
        let alert = alert(&[("team", "shop"), ("env", "prod")]);
        Routes::of(&trigger).find(&alert).is_some()
    }

    #[test]
    fn a_rule_finds_the_application() {
        assert!(fits(
            "labels.team == 'shop' && severity in ['critical', 'page']"
        ));
        assert!(fits("service == 'PSVC001'"));
        assert!(fits(
            "title.startsWith('shop:') && labels['env'].matches('^pro')"
        ));
        assert!(fits("title.matches ( r'^shop: \\d+xx$' )"));
        assert!(fits("title.matches('^shop: \\\\d+xx$')"));
        assert!(!fits("labels.team == 'search'"));
    }

    #[test]
    fn what_can_not_be_answered_is_a_no() {
        assert!(!fits("labels.absent == 'x'"));
        assert!(!fits("nothing"));
        assert!(!fits("'yes'"));
        assert!(!fits("labels"));
    }

    #[test]
    fn the_first_route_that_fits_wins_and_an_empty_one_takes_all() {
        let mut first = route(None);
        first.service = Some("PSVC002".to_owned());
        let mut second = route(None);
        second.labels = [("team".to_owned(), "shop".to_owned())].into();
        second.application = "second".parse().unwrap();
        let last = Route {
            application: "last".parse().unwrap(),
            ..route(None)
        };
        let trigger = trigger(vec![first, second, last]);
        let routes = Routes::of(&trigger);
        let found = |labels| routes.find(&alert(labels)).unwrap().application.to_string();
        assert_eq!(found(&[("team", "shop")]), "second");
        assert_eq!(found(&[]), "last");
    }

    #[test]
    fn rules_that_could_take_long_are_refused() {
        let deep = format!("{}true{}", "(".repeat(40), ")".repeat(40));
        let long = format!("'{}' == service", "x".repeat(600));
        for bad in [
            "labels.all(k, k == 'x')",
            "[1, 2].map (x, x * 2) == []",
            "title.matches(service)",
            "title.matches('' + service)",
            "title.matches('x' + service)",
            "title.matches (service)",
            "title.matches('x\\')' + service + '')",
            "title.matches('''x')' + service + ''')",
            "title.matches(r'x', service)",
            "matches(title, service)",
            "title.matches(r'\\w{99}')",
            "title.matches('\\\\w{9}') || title.matches('\\\\w{9}')",
            "title.matches('x\\173{99}')",
            "title.matches('((((a{9}){9}){9}){9})')",
            "title.matches('(')",
            "labels. exists (k, true)",
            "a ==",
            "",
            "true\nfalse",
            &deep,
            &long,
        ] {
            let trigger = trigger(vec![route(Some(bad))]);
            let fields = trigger.check().unwrap_err();
            assert_eq!(fields[0].field, "routes[0].rule", "{bad}");
        }
    }

    #[test]
    fn a_rule_that_nests_deeper_than_a_stack_holds_is_refused() {
        let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
        assert!(compiled(&nested(RULE_NESTING_MAX)).is_ok());
        for bad in [
            nested(RULE_NESTING_MAX + 1),
            "[".repeat(12),
            "(!![(([!((!([(([(!![[(!".to_owned(),
            // What closes in a text closes nothing, and where texts are not plain nothing does.
            format!("{}')))))))'{}", "(".repeat(7), ")".repeat(7)),
            format!("{0}r'\\'{1}", "(".repeat(7), ")".repeat(7)),
        ] {
            assert!(compiled(&bad).is_err(), "{bad}");
        }
        // Side by side they are not deep.
        let beside = ["(service == 'a)')"; 12].join(" || ");
        assert!(compiled(&beside).is_ok(), "{beside}");
    }

    proptest! {
        #[test]
        fn no_rule_panics(rule in "[a-z .()'!&|=0-9\\[\\]{}:?,+*/<>-]{0,80}") {
            let trigger = trigger(vec![route(Some(&rule))]);
            if trigger.check().is_ok() {
                let _ = Routes::of(&trigger).find(&alert(&[("a", "b")]));
            }
        }
    }
}
