//! Problems with the repository that an application is built from.

use domain::name::ApplicationName;

use super::{Code, Problem};

impl Problem {
    pub(crate) fn no_source(name: &ApplicationName) -> Self {
        Self::new(
            Code::NoSource,
            format!("the definition of {name} does not say where its source is"),
        )
        .next("give it a `source` with its `repository`, and each component that is built from it a `build`")
    }

    pub(crate) fn source_unreachable(why: &str) -> Self {
        Self::new(
            Code::SourceUnreachable,
            format!("the repository could not be asked: {why}"),
        )
        .next("see that the server can reach the repository: its address, its credential helper, its ssh keys")
        .production("Nothing was changed: what runs goes on serving.")
        .try_again()
    }
}
