//! The target's images: on the engine, or to be had from somewhere, and for the processor of what runs.

use std::collections::BTreeSet;

use super::{BlockerCode, DISK_FREE_MIN, Planner, WarningCode};
use crate::{
    engine_look::ImageFacts,
    ledger::ReleaseComponent,
    name::{ComponentName, ImageId},
    plan::Swap,
    seen::Seen,
    supply::{self, Supply},
};

/// What a load takes for each byte of an image: the engine unpacks an archive before it registers its layers.
const ROOM_PER_BYTE: u64 = 2;

impl Planner<'_> {
    /// The images that have to be brought; whatever can not be had stands in the way.
    pub(super) fn supplies(&mut self, swaps: &[Swap]) -> Vec<Supply> {
        let swaps: Vec<Swap> = swaps
            .iter()
            .filter(|swap| !self.built.contains(&swap.component))
            .cloned()
            .collect();
        let images: BTreeSet<&ImageId> = swaps.iter().map(|swap| &swap.image).collect();
        let mut supplies = Vec::new();
        for image in images {
            match self.snapshot.look.images.get(image) {
                Some(Seen::Known(_)) => {}
                Some(Seen::Absent) | None => supplies.extend(self.supply(image, &swaps)),
                Some(Seen::Unknown(why)) => {
                    let sentence = format!(
                        "image {} ({}) could not be looked at: {why}",
                        self.reference(image),
                        image.short()
                    );
                    self.block(
                        BlockerCode::ImageMissing,
                        sentence,
                        "look at the engine, then ask again",
                    );
                }
            }
        }
        for swap in &swaps {
            self.architecture_is_the_same(swap);
        }
        supplies
    }

    fn supply(&mut self, image: &ImageId, swaps: &[Swap]) -> Option<Supply> {
        let seen = self.snapshot.look.sources.get(image);
        let seen = seen.map_or(&[][..], Vec::as_slice);
        let sources = supply::usable(seen);
        let (reference, short) = (self.reference(image), image.short());
        if sources.is_empty() {
            let why = match supply::why_not(seen) {
                why if why.is_empty() => String::new(),
                why => format!("; {why}"),
            };
            self.block(
                BlockerCode::ImageMissing,
                format!(
                    "image {reference} ({short}) of {} is not on the engine{why}",
                    self.release.version
                ),
                self.ways_to_the_image(),
            );
            return None;
        }
        self.warn(
            WarningCode::ImageBrought,
            format!(
                "image {reference} ({short}) is not on the engine: it is brought from {} first, while what runs goes on serving",
                sources[0]
            ),
            "pull or load it now, if the rollback should not wait for that".to_owned(),
        );
        let running = swaps.iter().filter(|swap| swap.image == *image);
        let components: BTreeSet<ComponentName> =
            running.clone().map(|swap| swap.component.clone()).collect();
        Some(Supply {
            image: image.clone(),
            components: components.into_iter().collect(),
            sources,
            architecture: running
                .filter_map(|swap| self.facts(&swap.former_image))
                .map(|facts| facts.architecture.clone())
                .next(),
        })
    }

    /// Room that the plan needs on the engine's disk.
    pub(super) fn room(&self, supplies: &[Supply]) -> u64 {
        let parts = self.release.components.values();
        let bytes: u64 = parts
            .filter(|part| supplies.iter().any(|supply| supply.image == part.image))
            .filter_map(|part| part.bytes)
            .sum();
        DISK_FREE_MIN.saturating_add(bytes.saturating_mul(ROOM_PER_BYTE))
    }

    fn facts(&self, image: &ImageId) -> Option<&ImageFacts> {
        self.snapshot.look.images.get(image)?.known()
    }

    fn part(&self, image: &ImageId) -> Option<&ReleaseComponent> {
        let mut parts = self.release.components.values();
        parts.find(|part| part.image == *image)
    }

    fn reference(&self, image: &ImageId) -> String {
        self.part(image)
            .map_or_else(|| image.to_string(), |part| part.reference.clone())
    }

    /// The present image runs on this engine; one for another processor than its own would not start.
    fn architecture_is_the_same(&mut self, swap: &Swap) {
        let noted = || self.part(&swap.image)?.architecture.as_ref();
        let present = self
            .facts(&swap.former_image)
            .map(|facts| &facts.architecture);
        let target = self
            .facts(&swap.image)
            .map(|facts| &facts.architecture)
            .or_else(noted);
        let (Some(present), Some(target)) = (present, target) else {
            return;
        };
        if present != target {
            let sentence = format!(
                "image {} of {} is for {target}, what runs is for {present}",
                swap.image.short(),
                swap.component
            );
            let action = format!("choose a version that was built for {present}");
            self.block(BlockerCode::Architecture, sentence, action);
        }
    }
}
