//! The names of everything that a worker counts.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use store::{Standing, WaysBack};

/// Effects performed, by `effect` and `outcome`.
pub const EFFECTS: &str = "sternway_effects_total";
/// Duration of effects, by `effect`.
pub const EFFECT_SECONDS: &str = "sternway_effect_duration_seconds";
/// Rollbacks claimed; `taken_over` says whether from a worker that died.
pub const CLAIMS: &str = "sternway_claims_total";
/// Claims lost to a newer fence or to time.
pub const FENCED: &str = "sternway_claims_lost_total";
/// Rollbacks ended, by `verdict`.
pub const VERDICTS: &str = "sternway_rollbacks_ended_total";
/// Rollbacks that this worker drives now.
pub const DRIVEN: &str = "sternway_rollbacks_driven";
/// Deployments judged, by `state`.
pub const DEPLOYMENTS: &str = "sternway_deployments_judged_total";

/// Releases that are kept as ways back and could not come back, of all applications.
pub const BROKEN: &str = "sternway_releases_broken";
/// Releases that are kept and whose images are all on the engine, of all applications.
pub const READY: &str = "sternway_releases_ready";
/// Rollbacks by where they stand, by `phase`.
pub const STANDING: &str = "sternway_rollbacks";
/// Rollbacks that are due and that no worker has claimed.
pub const UNCLAIMED: &str = "sternway_rollbacks_unclaimed";
/// Workers that gave a sign of life in the last half minute.
pub const WORKERS: &str = "sternway_workers";
/// Deployments found running that nobody had reported.
pub const DETECTED: &str = "sternway_deployments_detected_total";
/// Fronts that were pointed at containers with other addresses.
pub const FOLLOWED: &str = "sternway_fronts_followed_total";
/// Held releases found running again, by `outcome`.
pub const RETURNS: &str = "sternway_held_returns_total";
/// Decisions about what triggers told, by `outcome`.
pub const DECISIONS: &str = "sternway_trigger_decisions_total";
/// Deadlines of decisions that passed with nothing done.
pub const DEADLINES: &str = "sternway_decision_deadlines_passed_total";
/// Messages in channels of chats, by `outcome`: posted, changed, or why a chat did not take one.
pub const CHAT_POSTS: &str = "sternway_chat_posts_total";
/// Answers to persons in chats, by `outcome`.
pub const CHAT_ANSWERS: &str = "sternway_chat_answers_total";
/// Plans in chats that were taken up and never asked for.
pub const CHAT_BROKEN: &str = "sternway_chat_broken_total";
/// Engines that are listened to now.
pub const ENGINES_HEARD: &str = "sternway_engines_heard";

/// Tells the recorder what each name means.
pub fn describe() {
    describe_counter!(EFFECTS, "Effects performed on engines and the ledger");
    describe_histogram!(EFFECT_SECONDS, Unit::Seconds, "Duration of effects");
    describe_counter!(CLAIMS, "Rollbacks claimed");
    describe_counter!(FENCED, "Claims lost to a newer fence or to time");
    describe_counter!(VERDICTS, "Rollbacks ended");
    describe_gauge!(DRIVEN, "Rollbacks driven now");
    describe_counter!(DEPLOYMENTS, "Deployments judged");
    describe_gauge!(
        BROKEN,
        "Releases kept as ways back that could not come back"
    );
    describe_gauge!(READY, "Releases kept whose images are all on the engine");
    describe_gauge!(STANDING, "Rollbacks that have not ended, by phase");
    describe_gauge!(UNCLAIMED, "Rollbacks that are due and unclaimed");
    describe_gauge!(WORKERS, "Workers that live");
    describe_counter!(
        DETECTED,
        "Deployments found running that nobody had reported"
    );
    describe_counter!(
        FOLLOWED,
        "Fronts that were pointed at containers with other addresses"
    );
    describe_counter!(RETURNS, "Held releases found running again");
    describe_counter!(DECISIONS, "Decisions about what triggers told");
    describe_counter!(
        DEADLINES,
        "Deadlines of decisions that passed with nothing done"
    );
    describe_counter!(
        CHAT_POSTS,
        "Messages in channels of chats: posted, changed, or why one was not taken"
    );
    describe_counter!(CHAT_ANSWERS, "Answers to persons in chats");
    describe_counter!(
        CHAT_BROKEN,
        "Plans in chats that were taken up and never asked for"
    );
    describe_gauge!(ENGINES_HEARD, "Engines that are listened to now");
}

/// Tells the recorder what stands in the store. These are sums over all applications, since whoever scrapes needs no
/// token; every process says the same.
pub fn tell(standing: &Standing, ways_back: &WaysBack) {
    gauge!(STANDING, "phase" => "awaiting_approval").set(standing.awaiting_approval as f64);
    gauge!(STANDING, "phase" => "acting").set(standing.acting as f64);
    gauge!(STANDING, "phase" => "watching").set(standing.watching as f64);
    gauge!(UNCLAIMED).set(standing.unclaimed as f64);
    gauge!(WORKERS).set(standing.workers as f64);
    gauge!(BROKEN).set(ways_back.broken as f64);
    gauge!(READY).set(ways_back.ready as f64);
}
