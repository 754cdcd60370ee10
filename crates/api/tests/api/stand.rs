//! A server to aim tools at (schemathesis, slowhttptest): it stands until it is killed.

use serde_json::json;

use crate::house::House;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "stands until it is killed; STERNWAY_STAND names the file that says where"]
async fn a_server_to_aim_tools_at() {
    let house = House::new().await;
    house.with_history("shop").await;
    let id = house.rollback("shop").await;
    let mut hand = house.worker.claim(id).await;
    hand.walk_to_watch().await;
    hand.end().await;
    let file = std::env::var("STERNWAY_STAND").expect("STERNWAY_STAND names a file");
    let about = json!({"url": format!("http://{}", house.address), "token": house.admin, "rollback": id.to_string()});
    std::fs::write(file, about.to_string()).unwrap();
    house.served.await.unwrap();
}
