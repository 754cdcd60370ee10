//! Any container that can be made is made again for another image, and is what the same wish for that image would
//! have made. The judge is the engine: beside the copy a reference is created from the very wish, and both are
//! inspected.

mod street;
mod wishes;

use std::collections::BTreeMap;

use domain::{
    effect::{Effect, Outcome},
    name::ContainerId,
    specification::Specification,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::house::{House, digest, new_rollback};
use street::Street;
use wishes::Wish;

/// How many containers are wished for.
const WISHES: usize = 48;
/// The seed of the wishes when `STERNWAY_SEED` does not say another one.
const SEED: u64 = 20_261_122;

/// What each of the two images brings, and no wish repeats: a value that the operator set to exactly the image's own
/// can not be told from it.
const IMAGES: [(&str, &str); 2] = [
    (
        "old",
        "LABEL version=1 vendor=us\nENV APP_VERSION=1 MODE=image1 OLD_ONLY=1\nUSER 65534:65534\nWORKDIR /old\nVOLUME /cache\n\
         VOLUME /old-cache\nEXPOSE 8080 8081/udp\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=9s CMD [\"/app\", \"check\"]\n",
    ),
    (
        "new",
        "LABEL version=2 made=yes\nENV APP_VERSION=2 MODE=image2 NEW_ONLY=1\nUSER 65533\nWORKDIR /new\nVOLUME /cache\n\
         VOLUME /new-cache\nEXPOSE 8080 9090\nSTOPSIGNAL SIGQUIT\nHEALTHCHECK --interval=5s --retries=4 CMD [\"/app\", \"check\", \"x\"]\n",
    ),
];

fn seed() -> u64 {
    let told = std::env::var("STERNWAY_SEED").ok();
    told.map_or(SEED, |text| {
        text.parse().expect("STERNWAY_SEED is a number")
    })
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), rng)
}

/// Fields that say which container it is, and no more.
const IDENTITY: [&str; 2] = ["Hostname", "Image"];

fn short(inspect: &Value) -> &str {
    &inspect["Id"].as_str().unwrap()[..12]
}

/// `Config` without what names the container, Sternway's labels and the order of variables.
fn config(inspect: &Value) -> BTreeMap<String, Value> {
    let mut config: BTreeMap<String, Value> =
        serde_json::from_value(inspect["Config"].clone()).unwrap();
    if config["Hostname"] == short(inspect) {
        for field in IDENTITY {
            config.remove(field);
        }
    }
    config.remove("Image");
    let labels = config.get_mut("Labels").unwrap().as_object_mut().unwrap();
    // The reference stands beside the application and not in it.
    labels.retain(|name, _| !name.starts_with("sternway.") && name != "com.docker.compose.project");
    if let Some(env) = config.get_mut("Env").and_then(Value::as_array_mut) {
        env.sort_by_key(Value::to_string);
    }
    // What the engine writes for "nothing" depends on how nothing was said.
    config.retain(|_, value| !matches!(value.to_string().as_str(), "null" | "{}" | "[]"));
    config
}

/// `HostConfig` without the names of volumes that nobody named; those are compared as mounts.
fn host(inspect: &Value) -> BTreeMap<String, Value> {
    let mut host: BTreeMap<String, Value> =
        serde_json::from_value(inspect["HostConfig"].clone()).unwrap();
    if let Some(binds) = host.get_mut("Binds").and_then(Value::as_array_mut) {
        binds.retain(|bind| !anonymous(bind.as_str().unwrap().split(':').next().unwrap()));
    }
    for mount in host
        .get_mut("Mounts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if mount["Source"].as_str().is_some_and(anonymous) {
            mount.as_object_mut().unwrap().remove("Source");
        }
    }
    host.retain(|_, value| !matches!(value.to_string().as_str(), "null" | "{}" | "[]"));
    host
}

fn anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Each network with what was wished of it.
fn networks(inspect: &Value) -> BTreeMap<String, Value> {
    let networks = inspect["NetworkSettings"]["Networks"].as_object().unwrap();
    let wish = |(name, endpoint): (&String, &Value)| {
        let aliases = endpoint["Aliases"].as_array().cloned().unwrap_or_default();
        let mut aliases: Vec<Value> = aliases
            .into_iter()
            .filter(|alias| *alias != short(inspect))
            .collect();
        aliases.sort_by_key(Value::to_string);
        let links: Vec<String> = endpoint["Links"]
            .as_array()
            .into_iter()
            .flatten()
            .map(link)
            .collect();
        let address = endpoint["IPAMConfig"].clone();
        let address = if address == json!({}) {
            Value::Null
        } else {
            address
        };
        (
            name.clone(),
            json!([aliases, links, address, endpoint["DriverOpts"]]),
        )
    };
    networks.iter().map(wish).collect()
}

fn link(link: &Value) -> String {
    let text = link.as_str().unwrap();
    let (from, to) = text.split_once(':').unwrap();
    let plain = |part: &str| part.rsplit('/').next().unwrap().to_owned();
    format!("{}:{}", plain(from), plain(to))
}

/// What is mounted where and how: named volumes by name, others by where they are.
fn mounts(inspect: &Value, names_of_anonymous: bool) -> BTreeMap<String, Value> {
    let mounts = inspect["Mounts"].as_array().unwrap();
    let told = |mount: &Value| {
        let name = mount["Name"].as_str().unwrap_or_default();
        let name = if anonymous(name) && !names_of_anonymous {
            "(nobody named it)"
        } else {
            name
        };
        let source = if mount["Type"] == "bind" {
            mount["Source"].clone()
        } else {
            Value::Null
        };
        let told = json!([
            mount["Type"],
            name,
            source,
            mount["RW"],
            mount["Propagation"]
        ]);
        (mount["Destination"].as_str().unwrap().to_owned(), told)
    };
    mounts.iter().map(told).collect()
}

/// A part of an inspection, fit to be compared.
type Read = fn(&Value) -> BTreeMap<String, Value>;

/// Every difference between the copy and the reference, and between the copy's and the original's data.
fn differences(original: &Value, copy: &Value, reference: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let parts: [(&str, Read); 4] = [
        ("Config", config),
        ("HostConfig", host),
        ("Networks", networks),
        ("Mounts", |inspect| mounts(inspect, false)),
    ];
    for (part, read) in parts {
        let (mut has, should) = (read(copy), read(reference));
        if part == "HostConfig" {
            links_alike(&mut has);
        }
        let mut should = should;
        if part == "HostConfig" {
            links_alike(&mut should);
        }
        for key in has
            .keys()
            .chain(should.keys().filter(|key| !has.contains_key(*key)))
        {
            if has.get(key) != should.get(key) {
                found.push(format!(
                    "{part}.{key} is {}, not {}",
                    has.get(key).unwrap_or(&Value::Null),
                    should.get(key).unwrap_or(&Value::Null)
                ));
            }
        }
    }
    let had = mounts(original, true);
    for (at, told) in mounts(copy, true) {
        if had.get(&at).is_some_and(|had| had[1] != told[1]) {
            found.push(format!("the data at {at} stayed behind"));
        }
    }
    found
}

/// `/a:/b/c` names the container itself, which has another name.
fn links_alike(host: &mut BTreeMap<String, Value>) {
    if let Some(links) = host.get_mut("Links") {
        *links = links.as_array().unwrap().iter().map(link).collect();
    }
}

/// The fields of two specifications that differ.
fn unlike(has: Option<&Specification>, should: &Specification) -> String {
    let Some(has) = has else {
        return "it has none".to_owned();
    };
    let flat = |specification: &Specification| -> BTreeMap<String, Value> {
        let top = specification.body.as_object().unwrap().clone();
        let host = specification.body["HostConfig"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let env = ("Env".to_owned(), json!(specification.env));
        let own = top.into_iter().filter(|(key, _)| key != "HostConfig");
        own.chain(host).chain([env]).collect()
    };
    let (has, should) = (flat(has), flat(should));
    let differ = has
        .keys()
        .chain(should.keys())
        .filter(|key| has.get(*key) != should.get(*key));
    differ
        .map(|key| format!("{key}: {:?}, not {:?}; ", has.get(key), should.get(key)))
        .collect()
}

struct Made {
    original: ContainerId,
    meant: Specification,
    copy: String,
}

/// The original from the old image, and its copy from the new one, by our own effect.
async fn made(house: &House, street: &Street, wish: &Wish, at: usize) -> Result<Made, String> {
    let name = house.named(&format!("wish-{at}"));
    let original = street.create(house, wish, &name, "old", true)?;
    if wish.runs {
        house
            .api("POST", &format!("/containers/{original}/start"), None)
            .map_err(|said| format!("the original does not start: {said}"))?;
    }
    let id: ContainerId = original.parse().unwrap();
    let looked = house.look().await;
    let meant = looked
        .specifications
        .get(&id)
        .cloned()
        .ok_or("it has no specification")?;
    let copy = house.named(&format!("wish-{at}.next-0123456789ab"));
    let effect = Effect::CreateContainer {
        component: "web".parse().unwrap(),
        name: copy.clone(),
        image: street.image(house, "new").await,
        specification: digest(),
        replaces: id.clone(),
        config_hash: None,
    };
    let context = house.context(Some(&meant));
    match house.engine.perform(&effect, &context).await.outcome {
        Outcome::Done => Ok(Made {
            original: id,
            meant,
            copy,
        }),
        refused @ (Outcome::Failed { .. } | Outcome::Unknown { .. }) => {
            Err(format!("the copy is refused: {refused:?}"))
        }
    }
}

async fn judged(house: &House, street: &Street, wish: &Wish, at: usize) -> Vec<String> {
    let made = match made(house, street, wish, at).await {
        Ok(made) => made,
        Err(said) => return vec![said],
    };
    let reference = house.named(&format!("reference-{at}"));
    if let Err(said) = street.create(house, wish, &reference, "new", false) {
        return vec![format!("the reference is refused: {said}")];
    }
    let original = house.inspect(made.original.as_str());
    let (copy, reference) = (house.inspect(&made.copy), house.inspect(&reference));
    let mut found = differences(&original, &copy, &reference);
    let copy_id: ContainerId = copy["Id"].as_str().unwrap().parse().unwrap();
    let again = house.look().await.specifications.remove(&copy_id);
    if again.as_ref() != Some(&made.meant) {
        found.push(format!(
            "a copy does not mean what its original meant: {}",
            unlike(again.as_ref(), &made.meant)
        ));
    }
    if wish.runs {
        let stop = format!("/containers/{}/stop?t=1", made.original);
        house.api("POST", &stop, None).unwrap();
        let start = Effect::StartContainer {
            container: copy_id,
            restart: None,
        };
        let started = house.perform(&start).await;
        if started != Outcome::Done {
            found.push(format!("the copy does not start: {started:?}"));
        }
    }
    found
}

#[tokio::test]
async fn any_container_is_made_again_for_another_image_with_nothing_lost() {
    let mut house = House::new().await;
    let seed = seed();
    let street = Street::new(&house, &IMAGES);
    let mut runner = runner(seed);
    let mut wrong = Vec::new();
    for at in 0..WISHES {
        let wish = wishes::any().new_tree(&mut runner).unwrap().current();
        let found = judged(&house, &street, &wish, at).await;
        if !found.is_empty() {
            wrong.push(format!(
                "wish {at} {}:\n    {}",
                json!(wish.told()),
                found.join("\n    ")
            ));
        }
        street.clear(&house, at);
        house.rollback = new_rollback();
    }
    assert!(
        wrong.is_empty(),
        "STERNWAY_SEED={seed}: {} of {WISHES} wishes were not kept:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
