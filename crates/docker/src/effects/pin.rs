//! A version written where the site keeps it. The caller brings the whole content, since it keeps the former one.

use domain::effect::{Failure, Outcome};

use super::PerformContext;
use crate::{compose::ProjectFile, connect::Engine, error::Error};

impl Engine {
    /// Replaces a file of the project when nobody newer acts on the application; none stands for no file.
    pub async fn replace_file(
        &self,
        file: &ProjectFile,
        expected: Option<Vec<u8>>,
        wanted: Option<Vec<u8>>,
        ctx: &PerformContext<'_>,
    ) -> Outcome {
        if let Err(error) = self.fence_check(None, ctx).await {
            return Error::into_outcome(error);
        }
        // Not sent to another thread: a claim that is over must not leave one behind that still writes.
        let tag = ctx.rollback.short();
        let replaced = file.replace(expected.as_deref(), wanted.as_deref(), &tag, || {
            ctx.must_hold().is_ok()
        });
        match replaced {
            Ok(()) => Outcome::Done,
            Err(said) => Outcome::Failed {
                failure: Failure::Refused,
                said,
            },
        }
    }
}
