//! The headers of a message that its sender's kind knows; all others are never seen here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Headers by name in lower case. A name that came more than once has several values: which one counts is nobody's
/// guess, so it is refused where it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, Vec<String>>);

/// A header that came more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

impl Headers {
    /// Adds one.
    pub fn add(&mut self, name: &str, value: &str) {
        let values = self.0.entry(name.to_ascii_lowercase()).or_default();
        values.push(value.to_owned());
    }

    /// The value of the one header with that name.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        match self.0.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([value]) => Ok(Some(value.trim())),
            Some(_) => Err(Repeated),
        }
    }

    /// The value, where a repeated header is as good as none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.one(name).ok().flatten()
    }

    /// Only those with these names: what is kept beside a message, without what proves its sender.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| names.contains(&name.as_str()));
        Self(
            kept.map(|(name, values)| (name.clone(), values.clone()))
                .collect(),
        )
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(fields: T) -> Self {
        let mut headers = Self::default();
        for (name, value) in fields {
            headers.add(name, value);
        }
        headers
    }
}
