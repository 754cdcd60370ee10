//! kill -9 of the real server, at every call that a rollback makes to its engine, on both sides of it, and at
//! random times. Whatever is cut, the next start ends it well: there is no recovery path to test but the only path.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::house::{
    Application, Engine, House, Luck, When,
    asks::unique,
    dice::{Dice, seed},
    outside, seconds, until,
};

/// The longest that a rollback of these applications takes with two restarts of the server in it.
const END_LIMIT: Duration = Duration::from_secs(120);
/// Houses among which the places are dealt out: a rollback whose worker died waits long before it gives the lock
/// back, and waiting costs nothing.
const LANES: usize = 2;
/// Rollbacks of each lane that are cut at random times, twice each.
const RANDOM_ROLLBACKS: u64 = 4;

/// Fewest kills on the way forward, on the way back, and at random times.
const FORWARD_MIN: usize = 24;
const BACKWARD_MIN: usize = 14;
const RANDOM: usize = LANES * RANDOM_ROLLBACKS as usize * 2;
const _: () = assert!(
    FORWARD_MIN + BACKWARD_MIN + RANDOM >= 50,
    "fifty kills in every run"
);

/// A place at which a rollback can be cut: the n-th call of this name.
pub(crate) type Place = (String, usize);

/// A server, an application, and how often the server was killed so far.
pub(crate) struct Lane {
    pub(crate) house: House,
    pub(crate) shop: Application,
    pub(crate) kills: usize,
}

impl Lane {
    pub(crate) fn new(what: &str) -> Self {
        let engine = Engine::of_this_machine();
        Self {
            house: House::new(),
            shop: Application::shop(&engine, what),
            kills: 0,
        }
    }

    /// Requests a rollback, starts the server again whenever it is gone, and returns the verdict.
    pub(crate) fn roll_back(&mut self, target: &Value) -> Value {
        let digest = self.house.plan(&self.shop, target);
        let key = unique();
        let mut id: Option<String> = None;
        until("the rollback ends", END_LIMIT, || {
            if !self.house.lives() {
                self.kills += 1;
                // Not until it is ready: it takes the rollback up at once, and may be cut again before.
                self.house.launch();
            }
            // A request whose answer got lost is repeated with its key; it is the same request.
            let seen = match &id {
                None => self.house.try_request(&digest, &key),
                Some(id) => {
                    self.house
                        .try_ask("GET", &format!("/api/v1/rollbacks/{id}"), &[], &Value::Null)
                }
            };
            // A server that has just started may not have its database yet.
            let reply = seen.ok().filter(|reply| reply.status != 503)?;
            assert!(matches!(reply.status, 200 | 202), "{}", reply.text());
            let seen = reply.json();
            id = seen["id"].as_str().map(str::to_owned);
            (seen["phase"] == "ended").then_some(())
        });
        self.house.ended(&id.unwrap_or_default())
    }

    /// Every call that counts, of one undisturbed rollback, from this position of it on.
    pub(crate) fn places(&mut self, target: &Value) -> Vec<Place> {
        self.house.door.forget();
        self.roll_back(target);
        let mut places: Vec<Place> = Vec::new();
        for call in self
            .house
            .door
            .calls()
            .into_iter()
            .filter(|call| call.changes || call.name.ends_with("/logs"))
            .filter(|call| !outside(&call.name))
        {
            let nth = places.iter().filter(|(name, _)| *name == call.name).count() + 1;
            places.push((call.name, nth));
        }
        places
    }

    /// One rollback, cut before the call and, when the next server makes it again, after it.
    pub(crate) fn cut_at(
        &mut self,
        (call, nth): &Place,
        target: &Value,
        verdict: &str,
        serves: &str,
    ) {
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
        // Calls that are made at the same time are cut by the same kill.
        let seen = self.kills - kills;
        assert!((1..=sprung).contains(&seen), "{seen} of {sprung} kills");
        self.house.door.disarm();
    }
}

/// Runs one thread for each lane and adds up the kills.
pub(crate) fn in_lanes(run: impl Fn(usize) -> usize + Sync) -> usize {
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| (lane, &run))
            .map(|(lane, run)| scope.spawn(move || run(lane)))
            .collect();
        lanes
            .into_iter()
            .map(|lane| lane.join().expect("the lane went well"))
            .sum()
    })
}

/// The places that are this lane's.
pub(crate) fn dealt(places: &[Place], lane: usize) -> impl Iterator<Item = &Place> {
    places.iter().skip(lane).step_by(LANES)
}

#[test]
fn killed_at_any_call_on_the_way_forward_it_brings_the_target_back() {
    let kills = in_lanes(forward);
    eprintln!("forward: {kills} kills");
    assert!(kills >= FORWARD_MIN, "only {kills} kills");
}

fn forward(number: usize) -> usize {
    let mut lane = Lane::new("forward");
    let versions = ["1.4.2", "1.4.3"];
    lane.house.know(&lane.shop.definition());
    for version in versions {
        lane.shop.release(version, &[]);
        lane.house.deploy_until(&mut lane.shop, version, "good");
    }
    let mut turn = 0;
    let mut next = |lane: &Lane| {
        turn += 1;
        let to = versions[(turn + 1) % 2];
        if lane
            .house
            .ask_plan(&lane.shop, &json!({ "version": to }))
            .status
            == 409
        {
            lane.house.release_hold(&lane.shop, to);
        }
        to
    };
    let to = next(&lane);
    let places = lane.places(&json!({ "version": to }));
    assert!(places.len() > 12, "{places:?}");
    let mut serves = to;
    for place in dealt(&places, number) {
        let to = next(&lane);
        lane.cut_at(place, &json!({ "version": to }), "rolled_back", to);
        serves = to;
    }
    lane.shop.serves_alone(serves);
    lane.kills
}

#[test]
fn killed_at_any_call_on_the_way_back_it_restores_what_served() {
    let kills = in_lanes(backward);
    eprintln!("backward: {kills} kills");
    assert!(kills >= BACKWARD_MIN, "only {kills} kills");
}

fn backward(number: usize) -> usize {
    let mut lane = Lane::new("backward");
    let mut definition = lane.shop.definition();
    // On a stage it would be found out before anything is touched.
    definition["components"][0]["overlap"] = json!(false);
    lane.house.know(&definition);
    lane.shop
        .release("1.4.3", &["BAD_HEALTH=1", "BAD=1", "REPORT_VERSION=9.9.9"]);
    lane.shop.release("1.5.0", &[]);
    lane.house.deploy_until(&mut lane.shop, "1.4.3", "bad");
    lane.house.deploy_until(&mut lane.shop, "1.5.0", "good");
    // It is proved to be bad soon; the deployments before were given the time to boot.
    definition["timeouts"]["proof_s"] = json!(3);
    lane.house.correct(&definition);
    let target = json!({ "version": "1.4.3" });
    lane.roll_back(&target);
    let before = lane.shop.running();

    let places = lane.places(&target);
    let back = way_back(&places);
    assert!(back.len() > 8, "{places:?}");
    for place in dealt(back, number) {
        lane.cut_at(place, &target, "restored", "1.5.0");
        assert_eq!(
            lane.shop.running(),
            before,
            "the very containers that served before serve again"
        );
    }
    lane.shop.serves_alone("1.5.0");
    lane.kills
}

/// What comes after the second target was started and got its name: the proof fails, and the way back begins.
fn way_back(places: &[Place]) -> &[Place] {
    let started = places
        .iter()
        .enumerate()
        .filter(|(_, place)| place.0.ends_with("/start"))
        .nth(1);
    let (at, _) = started.expect("two targets were started");
    let named = places[at + 1..]
        .iter()
        .take_while(|place| place.0.ends_with("/rename"))
        .count();
    &places[at + 1 + named..]
}

#[test]
fn killed_at_any_time_it_ends_well() {
    let seed = seed("killed at any time");
    let kills = in_lanes(|lane| any_time(seed + lane as u64));
    eprintln!("any time: {kills} kills, seed {seed}");
    assert_eq!(kills, RANDOM);
}

fn any_time(seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let mut lane = Lane::new("anytime");
    lane.shop = Application::plain(
        &lane.house.engine,
        "anytime",
        "api",
        &[json!({}), json!({})],
    );
    lane.house.know(&lane.shop.definition());
    for version in ["1.4.2", "1.4.3"] {
        lane.shop.release(version, &[]);
        lane.house.deploy_until(&mut lane.shop, version, "good");
    }
    let begun = Instant::now();
    lane.roll_back(&json!("last_known_good"));
    let usual = begun.elapsed();

    for round in 0..RANDOM_ROLLBACKS {
        let to = if round % 2 == 0 { "1.4.3" } else { "1.4.2" };
        lane.house.release_hold(&lane.shop, to);
        let mut share =
            || usual.mul_f64(u32::try_from(dice.below(1000)).map_or(0.5, f64::from) / 1000.0);
        let delays = [share(), share()];
        kill_after(&mut lane, &delays, to, seed);
        if let Err(disorder) = lane.shop.disorder(to) {
            panic!("round {round} of seed {seed}: {disorder}");
        }
    }
    lane.kills
}

/// A rollback during which the server is killed each time that long after it was ready.
fn kill_after(lane: &mut Lane, delays: &[Duration], to: &str, seed: u64) {
    let digest = lane.house.plan(&lane.shop, &json!({ "version": to }));
    let id = lane.house.request(&digest).expect(202).json()["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for delay in delays {
        let begun = Instant::now();
        until("the time for the kill has come", seconds(60), || {
            (begun.elapsed() >= *delay).then_some(())
        });
        lane.house.kill();
        lane.kills += 1;
        lane.house.start();
    }
    let ended = lane.house.ended(&id);
    assert_eq!(ended["verdict"], "rolled_back", "seed {seed}: {ended}");
}
