use crate::house::*;
use crate::house::door::EngineDoor;
#[test] fn private() {
    let t=std::time::Instant::now();
    let mut p = PrivateEngine::new(Some(64), &["--live-restore"]);
    eprintln!("private up {:?}", t.elapsed());
    let id = p.engine.run("x", &serde_json::json!({"Image":"sternway-demo:1.4.2"}));
    p.kill(); p.start();
    assert_eq!(p.engine.inspect(&id).unwrap()["State"]["Running"], true);
    p.fill_up();
    let r = p.engine.ask("POST","/containers/create?name=y",&serde_json::json!({"Image":"sternway-demo:1.4.2"}));
    eprintln!("{} {}", r.status, r.text());
    p.free();
    p.stop(); p.start();
    eprintln!("{:?}", t.elapsed());
}
#[test] fn db() {
    let t=std::time::Instant::now();
    let mut d = Database::new();
    d.kill(); d.start(); 
    assert_eq!(d.sql("select 1"), "1");
    eprintln!("db {:?}", t.elapsed());
}
#[test] fn app() {
    let t=std::time::Instant::now();
    let e = Engine::of_this_machine();
    let f = house::child::Folder::new("d");
    let door = EngineDoor::new(&f.join("s"), &e);
    let through = Engine::at(f.join("s"));
    let mut a = Application::shop(&e, "selfshop");
    a.up("1.4.2");
    eprintln!("up {:?}", t.elapsed());
    a.serves_alone("1.4.2"); a.compose_agrees("1.4.2", &[]);
    eprintln!("agrees {:?}", t.elapsed());
    let r = a.release("1.4.3", &["BAD_HEALTH=1"]);
    let img = e.ask("GET",&format!("/images/{r}/json"),&serde_json::Value::Null).json();
    eprintln!("{:?} {}", t.elapsed(), img["Config"]);
    let id = a.running()[0].clone();
    door.trap("change", 2, When::After, Luck::Cut);
    assert_eq!(through.ask("POST", &format!("/containers/{id}/stop?t=0"), &serde_json::Value::Null).status, 204);
    assert!(through.try_ask("POST", &format!("/containers/{id}/start"), &serde_json::Value::Null).is_err());
    eprintln!("{:?}", door.calls());
    let mut pl = Application::plain(&e, "selfplain", "api", &[serde_json::json!({}), serde_json::json!({})]);
    pl.up("1.4.2"); pl.serves_alone("1.4.2");
    eprintln!("{:?}", t.elapsed());
}
use crate::house;
