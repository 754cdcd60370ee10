//! People and clean-ups in the middle of a rollback: `docker-compose up -d` out of habit, a prune by a timer, an engine
//! that is restarted for an update. Whatever they do, the rollback ends, what it says is true, and the next one finds
//! the application as one would leave it.

use serde_json::json;

use crate::house::{
    Application, House, Luck, PrivateEngine, When, compose::Generation, seconds, until,
};

/// How long the call at which somebody meddles waits for its answer: time enough to do harm.
const MOMENT: u64 = 2;
/// Between two such calls.
const STRIDE: usize = 3;

/// An application on an engine of its own, of which 1.4.2 and 1.4.3 are good.
struct Scene {
    private: PrivateEngine,
    house: House,
    shop: Application,
}

impl Scene {
    fn new(what: &str, generation: Generation) -> Self {
        let private = PrivateEngine::new(None, &[]);
        let house = House::inside(&private).build();
        let mut shop = Application::shop(&private.engine, what);
        shop.generation = generation;
        house.know(&shop.definition());
        for version in ["1.4.2", "1.4.3"] {
            shop.release(version, &[]);
            house.deploy_until(&mut shop, version, "good");
        }
        Self {
            private,
            house,
            shop,
        }
    }

    /// How many calls of a rollback change something.
    fn changes(&mut self) -> usize {
        self.house.door.forget();
        let id = self
            .house
            .roll_back(&self.shop, &json!({ "version": "1.4.2" }));
        self.house.verdict(&id, "rolled_back");
        self.house.door.changes().len()
    }

    /// 1.4.3 serves, alone and free of holds.
    fn again(&mut self) {
        let wish = json!({ "version": "1.4.3" });
        if self.house.ask_plan(&self.shop, &wish).status == 409 {
            self.house.release_hold(&self.shop, "1.4.3");
        }
        if self.shop.disorder("1.4.3").is_err() {
            let id = self.house.roll_back(&self.shop, &wish);
            self.house.verdict(&id, "rolled_back");
        }
        self.shop.serves_alone("1.4.3");
    }

    /// A rollback to 1.4.2 at whose `nth` change somebody meddles; what it says then has to be so. Whether it got there.
    fn meddled(&mut self, nth: usize, meddle: &mut dyn FnMut(&mut Self)) -> bool {
        self.again();
        if self
            .house
            .ask_plan(&self.shop, &json!({ "version": "1.4.2" }))
            .status
            == 409
        {
            self.house.release_hold(&self.shop, "1.4.2");
        }
        let sprung = self.house.door.sprung();
        let luck = Luck::Delay(seconds(MOMENT));
        self.house.door.trap("change", nth, When::After, luck);
        let id = self
            .house
            .roll_back(&self.shop, &json!({ "version": "1.4.2" }));
        until("it is in the middle", seconds(60), || {
            let over = self.house.rollback(&id)["phase"] == "ended";
            (over || self.house.door.sprung() > sprung).then_some(())
        });
        meddle(self);
        let ended = self.house.ended(&id);
        self.house.door.disarm();
        let [target, former] = ["1.4.2", "1.4.3"].map(|version| self.shop.disorder(version));
        let what = format!("change {nth}: {ended}; 1.4.2: {target:?}; 1.4.3: {former:?}");
        eprintln!("{what}");
        assert!(self.answers(), "nobody serves any more: {what}");
        match (ended["verdict"].as_str(), ended["good"].as_bool()) {
            (Some("rolled_back"), Some(true)) => assert!(target.is_ok(), "{what}"),
            // Proved, and then somebody put something else in service: it says so.
            (Some("rolled_back"), _) => {
                assert!(
                    ended["notes"]
                        .as_array()
                        .is_some_and(|notes| !notes.is_empty()),
                    "{what}"
                );
            }
            (Some("restored" | "refused"), _) => assert!(former.is_ok(), "{what}"),
            _ => assert!(
                !ended["production"].is_null(),
                "a person is told what there is: {what}"
            ),
        }
        ended["verdict"] == "rolled_back"
    }

    /// Whether anybody answers on the application's port.
    fn answers(&self) -> bool {
        let probe = format!("http://127.0.0.1:{}/api/version", self.shop.port);
        let mut words = self.private.entrance();
        words.extend(["curl", "-fsS", "--max-time", "2", &probe].map(str::to_owned));
        let output = std::process::Command::new(&words[0])
            .args(&words[1..])
            .output()
            .expect("curl is installed");
        output.status.success()
    }
}

#[test]
fn somebody_runs_compose_up_in_the_middle() {
    // Not Compose 2: it takes the target's container for the one to keep, and the limits say so.
    let mut scene = Scene::new("habit", Generation::One);
    let changes = scene.changes();
    for nth in (1..=changes).step_by(STRIDE) {
        scene.meddled(nth, &mut |scene| {
            let output = scene.shop.compose_run("1.4.3", &[], &["up", "-d"]);
            eprintln!("up: {}", String::from_utf8_lossy(&output.stderr));
        });
    }
}

#[test]
fn a_clean_up_runs_in_the_middle() {
    let mut scene = Scene::new("broom", Generation::wished());
    let changes = scene.changes();
    let (mut times, mut got_there) = (0, 0);
    for nth in (1..=changes).step_by(STRIDE) {
        let there = scene.meddled(nth, &mut |scene| {
            // Not `docker system prune -a`: that takes keepers and images in one go, as the limits say.
            for words in [
                ["image", "prune", "-af"],
                ["container", "prune", "-f"],
                ["network", "prune", "-f"],
            ] {
                scene.shop.engine.docker(&words);
            }
        });
        times += 1;
        got_there += usize::from(there);
    }
    // Between a stop and a start it may take what gives way as well.
    assert!(got_there + 1 >= times, "{got_there} of {times}");
}

#[test]
fn the_engine_is_restarted_in_the_middle() {
    let mut scene = Scene::new("update", Generation::Two);
    let changes = scene.changes();
    for nth in (1..=changes).step_by(STRIDE) {
        scene.meddled(nth, &mut |scene| {
            scene.private.stop();
            scene.private.start();
        });
    }
}
