//! Each blocker is met, and what is no blocker stands in nobody's way.

use domain::{
    engine_look::{ContainerState, ImageFacts, TakenPort},
    front::{Filed, FrontServer},
    ledger::LastRollback,
    lifecycle::{Event, Phase, Run},
    name::RollbackId,
    plan::{self, Plan},
    planner::{BlockerCode, WarningCode},
    seen::Seen,
    specification::Published,
    steps::Step,
    target::Target,
    time::{Millis, Moment},
};
use uuid::Uuid;

use crate::shop::*;

type Met = (Shop, BlockerCode);

fn met_in_the_ledger() -> Vec<Met> {
    let never_good = |shop: &mut Shop| {
        shop.target = Target::LastKnownGood;
        shop.good().good_at = None;
    };
    let first = |shop: &mut Shop| {
        shop.target = Target::Previous;
        shop.releases.remove(0);
    };
    let held = |shop: &mut Shop| shop.good().hold = Some("it was bad".to_owned());
    let insecure = |shop: &mut Shop| shop.good().insecure = Some("CVE".to_owned());
    vec![
        (
            Shop::but(|shop| shop.target = version("9.9.9")),
            BlockerCode::UnknownVersion,
        ),
        (Shop::but(never_good), BlockerCode::NoKnownGood),
        (Shop::but(first), BlockerCode::NoPrevious),
        (
            Shop::but(|shop| shop.target = Target::Undo(RollbackId(Uuid::nil()))),
            BlockerCode::NotUndoable,
        ),
        (Shop::but(held), BlockerCode::Held),
        (Shop::but(insecure), BlockerCode::Insecure),
        (
            Shop::but(|shop| shop.good().components.clear()),
            BlockerCode::ComponentUnknown,
        ),
    ]
}

fn met_on_the_engine() -> Vec<Met> {
    let image_is = |seen: Seen<ImageFacts>| {
        Shop::but(|shop| drop(shop.look.images.insert(image(API_GOOD), seen)))
    };
    vec![
        (image_is(Seen::Absent), BlockerCode::ImageMissing),
        (
            image_is(Seen::Unknown("time-out".to_owned())),
            BlockerCode::ImageMissing,
        ),
        (image_is(facts("arm64")), BlockerCode::Architecture),
        (
            Shop::but(|shop| missing(shop, Seen::Unknown("connection refused".to_owned()))),
            BlockerCode::ImageMissing,
        ),
        (
            Shop::but(|shop| missing(shop, Seen::Absent)),
            BlockerCode::ImageMissing,
        ),
        (
            Shop::but(|shop| {
                missing(shop, Seen::Known(()));
                let api = "api".parse().unwrap();
                shop.good().components.get_mut(&api).unwrap().architecture =
                    Some("arm64".to_owned());
            }),
            BlockerCode::Architecture,
        ),
        (
            Shop::but(|shop| {
                missing(shop, Seen::Known(()));
                let api = "api".parse().unwrap();
                shop.good().components.get_mut(&api).unwrap().bytes = Some(1 << 40);
            }),
            BlockerCode::DiskFull,
        ),
        (
            Shop::but(|shop| shop.look.engine.disk_free = Seen::Known(1 << 20)),
            BlockerCode::DiskFull,
        ),
        (
            Shop::but(|shop| shop.look.lock = Some(lock(false))),
            BlockerCode::LockedElsewhere,
        ),
    ]
}

/// What the engine's host does not have for the target.
fn met_on_the_host() -> Vec<Met> {
    let stays = |shop: &mut Shop| {
        shape_of(shop).ports = vec![published(9000)];
        let worker = &mut shop.look.containers[2];
        worker.image = image(WORKER_GOOD);
        worker.live.ports = vec![published(9000)];
    };
    let gone = |shop: &mut Shop| {
        shape_of(shop).mounts = vec![bind("/srv/shop/conf")];
        shop.look
            .paths
            .insert("/srv/shop/conf".to_owned(), Seen::Absent);
    };
    vec![
        (
            Shop::but(|shop| somebody_has(shop, published(18080))),
            BlockerCode::PortTaken,
        ),
        (Shop::but(stays), BlockerCode::PortTaken),
        (Shop::but(gone), BlockerCode::BindSourceMissing),
        (Shop::but(need), BlockerCode::NetworkMissing),
        (
            Shop::but(|shop| {
                need(shop);
                let has = shop.look.has.as_mut().unwrap();
                has.networks.insert("shop_back".to_owned());
            }),
            BlockerCode::VolumeMissing,
        ),
    ]
}

/// The target publishes 18080, and a container of somebody else holds that port.
fn somebody_has(shop: &mut Shop, port: Published) {
    shape_of(shop).ports = vec![published(18080)];
    shop.look.taken = vec![TakenPort {
        container: "grafana".to_owned(),
        port,
    }];
}

fn met_at_a_container() -> Vec<Met> {
    let no_specification = |shop: &mut Shop| {
        shop.part().specification = None;
        shop.look.containers[0].specification = None;
    };
    let name_taken = |shop: &mut Shop| {
        shop.rename(0, &format!("shop-api-1.next-{}", short()));
        shop.look.names.insert("shop-api-1".to_owned(), id(77));
    };
    let paused = |shop: &mut Shop| shop.look.containers[0].state = ContainerState::Paused;
    vec![
        (
            Shop::but(|shop| shop.look.containers.truncate(2)),
            BlockerCode::ComponentAbsent,
        ),
        (
            Shop::but(no_specification),
            BlockerCode::SpecificationMissing,
        ),
        (
            Shop::but(|shop| shop.look.containers[0].auto_remove = true),
            BlockerCode::AutoRemove,
        ),
        (Shop::but(paused), BlockerCode::ContainerState),
        (Shop::but(name_taken), BlockerCode::NameTaken),
    ]
}

fn met_at_a_balancer() -> Vec<(Shop, BlockerCode)> {
    let away = behind_a_front(|shop, _| {
        let component = shop.application.components[0].name.clone();
        let seen = Seen::Unknown("HAProxy does not answer".to_owned());
        shop.look.fronts.insert(component, seen);
    });
    let unfit = |change: fn(&mut FrontServer)| {
        let shop = behind_a_front(|_, look| change(look.servers.get_mut("s2").unwrap()));
        (shop, BlockerCode::BalancerUnfit)
    };
    let gone = behind_a_front(|_, look| {
        look.servers.remove("s1");
    });
    let unnamed = behind_a_front(|shop, _| {
        let front = shop.application.components[0].front.as_mut().unwrap();
        front.servers.truncate(1);
    });
    vec![
        (away, BlockerCode::BalancerUnreachable),
        unfit(|server| server.address = Some("10.0.0.77:8080".parse().unwrap())),
        unfit(|server| server.address = None),
        unfit(|server| server.filed = Some(Filed::Unfit("edited".to_owned()))),
        (gone, BlockerCode::BalancerUnfit),
        (unnamed, BlockerCode::BalancerUnfit),
    ]
}

/// Every code has its place here: a new one does not compile until it is put after another one.
fn next_code(code: BlockerCode) -> Option<BlockerCode> {
    use BlockerCode as Code;
    match code {
        Code::UnknownVersion => Some(Code::NoKnownGood),
        Code::NoKnownGood => Some(Code::NoPrevious),
        Code::NoPrevious => Some(Code::NotUndoable),
        Code::NotUndoable => Some(Code::Held),
        Code::Held => Some(Code::Insecure),
        Code::Insecure => Some(Code::ImageMissing),
        Code::ImageMissing => Some(Code::ComponentUnknown),
        Code::ComponentUnknown => Some(Code::ComponentAbsent),
        Code::ComponentAbsent => Some(Code::SpecificationMissing),
        Code::SpecificationMissing => Some(Code::AutoRemove),
        Code::AutoRemove => Some(Code::ContainerState),
        Code::ContainerState => Some(Code::DiskFull),
        Code::DiskFull => Some(Code::LockedElsewhere),
        Code::LockedElsewhere => Some(Code::Architecture),
        Code::Architecture => Some(Code::BalancerUnreachable),
        Code::BalancerUnreachable => Some(Code::BalancerUnfit),
        Code::BalancerUnfit => Some(Code::NameTaken),
        Code::NameTaken => Some(Code::PortTaken),
        Code::PortTaken => Some(Code::BindSourceMissing),
        Code::BindSourceMissing => Some(Code::NetworkMissing),
        Code::NetworkMissing => Some(Code::VolumeMissing),
        // Those of a rebuild have a test of their own.
        Code::VolumeMissing | Code::NoSource | Code::TagMissing | Code::TagMoved => None,
    }
}

#[test]
fn each_blocker_is_met() {
    let table = [
        met_in_the_ledger(),
        met_on_the_engine(),
        met_on_the_host(),
        met_at_a_container(),
        met_at_a_balancer(),
    ]
    .concat();
    for (shop, code) in &table {
        let found = codes(shop);
        assert!(found.contains(code), "{code:?} was not met: {found:?}");
    }
    let every = std::iter::successors(Some(BlockerCode::UnknownVersion), |code| next_code(*code));
    for code in every {
        assert!(
            table.iter().any(|(_, met)| *met == code),
            "no line meets {code:?}"
        );
    }
}

#[test]
fn a_stale_lock_is_in_nobodys_way() {
    assert_eq!(
        codes(&Shop::but(|shop| shop.look.lock = Some(lock(true)))),
        []
    );
}

#[test]
fn two_persons_say_yes_each_counted_once() {
    let plan = Shop::but(|shop| {
        shop.application.approval = true;
        shop.application.approvers = 2;
    })
    .plan()
    .unwrap()
    .plan;
    assert!(
        plan.format >= plan::PLAN_FORMAT_TWO,
        "no older binary starts with one"
    );
    let at = Moment::from_unix_ms(1_000);
    let first = Event::Requested {
        approval_until: Some(at.after(Millis::from_secs(900))),
        break_glass: None,
    };
    let yes = |by: &str| Event::Approved {
        by: by.parse().unwrap(),
    };
    let run = Run::requested(&first, at).unwrap();
    let run = run.evolve(&plan, &yes("ben"), at).unwrap();
    assert_eq!(run.phase.word(), "awaiting_approval");
    assert!(run.clone().evolve(&plan, &yes("ben"), at).is_err());
    let run = run.evolve(&plan, &yes("eva"), at).unwrap();
    assert_eq!(run.phase, Phase::Forward { at: 0 });
}

#[test]
fn an_undone_rollbacks_own_hold_stands_in_nobodys_way_and_a_persons_does() {
    let undone = |hold_of_others: Option<&str>| {
        Shop::but(|shop| {
            let id = RollbackId(Uuid::from_u128(7));
            shop.good().hold = Some("rolled back: critical_bug".to_owned());
            shop.last = Some(LastRollback {
                id,
                from: Some("1.4.2".parse().unwrap()),
                to: "1.5.0".parse().unwrap(),
                hold_of_others: hold_of_others.map(str::to_owned),
            });
            shop.target = Target::Undo(id);
        })
    };
    let proposal = undone(None).plan().unwrap();
    assert_eq!(proposal.plan.to.as_str(), "1.4.2");
    assert!(proposal.plan.format >= plan::PLAN_FORMAT_UNDO);
    let warned = |code| proposal.warnings.iter().any(|warning| warning.code == code);
    assert!(warned(WarningCode::HoldReleased), "{:?}", proposal.warnings);
    let record = proposal
        .plan
        .steps
        .iter()
        .find(|step| **step == Step::Record);
    let said = record.unwrap().explain(&proposal.plan);
    assert!(said.contains("release the hold"), "{said}");

    let blockers = undone(Some("loses orders")).plan().unwrap_err();
    assert_eq!(blockers[0].code, BlockerCode::Held);
    assert!(
        blockers[0].sentence.contains("loses orders"),
        "{blockers:?}"
    );
}

#[test]
fn every_blocker_is_told_at_once() {
    let shop = Shop::but(|shop| {
        shop.good().hold = Some("bad".to_owned());
        shop.look.containers[0].auto_remove = true;
        shop.look.engine.disk_free = Seen::Known(0);
    });
    assert_eq!(
        codes(&shop),
        [
            BlockerCode::Held,
            BlockerCode::AutoRemove,
            BlockerCode::DiskFull
        ]
    );
}

#[test]
fn a_port_that_is_free_or_given_up_by_the_rollback_is_in_nobodys_way() {
    let udp = Published {
        protocol: "udp".to_owned(),
        ..published(18080)
    };
    let elsewhere = Published {
        host_ip: Some("127.0.0.2".to_owned()),
        ..published(18080)
    };
    for other in [published(18081), udp] {
        assert_eq!(codes(&Shop::but(|shop| somebody_has(shop, other))), []);
    }
    let local = |shop: &mut Shop| {
        somebody_has(shop, elsewhere.clone());
        shape_of(shop).ports[0].host_ip = Some("127.0.0.1".to_owned());
    };
    assert_eq!(codes(&Shop::but(local)), []);
    // Its own container holds the port now, and gives it up.
    let own = Shop::but(|shop| {
        shape_of(shop).ports = vec![published(18080)];
        shop.look.containers[0].live.ports = vec![published(18080)];
    });
    let plan = planned(&own).plan;
    assert_eq!(plan.swaps[0].ports, [published(18080)]);
    let stored: Plan = serde_json::from_str(&plan.bytes()).unwrap();
    assert_eq!(stored, plan);
}

#[test]
fn a_path_that_is_there_or_not_known_of_is_in_nobodys_way() {
    for seen in [Seen::Known(()), Seen::Unknown("no answer".to_owned())] {
        let shop = Shop::but(|shop| {
            shape_of(shop).mounts = vec![bind("/srv/shop/conf")];
            shop.look.paths.insert("/srv/shop/conf".to_owned(), seen);
        });
        assert_eq!(planned(&shop).plan.swaps[0].binds, ["/srv/shop/conf"]);
    }
}
