//! The rules of claims as SQL, held against the same rules in `domain::lease`, case by case.

use domain::{
    lease::{self, Row},
    lifecycle::Event,
    name::Fence,
    time::Millis,
};
use store::Error;

use crate::house::{Hand, House, LEASE, worker};

/// The model's "now"; the row's lease ends an hour before or after it.
const NOW: Millis = Millis::from_secs(7200);
const HOUR: Millis = Millis::from_secs(3600);

struct Case {
    name: String,
    /// The row's fence and sequence, less the worker's.
    fence: i64,
    seq: i32,
    lives: bool,
}

fn grid() -> Vec<Case> {
    let mut cases = Vec::new();
    for fence in [-1, 0, 1] {
        for seq in [-1, 0, 1] {
            for lives in [true, false] {
                let name = format!("shop{}", cases.len());
                cases.push(Case {
                    name,
                    fence,
                    seq,
                    lives,
                });
            }
        }
    }
    cases
}

impl Case {
    /// The row that the worker meets, in the rule's words.
    fn row(&self, held: &lease::Held) -> Row {
        let lease_until = if self.lives {
            Millis(NOW.0 + HOUR.0)
        } else {
            Millis(NOW.0 - HOUR.0)
        };
        Row {
            fence: Fence(held.fence.0 + self.fence),
            seq: held.seq + self.seq,
            lease_until,
        }
    }

    /// The same row in the store.
    async fn put(&self, house: &House, row: &Row) {
        let sign = if self.lives { '+' } else { '-' };
        house
            .raw(format!(
                "update rollback_run set fence = {}, seq = {}, lease_until = now() {sign} interval '1 hour'
                 where application = '{}'",
                row.fence.0, row.seq, self.name
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_statements_allow_is_what_the_rules_allow() {
    let house = House::new().await;
    for case in grid() {
        let claimed = house.claimed(&case.name, &worker()).await;
        let mut hand = Hand::of(&claimed);
        let held = lease::Held {
            fence: claimed.fence,
            seq: claimed.seq,
        };
        let row = case.row(&held);
        let said = format!(
            "fence {:+}, seq {:+}, lives {}",
            case.fence, case.seq, case.lives
        );

        case.put(&house, &row).await;
        let renewed = house
            .store
            .renew(&[(claimed.rollback, held.fence)], LEASE)
            .await;
        let may_renew = row.fence == held.fence && !lease::claim_allowed(&row, NOW);
        assert_eq!(!renewed.unwrap().is_empty(), may_renew, "renew: {said}");

        case.put(&house, &row).await;
        let lost = Event::EngineLost {
            said: "away".to_owned(),
        };
        let appended = hand.append(&house.store, vec![lost]).await;
        let taken = match &appended {
            Ok(_) => true,
            Err(Error::Fenced) => false,
            Err(error) => panic!("append: {said}: {error}"),
        };
        assert_eq!(
            taken,
            lease::append_allowed(&row, &held, NOW),
            "append: {said}"
        );

        case.put(&house, &row).await;
        let claimed = house.store.claim(&worker(), 1, LEASE).await.unwrap();
        let given = claimed
            .iter()
            .any(|claim| claim.rollback == hand.held.rollback);
        assert_eq!(given, lease::claim_allowed(&row, NOW), "claim: {said}");
        if given {
            assert!(claimed[0].former_host.is_some(), "{said}");
        }
        // Out of the next case's way.
        house
            .raw(format!(
                "update rollback_run set lease_until = now() + interval '1 day' where application = '{}'",
                case.name
            ))
            .await;
    }
}

/// The holder's term ends before the store's lease, whatever its length, and never before most of it has passed.
#[test]
fn the_holder_stops_before_the_lease_is_over() {
    for lease in [1, 5, 100, 2000, 5000, 15_000, 3_600_000] {
        let term = lease::term(Millis(lease)).0;
        assert!(term <= lease && term >= lease * 4 / 5, "{lease}: {term}");
        assert!(lease < 5 || term < lease, "{lease}: {term}");
        assert_eq!(lease::deadline(Millis(7), Millis(lease)).0, 7 + term);
    }
}
