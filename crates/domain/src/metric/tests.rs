use proptest::prelude::*;
use serde_json::json;

use super::*;

fn metric(question: &str, bound: &str, threshold: f64) -> Metric {
    let mut metric = json!({"name": "error_share", "url": "http://prometheus:9090", "query": "up", "question": question});
    metric[bound] = json!(threshold);
    serde_json::from_value(metric).unwrap()
}

fn share() -> Metric {
    metric("many_users", "above", 0.1)
}

fn read(metric: &Metric, status: u16, body: &str) -> (Said, String) {
    let reading = metric.read(status, body.as_bytes(), now());
    (reading.said, reading.note)
}

/// When it is asked.
fn now() -> Moment {
    Moment::from_unix_ms(1_763_812_801_000)
}

/// The answer of a Prometheus 2.42 with these values.
fn vector(values: &[&str]) -> String {
    let series = values.iter().enumerate().map(|(at, value)| {
        json!({"metric": {"__name__": "up", "instance": format!("shop-{at}:8080")}, "value": [1_763_812_800.781, value]})
    });
    let series: Vec<_> = series.collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": series}}).to_string()
}

#[test]
fn one_number_is_compared_with_the_threshold() {
    let said = |metric: &Metric, value: &str| read(metric, 200, &vector(&[value]));
    let yes = (Said::Yes, "error_share: 0.31, above 0.1".to_owned());
    assert_eq!(said(&share(), "0.31"), yes);
    let no = (Said::No, "error_share: 0.1, not above 0.1".to_owned());
    assert_eq!(
        said(&share(), "0.1"),
        no,
        "the threshold itself is not above"
    );
    let low = metric("down", "below", 1.0);
    assert_eq!(
        said(&low, "0"),
        (Said::Yes, "error_share: 0, below 1".to_owned())
    );
    assert_eq!(said(&low, "1").0, Said::No);
    let scalar =
        r#"{"status":"success","data":{"resultType":"scalar","result":[1763812800,"1e+06"]}}"#;
    assert_eq!(
        read(&share(), 200, scalar),
        (Said::Yes, "error_share: 1000000, above 0.1".to_owned())
    );
}

#[test]
fn of_several_series_one_is_enough_for_a_yes_and_all_are_needed_for_a_no() {
    let said = |values: &[&str]| read(&share(), 200, &vector(values));
    assert_eq!(
        said(&["0.02", "0.4", "0.3"]),
        (
            Said::Yes,
            "error_share: 0.4 in one of 3 series, above 0.1".to_owned()
        )
    );
    assert_eq!(
        said(&["0.02", "0.05"]),
        (
            Said::No,
            "error_share: 0.05 in one of 2 series, not above 0.1".to_owned()
        )
    );
    assert_eq!(said(&["NaN", "0.4"]).0, Said::Yes);
    let (unknown, why) = said(&["NaN", "0.05"]);
    assert_eq!(unknown, Said::Unknown, "{why}");
    assert!(why.contains("1 of 2 series are not a number"), "{why}");
    let low = metric("down", "below", 0.5);
    let (yes, why) = read(&low, 200, &vector(&["1", "0", "1"]));
    assert_eq!(yes, Said::Yes, "{why}");
}

#[test]
fn what_is_not_seen_is_not_a_no() {
    let said = |values: &[&str]| read(&share(), 200, &vector(values));
    let none = (
        Said::Unknown,
        "error_share: the query finds no series".to_owned(),
    );
    assert_eq!(said(&[]), none);
    assert_eq!(said(&["NaN"]).0, Said::Unknown);
    assert_eq!(said(&["many"]).0, Said::Unknown);
    assert_eq!(share().silent("no answer within 2 s").said, Said::Unknown);
    let partial = r#"{"status":"success","warnings":["fetch from store-2 failed"],"data":{"resultType":"vector","result":[
        {"metric":{},"value":[1763812800,"0"]}]}}"#;
    let (unknown, why) = read(&share(), 200, partial);
    assert_eq!(unknown, Said::Unknown);
    assert!(why.ends_with("warns: fetch from store-2 failed"), "{why}");
}

#[test]
fn a_number_of_another_time_is_not_known() {
    let at = |seconds: i64| now().unix_ms() / 1000 + seconds;
    let vector = |seconds: i64| {
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[
            {{"metric":{{}},"value":[{},"0.31"]}},{{"metric":{{}},"value":[{},"0.31"]}}]}}}}"#,
            at(0),
            at(seconds)
        )
    };
    let scalar = |seconds: i64| {
        format!(
            r#"{{"status":"success","data":{{"resultType":"scalar","result":[{},"0.31"]}}}}"#,
            at(seconds)
        )
    };
    for near in [-60, 0, 60] {
        assert_eq!(read(&share(), 200, &vector(near)).0, Said::Yes, "{near}");
        assert_eq!(read(&share(), 200, &scalar(near)).0, Said::Yes, "{near}");
    }
    let old = "error_share: the number is 1 min 1 s old, and what was is not known to be";
    let ahead = "error_share: by our clock the number is of 1 min 1 s from now";
    for (off, note) in [(-61, old), (61, ahead)] {
        let unknown = (Said::Unknown, note.to_owned());
        assert_eq!(read(&share(), 200, &vector(off)), unknown);
        assert_eq!(read(&share(), 200, &scalar(off)), unknown);
    }
    for odd in ["1e300", "-1e300", "0"] {
        let body = scalar(0).replace(&at(0).to_string(), odd);
        assert_eq!(read(&share(), 200, &body).0, Said::Unknown, "{odd}");
    }
}

#[test]
fn what_is_infinite_is_a_number() {
    let said = |metric: &Metric, value: &str| read(metric, 200, &vector(&[value]));
    assert_eq!(
        said(&share(), "+Inf"),
        (Said::Yes, "error_share: inf, above 0.1".to_owned())
    );
    assert_eq!(said(&share(), "-Inf").0, Said::No);
    assert_eq!(said(&metric("down", "below", 1.0), "-Inf").0, Said::Yes);
    let (yes, note) = said(&share(), "1.7e+308");
    assert_eq!(
        (yes, note.as_str()),
        (Said::Yes, "error_share: 1.7e308, above 0.1")
    );
}

#[test]
fn what_is_no_number_says_why() {
    let cases = [
        (
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error"}"#,
            "status 400, bad_data: invalid parameter \"query\": 1:4: parse error",
        ),
        (
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
            "status 503, timeout: query timed out in expression evaluation",
        ),
        (422, r#"{"status":"error"}"#, "status 422"),
        (502, "<html>bad gateway</html>", "status 502"),
        (302, "", "status 302"),
        (
            200,
            "<html>a page</html>",
            "the answer is not one of Prometheus",
        ),
        (200, "[]", "the answer is not one of Prometheus"),
        (200, r#"{"status":"success"}"#, "status 200"),
        (
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":{}}}"#,
            "the answer is not one of Prometheus",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2]}]}}"#,
            "the answer is not one of Prometheus",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}"#,
            "it finds a histogram, which is not one number",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"0"]]}]}}"#,
            "it finds ranges of time, not numbers of now",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1,"yes"]}}"#,
            "it finds a text, not a number",
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"riddle","result":1}}"#,
            "it finds a `riddle`, not a number",
        ),
    ];
    for (status, body, why) in cases {
        let said = read(&share(), status, body);
        assert_eq!(
            said,
            (Said::Unknown, format!("error_share: {why}")),
            "{body}"
        );
    }
}

#[test]
fn what_is_long_or_deep_is_no_number_and_is_not_repeated() {
    let long = format!(
        r#"{{"status":"error","errorType":"bad_data","error":"\u001b[31m{}"}}"#,
        "x".repeat(50_000)
    );
    let (_, note) = read(&share(), 400, &long);
    assert!(note.len() < 250 && !note.contains('\u{1b}'), "{note}");
    let cut = &vector(&["0.5"; 5000])[..64 << 10];
    let what = "error_share: the answer is not one of Prometheus".to_owned();
    assert_eq!(read(&share(), 200, cut), (Said::Unknown, what));
    let deep = "[".repeat(100_000);
    assert_eq!(read(&share(), 200, &deep).0, Said::Unknown);
}

#[test]
fn that_nothing_damaged_is_counted_proves_nothing() {
    let damaged = metric("data_corruption", "above", 0.0);
    assert_eq!(read(&damaged, 200, &vector(&["3"])).0, Said::Yes);
    let (said, note) = read(&damaged, 200, &vector(&["0"]));
    assert_eq!(said, Said::Unknown);
    assert!(note.contains("0, not above 0; that is no proof"), "{note}");
}

#[test]
fn a_query_is_part_of_an_address_whatever_is_in_it() {
    let mut metric = share();
    metric.url = "https://metrics.example/prom/".to_owned();
    metric.query = "sum(rate(x{code=~\"5..\"}[5m])) /\n 100 & 'é#?'".to_owned();
    let address = metric.address(2);
    let (base, asked) = address.split_once('?').unwrap();
    assert_eq!(base, "https://metrics.example/prom/api/v1/query");
    assert!(
        asked
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#' && b != b'?'),
        "{asked}"
    );
    let pairs: Vec<(String, String)> = form_urlencoded::parse(asked.as_bytes())
        .into_owned()
        .collect();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(pairs, [pair("query", &metric.query), pair("timeout", "2s")]);
}

fn fields(metrics: &[Metric]) -> Vec<String> {
    let mut bad = Vec::new();
    check(metrics, &mut bad);
    bad.into_iter().map(|bad| bad.field).collect()
}

#[test]
fn every_broken_rule_is_named_with_its_field() {
    let changed = |change: &dyn Fn(&mut Metric)| {
        let mut metric = share();
        change(&mut metric);
        fields(&[metric])
    };
    assert_eq!(fields(&[share()]), [""; 0]);
    for url in [
        "",
        "prometheus:9090",
        "ftp://prometheus",
        "http://",
        "http:///metrics",
        "http://ana:secret@prometheus:9090",
        "http://prometheus:9090/?query=up",
        "http://prometheus:9090#x",
        "http://prometheus:9090/#x",
        "http://prom etheus",
        "http://prometheus/../etc",
        &format!("http://{}", "x".repeat(URL_CHARS_MAX)),
    ] {
        assert_eq!(
            changed(&|metric| metric.url = url.to_owned()),
            ["metrics[0].url"],
            "{url}"
        );
    }
    for url in [
        "https://[::1]:9090",
        "http://10.0.0.1:9090/prom/",
        "http://prom_1",
    ] {
        assert_eq!(
            changed(&|metric| metric.url = url.to_owned()),
            [""; 0],
            "{url}"
        );
    }
    for query in ["", " \n", "up\u{0}", &"x".repeat(QUERY_CHARS_MAX + 1)] {
        let broken = changed(&|metric| metric.query = query.to_owned());
        assert_eq!(broken, ["metrics[0].query"]);
    }
    assert_eq!(
        changed(&|metric| metric.query = "sum(\n\tup)".to_owned()),
        [""; 0]
    );
    for question in [Question::SecurityHole, Question::FixForward] {
        let broken = changed(&|metric| metric.question = question);
        assert_eq!(broken, ["metrics[0].question"]);
    }
    assert_eq!(changed(&|metric| metric.above = None), ["metrics[0].above"]);
    assert_eq!(
        changed(&|metric| metric.below = metric.above),
        ["metrics[0].above"]
    );
    assert_eq!(fields(&[share(), share()]), ["metrics[1].name"]);
    let many = (0..=METRICS_MAX).map(|at| {
        let mut metric = share();
        metric.name = format!("m{at}").parse().unwrap();
        metric
    });
    assert_eq!(fields(&many.collect::<Vec<_>>()), ["metrics"]);
}

#[test]
fn a_threshold_is_a_plain_number() {
    for good in [0.0, -0.0, 0.1, -3.0, 1e12, 1e-7, 123_456_789_012.345] {
        assert!(Threshold::try_from(good).is_ok(), "{good}");
    }
    for bad in [f64::NAN, f64::INFINITY, 1e13, 1e-8, 0.1 + 0.2] {
        assert_eq!(Threshold::try_from(bad), Err(BadThreshold), "{bad}");
    }
    let unknown = json!({"name": "x", "url": "http://p", "query": "up", "question": "down", "above": 1, "over": 2});
    assert!(serde_json::from_value::<Metric>(unknown).is_err());
    let odd =
        json!({"name": "x", "url": "http://p", "query": "up", "question": "down", "above": "much"});
    assert!(serde_json::from_value::<Metric>(odd).is_err());
}

proptest! {
    /// What is stored is what was written, to the last digit: plans are compared byte by byte.
    #[test]
    fn a_threshold_is_the_same_after_it_was_written(digits in 0_i64..1_000_000_000_000_000, scale in 0_i32..22, minus in any::<bool>()) {
        let number = digits as f64 / 10_f64.powi(scale) * if minus { -1.0 } else { 1.0 };
        if let Ok(threshold) = Threshold::try_from(number) {
            let text = serde_json::to_string(&threshold).unwrap();
            let again: Threshold = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(f64::from(again).to_bits(), number.to_bits(), "{}", text);
        }
    }

    /// Whatever answers, it is judged without a panic, and only a number is a yes or a no.
    #[test]
    fn whatever_answers_ends_nothing(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200), value in "\\PC{0,12}") {
        prop_assert_eq!(share().read(status, &body, now()).said, Said::Unknown);
        let said = share().read(200, vector(&[&value]).as_bytes(), now()).said;
        let number = value.parse::<f64>().is_ok_and(|number| !number.is_nan());
        prop_assert_eq!(said != Said::Unknown, number);
    }
}
