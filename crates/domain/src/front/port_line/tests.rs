use proptest::prelude::*;

use super::*;

const SHOP: &str = "version: \"2.4\"\nx-common: &common\n  ports: [\"1:1\"]\nservices:\n  # the shop\n  api:\n    image: shop:1.5.0 # now\n    \
    ports:\n      - \"127.0.0.1:8080:8080\" # clients\n\n      # for us\n      - \"9090\"\n    environment: {A: b}\n  \
    worker:\n    image: shop:1.5.0\n    ports: ['8080:8080']\n  long:\n    ports:\n    - target: 80\n      published: 8081\n      \
    protocol: tcp\n    - 81:81/udp\nports:\n  - \"8080:8080\"\n";

fn port(host_ip: Option<&str>, host: u16, inside: u16) -> Published {
    Published {
        port: inside,
        protocol: "tcp".to_owned(),
        host_ip: host_ip.map(str::to_owned),
        host_port: Some(host),
    }
}

fn take(text: &str, service: &str, port: &Published) -> Result<Option<String>, String> {
    let taken = taken(text.as_bytes(), &service.parse().unwrap(), port)?;
    Ok(taken.map(|taken| String::from_utf8(taken).unwrap()))
}

#[test]
fn one_line_becomes_a_comment_and_nothing_else() {
    let local = port(Some("127.0.0.1"), 8080, 8080);
    let edited = take(SHOP, "api", &local).unwrap().unwrap();
    let line = "      - \"127.0.0.1:8080:8080\" # clients\n";
    let marked = format!("      {MARK}{}", line.trim_start());
    assert_eq!(edited, SHOP.replace(line, &marked));
    assert!(is_taken(edited.as_bytes()) && !is_taken(SHOP.as_bytes()));
    assert_eq!(take(&edited, "api", &local), Ok(None), "it is done");
}

#[test]
fn a_list_that_would_be_empty_goes_with_its_key() {
    let edited = take(SHOP, "worker", &port(None, 8080, 8080))
        .unwrap()
        .unwrap();
    assert!(
        edited.contains(&format!("    {MARK}ports: ['8080:8080']\n")),
        "{edited}"
    );
    let alone = "services:\r\n  api:\r\n    ports:\r\n    - 80:8080\r\n";
    let edited = take(alone, "api", &port(None, 80, 8080)).unwrap().unwrap();
    let marked = format!("services:\r\n  api:\r\n    {MARK}ports:\r\n    {MARK}- 80:8080\r\n");
    assert_eq!(edited, marked);
}

#[test]
fn the_long_form_goes_with_all_of_its_lines() {
    let edited = take(SHOP, "long", &port(None, 8081, 80)).unwrap().unwrap();
    let lines = format!(
        "    {MARK}- target: 80\n      {MARK}published: 8081\n      {MARK}protocol: tcp\n    - 81:81/udp\n"
    );
    assert!(edited.contains(&lines), "{edited}");
}

#[test]
fn variables_may_be_anything_as_long_as_only_one_line_fits() {
    let local = port(Some("127.0.0.1"), 8080, 8080);
    for item in [
        "127.0.0.1:${PORT:-8080}:8080",
        "${IP:-127.0.0.1}:8080:8080",
        "$IP:$PORT:8080",
        "${PORTS}",
    ] {
        let text =
            format!("services:\n  api:\n    ports:\n      - \"{item}\"\n      - 9090:9090\n");
        assert!(take(&text, "api", &local).unwrap().is_some(), "{item}");
        let twice = format!("{text}      - \"{item}\"\n");
        assert!(take(&twice, "api", &local).is_err(), "{item}");
    }
}

#[test]
fn another_port_is_none_and_what_is_not_certain_is_refused() {
    for other in [port(None, 8080, 8080), port(Some("127.0.0.1"), 8080, 80)] {
        assert_eq!(take(SHOP, "api", &other), Ok(None));
    }
    assert_eq!(take(SHOP, "cron", &port(None, 8080, 8080)), Ok(None));
    let any = port(None, 80, 80);
    for ports in [
        "    ports: [\"80:80\", \"81:81\"]\n",
        "    ports: *common\n",
        "    ports:\n      - *port\n",
        "    ports:\n      - {target: 80}\n",
        "    ports:\n      - 80:80\n    ports:\n      - 80:80\n",
    ] {
        let text = format!("services:\n  api:\n{ports}");
        assert!(take(&text, "api", &any).is_err(), "{ports}");
    }
    assert!(taken(b"services:\n  \xff", &"api".parse().unwrap(), &any).is_err());
}

#[test]
fn it_is_put_back_under_other_edits_and_refused_where_it_was_edited_itself() {
    let (api, local) = ("api".parse().unwrap(), port(Some("127.0.0.1"), 8080, 8080));
    let edited = take(SHOP, "api", &local).unwrap().unwrap();
    let back = |text: &str| put_back(text.as_bytes(), &api, &local);
    assert_eq!(back(&edited).unwrap(), SHOP.as_bytes());
    let later = edited.replace("shop:1.5.0", "shop:1.6.0");
    assert_eq!(
        back(&later).unwrap(),
        SHOP.replace("1.5.0", "1.6.0").into_bytes()
    );
    for bad in [
        edited.replace("127.0.0.1:8080", "127.0.0.1:8090"),
        SHOP.replace("8080:8080", "8090:8080"),
        edited.replace("      # sternway", "  # sternway"),
    ] {
        assert!(back(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_taken_is_put_back_byte_for_byte(
        lines in prop::collection::vec("(    |      |        )(- [0-9]{2}:[0-9]{2}|a: b|# c|)", 0..8),
        level in 0_usize..3, key in any::<bool>(),
    ) {
        let list = if key { "    ports:\n" } else { "" };
        let pad = " ".repeat(4 + level);
        let text = format!("services:\n  api:\n{list}{pad}- 80:80\n{}\n", lines.join("\n"));
        let (api, port) = ("api".parse().unwrap(), port(None, 80, 80));
        if let Ok(Some(edited)) = taken(text.as_bytes(), &api, &port) {
            prop_assert_ne!(&edited, text.as_bytes());
            prop_assert_eq!(put_back(&edited, &api, &port).unwrap(), text.into_bytes());
        }
    }
}
