//! kill -9 of the real server, at every call that a rollback makes to its engine, on both sides of it, and at
//! random times. Whatever is cut, the next start ends it well: there is no recovery path to test but the only path.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{
    Application, Engine, House, Luck, When,
    asks::unique,
    dice::{Dice, seed},
    seconds, until,
};

/// The longest that a rollback of these applications takes with two restarts of the server in it.
const END_LIMIT: Duration = Duration::from_secs(60);
/// Kills at random times; with those at named places it makes well over 50.
const RANDOM_ROLLBACKS: u64 = 10;

/// A place at which a rollback can be cut: the n-th call of this name.
type Place = (String, usize);

/// A server, an application, and how often the server was killed so far.
struct Lane {
    house: House,
    shop: Application,
    kills: usize,
}

impl Lane {
    fn new(what: &str) -> Self {
        let engine = Engine::of_this_machine();
        Self { house: House::new(), shop: Application::shop(&engine, what), kills: 0 }
    }

    /// Requests a rollback, starts the server again whenever it is gone, and returns the verdict.
    fn roll_back(&mut self, target: &Value) -> Value {
        let digest = self.house.plan(&self.shop, target);
        let key = unique();
        let begun = Instant::now();
        let mut id: Option<String> = None;
        loop {
            assert!(begun.elapsed() < END_LIMIT, "the rollback {id:?} does not end");
            if !self.house.lives() {
                self.kills += 1;
                self.house.start();
            }
            // A request whose answer got lost is repeated with its key; it is the same request.
            let seen = match &id {
                None => self.house.try_request(&digest, &key),
                Some(id) => self.house.try_ask("GET", &format!("/api/v1/rollbacks/{id}"), &[], &Value::Null),
            };
            let Ok(reply) = seen else { continue };
            assert!(matches!(reply.status, 200 | 202), "{}", reply.text());
            let seen = reply.json();
            id = seen["id"].as_str().map(str::to_owned);
            if seen["phase"] == "ended" {
                return self.house.ended(&id.unwrap_or_default());
            }
        }
    }

    /// Every call that counts, of one undisturbed rollback, from this position of it on.
    fn places(&mut self, target: &Value) -> Vec<Place> {
        self.house.door.forget();
        self.roll_back(target);
        let mut places: Vec<Place> = Vec::new();
        for call in self.house.door.calls().into_iter().filter(|call| call.changes || call.name.ends_with("/logs")) {
            let nth = places.iter().filter(|(name, _)| *name == call.name).count() + 1;
            places.push((call.name, nth));
        }
        places
    }

    /// One rollback, cut before the call and, when the next server makes it again, after it.
    fn cut_at(&mut self, (call, nth): &Place, target: &Value, verdict: &str, serves: &str) {
        let (sprung, kills) = (self.house.door.sprung(), self.kills);
        self.house.door.trap(call, *nth, When::Before, Luck::Kill);
        self.house.door.trap(call, nth + 1, When::After, Luck::Kill);
        let ended = self.roll_back(target);
        assert_eq!(ended["verdict"], verdict, "cut at {call} {nth}: {ended}");
        if let Err(disorder) = self.shop.disorder(serves) {
            panic!("cut at {call} {nth}: {disorder}");
        }
        let sprung = self.house.door.sprung() - sprung;
        assert!(sprung >= 1, "the call {call} {nth} was not made");
        assert_eq!(self.kills - kills, sprung, "every kill is seen");
        self.house.door.disarm();
    }
}

#[test]
fn killed_at_any_call_on_the_way_forward_it_brings_the_target_back() {
    let mut lane = Lane::new("forward");
    let (one, other) = ("1.4.2", "1.4.3");
    lane.house.know(&lane.shop.definition());
    lane.shop.release(one, &[]);
    lane.shop.release(other, &[]);
    lane.house.deploy_until(&mut lane.shop, one, "good");
    lane.house.deploy_until(&mut lane.shop, other, "good");

    // The first one protects the images, which then stays so: the second shows what the others do.
    let mut serves = (other, one);
    let mut turn = |lane: &mut Lane| {
        serves = (serves.1, serves.0);
        if lane.house.ask_plan(&lane.shop, &json!({ "version": serves.0 })).status == 409 {
            lane.house.release_hold(&lane.shop, serves.0);
        }
        serves.0
    };
    let to = turn(&mut lane);
    let first = lane.places(&json!({ "version": to }));
    let to = turn(&mut lane);
    let places = lane.places(&json!({ "version": to }));
    assert!(first.len() > places.len() && places.len() > 12, "{first:?} {places:?}");
    for place in &places {
        let to = turn(&mut lane);
        lane.cut_at(place, &json!({ "version": to }), "rolled_back", to);
    }
    lane.shop.serves_alone(serves.0);
    lane.shop.compose_agrees(serves.0, &[]);
    eprintln!("forward: {} rollbacks cut, {} kills", places.len(), lane.kills);
    assert!(lane.kills >= 24, "only {} kills", lane.kills);
}

#[test]
fn killed_at_any_call_on_the_way_back_it_restores_what_served() {
    let mut lane = Lane::new("backward");
    let mut definition = lane.shop.definition();
    definition["timeouts"]["proof_s"] = json!(1);
    // One component: the way forward of two was cut already.
    lane.house.know(&definition);
    lane.shop.release("1.4.3", &["BAD_HEALTH=1", "BAD=1", "REPORT_VERSION=9.9.9"]);
    lane.shop.release("1.5.0", &[]);
    lane.house.deploy_until(&mut lane.shop, "1.4.3", "bad");
    lane.house.deploy_until(&mut lane.shop, "1.5.0", "good");
    let target = json!({ "version": "1.4.3" });
    lane.roll_back(&target);
    let before = lane.shop.running();

    let places = lane.places(&target);
    let starts = |place: &&Place| place.0.ends_with("/start");
    // What comes after the last start of a target's container is the way back.
    let forward = places.iter().position(|place| Some(place) == places.iter().filter(starts).nth(1)).unwrap();
    let turn = forward + 1 + places[forward + 1..].iter().take_while(|place| place.0.ends_with("/rename")).count();
    let back = &places[turn..];
    assert!(back.len() > 8, "{places:?}");
    for place in back {
        lane.cut_at(place, &target, "restored", "1.5.0");
        assert_eq!(lane.shop.running(), before, "the very containers that served before serve again");
    }
    lane.shop.serves_alone("1.5.0");
    eprintln!("backward: {} rollbacks cut, {} kills", back.len(), lane.kills);
    assert!(lane.kills >= 14, "only {} kills", lane.kills);
}

#[test]
fn killed_at_any_time_it_ends_well() {
    let seed = seed("killed at any time");
    let mut dice = Dice::new(seed);
    let mut lane = Lane::new("anytime");
    lane.shop = Application::plain(&lane.house.engine, "anytime", "api", &[json!({}), json!({})]);
    lane.house.know(&lane.shop.definition());
    lane.shop.release("1.4.2", &[]);
    lane.shop.release("1.4.3", &[]);
    lane.house.deploy_until(&mut lane.shop, "1.4.2", "good");
    lane.house.deploy_until(&mut lane.shop, "1.4.3", "good");
    let begun = Instant::now();
    lane.roll_back(&json!("last_known_good"));
    let usual = begun.elapsed();

    for round in 0..RANDOM_ROLLBACKS {
        let to = if round % 2 == 0 { "1.4.3" } else { "1.4.2" };
        lane.house.release_hold(&lane.shop, to);
        let share = |dice: &mut Dice| usual.mul_f64(u32::try_from(dice.below(1000)).map_or(0.5, f64::from) / 1000.0);
        let after = [share(&mut dice), share(&mut dice)];
        kill_after(&mut lane, &after, to, seed);
        if let Err(disorder) = lane.shop.disorder(to) {
            panic!("round {round} of seed {seed}: {disorder}");
        }
    }
    eprintln!("any time: {RANDOM_ROLLBACKS} rollbacks, {} kills, seed {seed}", lane.kills);
    assert!(lane.kills > 0);
}

/// A rollback during which the server is killed each time that long after it was ready.
fn kill_after(lane: &mut Lane, delays: &[Duration], to: &str, seed: u64) {
    let digest = lane.house.plan(&lane.shop, &json!({ "version": to }));
    let id = lane.house.request(&digest).expect(202).json()["id"].as_str().unwrap_or_default().to_owned();
    for delay in delays {
        let begun = Instant::now();
        until("the time for the kill has come", seconds(60), || (begun.elapsed() >= *delay).then_some(()));
        lane.house.kill();
        lane.kills += 1;
        lane.house.start();
    }
    let ended = lane.house.ended(&id);
    assert_eq!(ended["verdict"], "rolled_back", "seed {seed}: {ended}");
}
