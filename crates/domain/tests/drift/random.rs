//! Whatever happens in whatever order, no world is told twice or told wrong.

use std::collections::BTreeSet;

use domain::{
    drift::{Drift, SETTLE, SETTLE_MIXED},
    engine_look::ContainerState,
    ledger::DeploymentKind,
    name::{ComponentName, ImageId},
    time::Millis,
};
use proptest::prelude::*;

use crate::world::{World, name};

#[derive(Clone, Debug)]
enum Move {
    Up([u32; 3]),
    Half(usize, u32),
    Report([u32; 3], u32),
    Hold(usize),
    Release,
    Wait(u64),
    Rollback(bool),
    Stop(usize),
}

fn moves() -> impl Strategy<Value = Move> {
    let images = || [0..4_u32, 0..4_u32, 0..2_u32];
    prop_oneof![
        images().prop_map(Move::Up),
        (0..2_usize, 0..4_u32).prop_map(|(part, from)| Move::Half(part, from)),
        (images(), 0..4_u32).prop_map(|(images, version)| Move::Report(images, version)),
        (0..8_usize).prop_map(Move::Hold),
        Just(Move::Release),
        prop_oneof![Just(0), Just(SETTLE.0), Just(SETTLE_MIXED.0)].prop_map(Move::Wait),
        any::<bool>().prop_map(Move::Rollback),
        (0..3_usize).prop_map(Move::Stop),
    ]
}

fn of(images: [u32; 3]) -> [u32; 3] {
    [0xa0 + images[0], 0xb0 + images[1], 0xc0 + images[2]]
}

impl World {
    fn make(&mut self, change: &Move) {
        let names = ["api", "worker", "cache"];
        match change {
            Move::Up(images) => {
                for (component, from) in names.into_iter().zip(of(*images)) {
                    self.up(&[(
                        component,
                        from,
                        &format!("shop-{component}:1.{}.0", from % 16),
                    )]);
                }
                self.stable = Millis(0);
            }
            Move::Half(part, from) => {
                let from = of([*from; 3])[*part];
                self.up(&[(names[*part], from, "shop:latest")]);
                self.stable = Millis(0);
            }
            Move::Report(images, version) => {
                let version = format!("1.{version}.0");
                self.record(&version, DeploymentKind::Deploy, of(*images), false);
            }
            Move::Hold(row) => {
                if let Some((row, _)) = self.ledger.get(*row) {
                    let version = row.version.to_string();
                    self.hold(&version);
                }
            }
            Move::Release => self.holds.clear(),
            Move::Wait(ms) => self.stable = self.stable.and(Millis(*ms)),
            Move::Rollback(acting) => self.acting = *acting,
            Move::Stop(part) => {
                if self
                    .containers
                    .iter()
                    .any(|one| one.component == name(names[*part]))
                {
                    self.state(names[*part], ContainerState::Exited);
                }
            }
        }
    }

    fn running(&self) -> BTreeSet<(ComponentName, ImageId)> {
        self.containers
            .iter()
            .map(|one| (one.component.clone(), one.image.clone()))
            .collect()
    }

    /// What must be true of any decision, in any world.
    fn check(&self, decided: &Drift) {
        let newest = self.ledger.last().map(|(row, _)| row);
        match decided {
            Drift::Nothing => {}
            Drift::Settling { left } => assert!(left.0 > 0 && left.0 <= SETTLE_MIXED.0),
            Drift::Seen { deployment } => {
                assert!(newest.is_some_and(|row| row.id == *deployment && !row.seen));
            }
            Drift::Detected(found) => {
                assert!(!self.acting && self.stable >= SETTLE);
                let runs: BTreeSet<_> = found
                    .components
                    .iter()
                    .map(|(name, (image, _))| (name.clone(), image.clone()))
                    .collect();
                assert_eq!(runs, self.running(), "what is written is what runs");
                let images = runs.into_iter().collect();
                assert!(newest.is_none_or(|row| row.images.as_ref() != Some(&images)));
                for release in self.releases() {
                    let same = release
                        .components
                        .iter()
                        .all(|(name, part)| images.get(name) == Some(&part.image));
                    assert!(
                        release.version != found.version || same,
                        "{} would be lost as a way back",
                        release.version
                    );
                }
            }
            Drift::HeldReturned {
                deployment,
                version,
                ..
            } => {
                let row = newest.expect("something was deployed");
                assert!(row.id == *deployment && !row.returned && !self.acting);
                assert_ne!(row.kind, DeploymentKind::Rollback);
                assert!(
                    self.holds
                        .iter()
                        .any(|hold| hold.version == *version && hold.held_at < row.deployed_at)
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_world_is_told_twice_or_told_wrong(changes in proptest::collection::vec(moves(), 1..24)) {
        let mut world = World::of_142();
        for change in &changes {
            world.make(change);
            // The worker decides up to four times on one look, and then it is quiet.
            for _ in 0..4 {
                let decided = world.decide();
                world.check(&decided);
                world.obey(&decided);
            }
            let last = world.decide();
            prop_assert!(matches!(last, Drift::Nothing | Drift::Settling { .. }), "{last:?}");
            // Whatever was not reported is in the ledger once it has settled.
            let mut settled = world.clone();
            settled.stable = SETTLE_MIXED;
            let quiet = !settled.acting && settled.ledger.last().is_some_and(|(row, _)| row.seen);
            if quiet && settled.running().len() == 3 {
                for _ in 0..4 {
                    let decided = settled.decide();
                    settled.obey(&decided);
                }
                let newest = settled.ledger.last().unwrap().0.images.clone().unwrap();
                prop_assert_eq!(newest.into_iter().collect::<BTreeSet<_>>(), settled.running());
            }
        }
    }
}
