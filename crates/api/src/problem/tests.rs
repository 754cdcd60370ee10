use super::*;
use axum::body::to_bytes;
use domain::planner::BlockerCode;
use serde_json::{Value, json};

fn id() -> RollbackId {
    RollbackId("0199c0de-7a11-7000-8000-000000000001".parse().unwrap())
}

fn digest(digit: &str) -> PlanDigest {
    digit.repeat(64).parse().unwrap()
}

/// One of each way to say no.
fn every_problem() -> Vec<Problem> {
    let blocker = Blocker {
        code: BlockerCode::Held,
        sentence: "1.4.2 is held: loses orders".to_owned(),
        next_action: "release the hold first".to_owned(),
    };
    let field = || FieldError {
        field: "name".to_owned(),
        what: "is used twice".to_owned(),
    };
    let source = || Box::new(std::io::Error::other("password=planted"));
    vec![
        Problem::no_route("/nothing"),
        Problem::not_found("application", "shop"),
        Problem::method("PATCH", "/api/v1/me"),
        Problem::path_not_canonical(),
        Problem::parameter("limit", "use 1 to 100"),
        Problem::malformed_json("EOF while parsing"),
        Problem::media_type(None),
        Problem::media_type(Some("text/plain")),
        Problem::body_too_large(65536),
        Problem::body_too_slow(10),
        Problem::fields([field()]),
        Problem::unauthenticated("there is no token"),
        Problem::forbidden("viewer", "make plans"),
        Problem::self_approval("ana"),
        Problem::too_many_failures(30),
        Problem::revision_required(3),
        Problem::revision_stale(),
        Problem::rollback_active(id(), "shop"),
        Problem::rollback_ended(id(), "restored"),
        Problem::cancel_too_late(id(), "the target is proved to be serving"),
        Problem::plan_unknown(&digest("a")),
        Problem::plan_stale(digest("b"), vec!["1.5.0 ran, now 1.6.0 runs".to_owned()]),
        Problem::digest_differs(&digest("a")),
        Problem::plan_blocked(vec![blocker]),
        Problem::nothing_to_do("1.4.2"),
        Problem::approval_not_awaited(id(), "forward"),
        Problem::approval_over(id(), domain::time::Moment::from_unix_ms(0)),
        Problem::image_unknown(vec![field()]),
        Problem::key_bad("is missing"),
        Problem::key_reused(),
        Problem::no_source(&"shop".parse().unwrap()),
        Problem::source_unreachable("git was not done after 8 s"),
        Problem::engine_unreachable("connection refused"),
        Problem::not_adoptable("there is no project `shap`"),
        Problem::timed_out(15),
        Problem::message_refused(domain::trigger::verify::Refusal::Wrong, 401),
        Problem::message_not_kept("the database is away"),
        Problem::too_many_streams(),
        Problem::internal(),
        store::Error::NotFound("hold").into(),
        store::Error::Conflict(store::Constraint::Taken("token")).into(),
        store::Error::KeyLost("0a0b".to_owned()).into(),
        store::Error::Unavailable(source()).into(),
        store::Error::Corrupt("password=planted".to_owned()).into(),
    ]
}

async fn rendered(problem: Problem) -> Value {
    let response = problem.answer("id-1");
    let headers = response
        .headers()
        .iter()
        .filter(|(name, _)| **name != header::CONTENT_LENGTH);
    let headers: Value = headers
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    json!({"headers": headers, "body": serde_json::from_slice::<Value>(&bytes).unwrap()})
}

#[tokio::test]
async fn every_problem_body_is_the_committed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/problems.json");
    let mut all = Vec::new();
    for problem in every_problem() {
        all.push(rendered(problem).await);
    }
    let now = format!("{}\n", serde_json::to_string_pretty(&all).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == now,
        "problems have changed: run with UPDATE_GOLDEN=1 and read the difference of {path}"
    );
    assert!(
        !now.contains("planted"),
        "a problem shows what the source said"
    );
}

#[test]
fn every_code_is_said_somewhere_and_none_is_said_twice() {
    let said: Vec<Code> = every_problem().iter().map(|problem| problem.code).collect();
    for code in Code::ALL {
        assert!(said.contains(code), "nothing says {}", code.word());
        assert_eq!(serde_json::to_value(code).unwrap(), code.word());
    }
}
