//! The strategy `rebuild`: what is built from which commit, and what speaks against it.

use std::collections::BTreeSet;

use super::{Blocker, BlockerCode, Planner, Proposal, Snapshot, WarningCode};
use crate::{
    application::Application,
    name::{ComponentName, ImageId},
    plan::{PLAN_FORMAT_REBUILD, Plan, Strategy, Swap, TaggedSource},
    seen::Seen,
    source::{Source, TagsSeen, same_commit},
    steps::Step,
    supply,
    target::Target,
};

/// What builds are planned with beside the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Rebuild<'a> {
    /// How much is built. It is also what the plan says to have been asked for.
    pub strategy: Strategy,
    /// The tags of the repository, or at least the version's own.
    pub tags: &'a TagsSeen,
    /// Somebody said that a tag which was moved shall be built as it is now.
    pub confirm_moved_tag: bool,
}

/// Plans with builds from the version's tag before everything else: of all that the definition can build for the
/// strategy `rebuild`, of what can not be had in any other way for `quick`.
///
/// # Errors
/// Every blocker that is known.
pub fn rebuild(
    snapshot: &Snapshot<'_>,
    target: &Target,
    rebuild: &Rebuild<'_>,
) -> Result<Proposal, Vec<Blocker>> {
    super::by_way_of(snapshot, target, Some(rebuild))
}

/// Whether a plan that was blocked may go with builds: an image is missing and the definition can build something.
#[must_use]
pub fn may_build(application: &Application, blockers: &[Blocker]) -> bool {
    let missing = |blocker: &Blocker| blocker.code == BlockerCode::ImageMissing;
    let mut components = application.components.iter();
    blockers.iter().any(missing)
        && application.source.is_some()
        && components.any(|component| component.build.is_some())
}

/// The builds stand before everything that needs an engine's lock; the check after them looks once more at what may
/// have changed while they went on, and for the images that they gave.
pub(super) fn build_first(
    plan: &mut Plan,
    (strategy, source): (Strategy, TaggedSource),
    built: &BTreeSet<ComponentName>,
) {
    let mut builds: Vec<ComponentName> = Vec::new();
    for swap in &plan.swaps {
        if built.contains(&swap.component) && !builds.contains(&swap.component) {
            builds.push(swap.component.clone());
        }
    }
    if builds.is_empty() {
        return;
    }
    let builds = builds
        .into_iter()
        .map(|component| Step::Build { component });
    let checked: Vec<Step> = [Step::Check].into_iter().chain(builds).collect();
    plan.steps.splice(0..0, checked);
    plan.format = plan.format.max(PLAN_FORMAT_REBUILD);
    plan.strategy = strategy;
    plan.source = Some(source);
}

impl Planner<'_> {
    /// Notes what is built, and gives the commit to build; none when nothing is, or something stands in the way of it.
    pub(super) fn builds_of(
        &mut self,
        swaps: &[Swap],
        rebuild: &Rebuild<'_>,
    ) -> Option<(Strategy, TaggedSource)> {
        let all = match rebuild.strategy {
            Strategy::Rebuild => true,
            Strategy::Quick => false,
        };
        let wanted = swaps
            .iter()
            .filter(|swap| self.can_build(&swap.component) && (all || self.is_nowhere(&swap.image)))
            .map(|swap| swap.component.clone());
        let wanted: BTreeSet<ComponentName> = wanted.collect();
        if wanted.is_empty() && !all {
            return None;
        }
        let source = self.source(rebuild)?;
        if !wanted.is_empty() {
            self.warn(
                WarningCode::ImageBuilt,
                "an image that is built again is seldom the same as before; only the proof tells whether it is good"
                    .to_owned(),
                "load or pull the image that was proved, if somebody has it, and ask again without a rebuild"
                    .to_owned(),
            );
        }
        self.built = wanted;
        Some((rebuild.strategy, source))
    }

    fn is_nowhere(&self, image: &ImageId) -> bool {
        let absent = match self.snapshot.look.images.get(image) {
            Some(Seen::Absent) | None => true,
            Some(Seen::Known(_) | Seen::Unknown(_)) => false,
        };
        let sources = self.snapshot.look.sources.get(image);
        absent && supply::usable(sources.map_or(&[][..], Vec::as_slice)).is_empty()
    }

    fn can_build(&self, component: &ComponentName) -> bool {
        let application = self.snapshot.application;
        application.source.is_some()
            && application
                .component(component)
                .is_some_and(|component| component.build.is_some())
    }

    /// What to do about an image that is not there.
    pub(super) fn ways_to_the_image(&self) -> String {
        let load = "load or pull exactly that image (by digest), or choose another version; nothing was stopped";
        let components = &self.snapshot.application.components;
        if components
            .iter()
            .any(|component| self.can_build(&component.name))
        {
            let (name, version) = (&self.snapshot.application.name, &self.release.version);
            format!(
                "build it again from its tag: `sternway rollback {name} --rebuild --to {version}`; or {load}"
            )
        } else {
            load.to_owned()
        }
    }

    /// The commit to build; none when something stands in the way of it.
    fn source(&mut self, rebuild: &Rebuild<'_>) -> Option<TaggedSource> {
        let application = self.snapshot.application;
        let mut components = application.components.iter();
        let can_build = components.any(|component| component.build.is_some());
        let Some(source) = application.source.as_ref().filter(|_| can_build) else {
            let sentence = format!(
                "the definition of {} does not say how anything of it is built",
                application.name
            );
            let next = "give it a `source` with its `repository`, and each component that is built from it a `build`";
            self.block(BlockerCode::NoSource, sentence, next);
            return None;
        };
        self.tagged(source, rebuild)
    }

    fn tagged(&mut self, source: &Source, rebuild: &Rebuild<'_>) -> Option<TaggedSource> {
        let (name, version) = (&self.snapshot.application.name, &self.release.version);
        let wanted = source.tag_of(version);
        let Some(tag) = wanted.as_ref().and_then(|tag| rebuild.tags.find(tag)) else {
            let wanted = wanted.map_or_else(|| source.tag_pattern.clone(), |tag| tag.to_string());
            self.block(
                BlockerCode::TagMissing,
                format!("{} has no tag {wanted}", source.repository),
                format!("see `sternway tags {name}`; push the tag again, or correct `source.tag_pattern`"),
            );
            return None;
        };
        let recorded = self.release.commit.as_deref();
        let same = recorded.and_then(|recorded| same_commit(recorded, &tag.commit));
        let recorded = recorded.unwrap_or_default();
        let moved_from = match (same, rebuild.confirm_moved_tag) {
            (Some(false), false) => {
                self.block(
                    BlockerCode::TagMoved,
                    format!(
                        "tag {} names commit {} now, and the ledger says that {version} was built from {recorded}",
                        tag.name,
                        tag.commit.short()
                    ),
                    "find out who moved the tag and why; to build what it names now, confirm it: \
                     `--confirm-moved-tag` (`confirm_moved_tag`)",
                );
                return None;
            }
            (Some(false), true) => {
                self.warn(
                    WarningCode::TagMoved,
                    format!(
                        "tag {} was moved: {version} was built from {recorded}, and commit {} is built now, as confirmed",
                        tag.name,
                        tag.commit.short()
                    ),
                    "find out who moved the tag and why".to_owned(),
                );
                Some(recorded.to_owned())
            }
            (None, _) => {
                self.warn(
                    WarningCode::TagMoved,
                    format!(
                        "the ledger has no commit of {version} to compare: whether tag {} was moved is not known",
                        tag.name
                    ),
                    "report the commit with each deployment: `sternway record-deploy --commit`".to_owned(),
                );
                None
            }
            (Some(true), _) => None,
        };
        Some(TaggedSource {
            tag: tag.name.clone(),
            commit: tag.commit.clone(),
            moved_from,
        })
    }
}
