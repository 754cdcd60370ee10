//! The description is the committed one. A difference is a change of the API, to be read in a review.

use std::path::Path;

#[test]
fn the_description_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/sternway.json");
    let now = format!(
        "{}\n",
        serde_json::to_string_pretty(&api::openapi()).unwrap()
    );
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "the API has changed: run the test with UPDATE_OPENAPI=1 and read the difference of openapi/sternway.json"
    );
}

#[test]
fn every_operation_is_described_whole() {
    let document = serde_json::to_value(api::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(
                operation["summary"].is_string() && operation["operationId"].is_string(),
                "{name}"
            );
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{name}"
            );
            // Senders of CloudEvents ask before they can prove anything.
            let asks = operation["operationId"] == "agree_to_messages";
            let open = asks || !path.starts_with("/api/");
            assert!(
                open || (responses.contains_key("401") && responses.contains_key("403")),
                "{name}"
            );
        }
    }
}
