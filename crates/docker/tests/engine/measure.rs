use std::time::Instant;
use domain::effect::Effect;
use crate::house::House;

fn median(mut v: Vec<f64>) -> String { v.sort_by(f64::total_cmp); format!("median {:.2} ms (min {:.2}, max {:.2}, n {})", v[v.len()/2], v[0], v[v.len()-1], v.len()) }

#[tokio::test]
async fn measure() {
    let mut house = House::new().await;
    let mut t: std::collections::BTreeMap<&str, Vec<f64>> = Default::default();
    let mut id = house.web("web-1", "1", &["-p", "127.0.0.1::8080"], &["api"]);
    for n in 2..6 { house.web(&format!("web-{n}"), &n.to_string(), &[], &[]); }
    house.look().await;
    for _ in 0..100 {
        let b = Instant::now(); let req = docker::LookRequest { application: &house.application, images: &[], disk: false, specifications: false };
        house.engine.look(&req).await.unwrap(); t.entry("look, 5 containers").or_default().push(b.elapsed().as_secs_f64()*1e3);
        let b = Instant::now(); house.look().await; t.entry("look + disk + specifications").or_default().push(b.elapsed().as_secs_f64()*1e3);
    }
    for _ in 0..12 {
        let meant = house.look().await.specifications.remove(&id).unwrap();
        let e = house.creation("1", &id).await;
        let mut go = async |name: &'static str, e: Effect| { let b = Instant::now(); let p = house.engine.perform(&e, &house.context(Some(&meant))).await; t.entry(name).or_default().push(b.elapsed().as_secs_f64()*1e3); assert_eq!(p.outcome, domain::effect::Outcome::Done, "{e:?}"); };
        go("create", e).await;
        let next = house.look().await.look.containers.into_iter().find(|c| c.mark.as_ref().is_some_and(|m| m.replaces == id)).unwrap().id;
        go("capture", Effect::Capture { component: "web".parse().unwrap(), container: id.clone() }).await;
        go("stop (bridge + port)", Effect::StopContainer { container: id.clone(), grace_s: 5 }).await;
        go("start (bridge + port)", Effect::StartContainer { container: next.clone(), restart: None }).await;
        go("rename", Effect::RenameContainer { container: id.clone(), name: house.named("web-1.former-0123456789ab") }).await;
        go("rename", Effect::RenameContainer { container: next.clone(), name: house.named("web-1") }).await;
        go("remove", Effect::RemoveContainer { container: id.clone() }).await;
        house.rollback = crate::house::new_rollback();
        id = next;
    }
    for (k, v) in t { eprintln!("{k}: {}", median(v)); }
}

#[tokio::test]
async fn disk_full_adhoc() {
    let Ok(fill) = std::env::var("FILL") else { return };
    let mut house = House::new().await;
    let id = house.web("web-1", "1", &["--restart", "always"], &[]);
    let meant = house.look().await.specifications.remove(&id).unwrap();
    let e = house.creation("2", &id).await;
    eprintln!("create before: {:?}", house.engine.perform(&e, &house.context(Some(&meant))).await.outcome);
    let next = house.look().await.look.containers.into_iter().find(|c| c.mark.is_some()).unwrap().id;
    let _ = std::process::Command::new("sh").args(["-c", &format!("head -c 200M /dev/zero > {fill}")]).status();
    eprintln!("disk: {:?}", house.look().await.look.engine.disk_free);
    eprintln!("keep: {:?}", house.perform(&Effect::KeepImage { image: house.image("1").await }).await);
    eprintln!("lock: {:?}", house.perform(&Effect::TakeLock { image: house.image("1").await }).await);
    house.rollback = crate::house::new_rollback();
    let e = house.creation("2", &id).await;
    eprintln!("create: {:?}", house.engine.perform(&e, &house.context(Some(&meant))).await.outcome);
    eprintln!("stop: {:?}", house.perform(&Effect::StopContainer { container: id.clone(), grace_s: 2 }).await);
    eprintln!("seen: {:?}", house.seen(&id).await.map(|c| (c.state, c.restart)));
    house.docker(&["stop", "-t", "1", id.as_str()]);
    eprintln!("seen after a stop by hand: {:?}", house.seen(&id).await.map(|c| (c.state, c.restart)));
    eprintln!("start: {:?}", house.perform(&Effect::StartContainer { container: next.clone(), restart: None }).await);
    eprintln!("rename: {:?}", house.perform(&Effect::RenameContainer { container: id.clone(), name: house.named("r") }).await);
    eprintln!("remove: {:?}", house.perform(&Effect::RemoveContainer { container: next.clone() }).await);
    std::fs::remove_file(fill).unwrap();
}

#[tokio::test]
async fn restart_adhoc() {
    let Ok(signal) = std::env::var("SIGNAL_ADHOC") else { return };
    let dir = std::env::var("DIR_ADHOC").unwrap();
    let house = House::new().await;
    let id = house.web("web-1", "1", &["--restart", "always", "-e", "IGNORE_TERM=1"], &[]);
    let kill = std::thread::spawn({ let (signal, dir) = (signal.clone(), dir.clone()); move || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let pid = if signal == "containerd" { "$(cat {D}/exec/containerd/containerd.pid)" } else { "$(cat {D}/pid)" };
        let sig = if signal == "containerd" { "-KILL" } else { &signal };
        std::process::Command::new("sh").args(["-c", &format!("kill {sig} {pid}").replace("{D}", &dir)]).status().unwrap();
    }});
    let b = Instant::now();
    let out = house.perform(&Effect::StopContainer { container: id.clone(), grace_s: 6 }).await;
    eprintln!("{signal}: stop after {:?}: {out:?}", b.elapsed());
    kill.join().unwrap();
    let req = docker::LookRequest { application: &house.application, images: &[], disk: false, specifications: false };
    for _ in 0..8 { 
        let b = Instant::now();
        match house.engine.look(&req).await { Ok(l) => eprintln!("look: {:?}", l.look.containers.iter().map(|c| (c.state, c.exit_code, c.restart.name.clone())).collect::<Vec<_>>()), Err(e) => eprintln!("look after {:?}: {:?} {e}", b.elapsed(), e.kind()) }
        let s = house.perform(&Effect::StartContainer { container: id.clone(), restart: None }).await;
        eprintln!("start: {s:?}");
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    }
}
