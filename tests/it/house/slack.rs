//! A stand-in for Slack: its Web API with the checks that the real one makes, and its people, who type and click. Whatever
//! the real one would not take is refused in its words, and remembered.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use domain::chain::hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    server::House,
    wait::{seconds, until},
    wire::{Head, Reply},
};

/// What the bot's messages are posted with.
pub(crate) const BOT: &str = "xoxb-0123456789-stand-in";
/// What its own requests are signed with.
pub(crate) const SIGNING: &str = "a-signing-secret-of-slack-01234567";
/// The one channel that the bot was invited to.
pub(crate) const CHANNEL: &str = "C0OPS";
/// Its one team.
pub(crate) const TEAM: &str = "T0001";
/// Changes of messages that it takes in a minute, and new messages in a second, a few at once.
const UPDATES_A_MINUTE: usize = 50;
const POSTS_AT_ONCE: usize = 4;
/// How often it takes an answer to one command or click.
const ANSWERS_EACH: usize = 5;
/// How long it sends away whoever comes too often, in seconds.
const REST_S: u64 = 2;

/// One message in the channel.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) ts: String,
    /// What it said, each time that it was changed.
    pub(crate) versions: Vec<Value>,
}

impl Shown {
    pub(crate) fn now(&self) -> &Value {
        self.versions.last().expect("a message says something")
    }

    /// All of its text, as it is now.
    pub(crate) fn text(&self) -> String {
        let blocks = self.now()["blocks"].as_array().into_iter().flatten();
        let texts = blocks.filter_map(|block| block.pointer("/text/text")?.as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// What a button of it carries, when it has that button.
    pub(crate) fn value(&self, action: &str) -> Option<String> {
        let blocks = self.now()["blocks"].as_array()?;
        let mut buttons = blocks
            .iter()
            .filter_map(|block| block["elements"].as_array());
        let mut buttons = buttons.next()?.iter();
        let found = buttons.find(|button| button["action_id"] == action)?;
        found["value"].as_str().map(ToOwned::to_owned)
    }
}

#[derive(Default)]
struct Book {
    messages: Vec<Shown>,
    answers: BTreeMap<String, Vec<Value>>,
    calls: Vec<(Instant, &'static str)>,
    /// What the real one would have refused.
    wrong: Vec<String>,
    /// How many of the next calls are sent away.
    limit: usize,
    resting_until: Option<Instant>,
}

/// It goes with its owner.
pub(crate) struct Slack {
    port: u16,
    book: Arc<Mutex<Book>>,
    away: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    count: AtomicU32,
}

impl Slack {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port of our own");
        let port = listener.local_addr().expect("it is bound").port();
        let (away, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let book = Arc::<Mutex<Book>>::default();
        let slack = Self {
            port,
            book: book.clone(),
            away: away.clone(),
            over: over.clone(),
            count: AtomicU32::new(0),
        };
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if away.load(Ordering::SeqCst) {
                    continue;
                }
                let book = book.clone();
                thread::spawn(move || {
                    let _ = serve(&caller, &book);
                });
            }
        });
        slack
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on nobody is answered.
    pub(crate) fn leave(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    pub(crate) fn come_back(&self) {
        self.away.store(false, Ordering::SeqCst);
    }

    /// The next calls are sent away.
    pub(crate) fn limit(&self, calls: usize) {
        lock(&self.book).limit = calls;
    }

    pub(crate) fn messages(&self) -> Vec<Shown> {
        lock(&self.book).messages.clone()
    }

    /// The message of that number once it looks so.
    #[track_caller]
    pub(crate) fn shows(&self, number: usize, what: &str) -> Shown {
        until(
            &format!("message {number} says `{what}`"),
            seconds(60),
            || {
                let shown = self.messages().get(number)?.clone();
                (shown.text().contains(what)).then_some(shown)
            },
        )
    }

    /// Nothing came that the real one would have refused.
    #[track_caller]
    pub(crate) fn is_content(&self) {
        let wrong = lock(&self.book).wrong.clone();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// What Slack sends when somebody types a command; its first answer, and where further ones come.
    #[track_caller]
    pub(crate) fn types(&self, house: &House, user: &str, text: &str) -> (Reply, String) {
        let (url, number) = self.hook();
        let fields = [
            ("token", "deprecated"),
            ("team_id", TEAM),
            ("channel_id", CHANNEL),
            ("user_id", user),
            ("user_name", "ana"),
            ("command", "/rollback"),
            ("text", text),
            ("response_url", &url),
            ("trigger_id", &number),
        ];
        (post(house, SIGNING, &form(&fields)).expect(200), url)
    }

    /// The same, and the answer that only the one who typed sees.
    #[track_caller]
    pub(crate) fn told(&self, house: &House, user: &str, text: &str) -> String {
        let (first, url) = self.types(house, user, text);
        assert_eq!(
            first.json()["response_type"],
            "ephemeral",
            "{}",
            first.text()
        );
        self.answer(&url)
    }

    /// A click on a button that carries this; the answer that only the one who clicked sees.
    #[track_caller]
    pub(crate) fn clicks(&self, house: &House, user: &str, action: &str, value: &str) -> String {
        let (body, url) = self.click(user, action, value);
        let first = post(house, SIGNING, &body).expect(200);
        assert_eq!(first.text(), "", "it would take the message's place");
        self.answer(&url)
    }

    /// What Slack sends when somebody clicks, and where the answer comes.
    pub(crate) fn click(&self, user: &str, action: &str, value: &str) -> (String, String) {
        let (url, number) = self.hook();
        let payload = json!({"type": "block_actions", "trigger_id": number, "response_url": url,
            "team": {"id": TEAM}, "user": {"id": user, "team_id": TEAM, "name": "ana", "username": "ana"},
            "channel": {"id": CHANNEL}, "container": {"type": "message", "channel_id": CHANNEL},
            "actions": [{"type": "button", "action_id": action, "block_id": "x", "value": value, "action_ts": "1.2"}]});
        (form(&[("payload", &payload.to_string())]), url)
    }

    /// The first answer that came there.
    #[track_caller]
    pub(crate) fn answer(&self, url: &str) -> String {
        let path = url.replace(&self.url(), "");
        until("whoever asked is answered", seconds(60), || {
            let book = lock(&self.book);
            let answer = book.answers.get(&path)?.first()?;
            assert_eq!(answer["response_type"], "ephemeral", "{answer}");
            assert_ne!(answer["replace_original"], true, "{answer}");
            answer["text"].as_str().map(ToOwned::to_owned)
        })
    }

    fn hook(&self) -> (String, String) {
        let number = self.count.fetch_add(1, Ordering::SeqCst).to_string();
        (format!("{}/hooks/{TEAM}/{number}", self.url()), number)
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Posts as Slack does, signed now.
pub(crate) fn post(house: &House, secret: &str, body: &str) -> Reply {
    let time = (crate::triggers::now_ms() / 1000).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("v0:{time}:{body}").as_bytes());
    let signature = format!("v0={}", hex(&mac.finalize().into_bytes()));
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-slack-request-timestamp", time.as_str()),
        ("x-slack-signature", signature.as_str()),
    ];
    let path = "/api/v1/hooks/slack";
    let place = house.tcp();
    let asked = Instant::now();
    let reply = place.ask("POST", path, &headers, body.as_bytes(), seconds(20));
    let reply = reply.expect("the server answers");
    assert!(asked.elapsed() < seconds(3), "Slack has given up by now");
    reply
}

/// Fields as a form.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let written = |text: &str| {
        let bytes = text.bytes().map(|b| match b {
            b if plain(b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        });
        bytes.collect::<String>()
    };
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{}={}", written(name), written(value)));
    fields.collect::<Vec<_>>().join("&")
}

fn serve(caller: &TcpStream, book: &Mutex<Book>) -> std::io::Result<()> {
    caller.set_read_timeout(Some(seconds(10)))?;
    let mut reader = BufReader::new(caller.try_clone()?);
    let Some(head) = Head::read(&mut reader)? else {
        return Ok(());
    };
    let mut body = vec![0; head.length().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let (status, rest, answer) = answered(&head, &body, &mut lock(book));
    let text = answer.to_string();
    let rest = rest.map_or(String::new(), |rest| format!("retry-after: {rest}\r\n"));
    let mut caller = caller;
    write!(
        caller,
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{rest}content-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

/// Status, how long to stay away, and what is said.
fn answered(head: &Head, body: &[u8], book: &mut Book) -> (u16, Option<u64>, Value) {
    let path = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
    let now = Instant::now();
    if path.starts_with("/hooks/") {
        let answers = book.answers.entry(path).or_default();
        let Ok(body) = serde_json::from_slice(body) else {
            book.wrong.push("an answer is no JSON".to_owned());
            return (400, None, json!("invalid_payload"));
        };
        if answers.len() == ANSWERS_EACH {
            book.wrong
                .push("too many answers to one command".to_owned());
            return (404, None, json!("used_url"));
        }
        answers.push(body);
        return (200, None, json!("ok"));
    }
    if book.resting_until.is_some_and(|until| now < until) {
        book.wrong
            .push(format!("{path} came before its rest was over"));
    }
    let method = match path.as_str() {
        "/api/chat.postMessage" => "post",
        "/api/chat.update" => "update",
        _ => {
            book.wrong.push(format!("there is no {path}"));
            return (404, None, json!({"ok": false, "error": "unknown_method"}));
        }
    };
    let since = |span: Duration| {
        let calls = book.calls.iter();
        let recent = calls.filter(|(at, name)| *name == method && now - *at < span);
        recent.count()
    };
    let often = match method {
        "update" => since(seconds(60)) >= UPDATES_A_MINUTE,
        _ => since(seconds(1)) >= POSTS_AT_ONCE,
    };
    if often || book.limit > 0 {
        if often {
            book.wrong.push(format!("{path} came too often"));
        }
        book.limit = book.limit.saturating_sub(1);
        book.resting_until = Some(now + seconds(REST_S));
        let said = json!({"ok": false, "error": "ratelimited"});
        return (429, Some(REST_S), said);
    }
    book.calls.push((now, method));
    match taken(method, head, body, book) {
        Ok(said) => (200, None, said),
        // The real one says no with a 200 as well.
        Err(error) => {
            if error != "message_not_found" {
                book.wrong.push(format!("{path}: {error}"));
            }
            (200, None, json!({"ok": false, "error": error}))
        }
    }
}

fn taken(method: &str, head: &Head, body: &[u8], book: &mut Book) -> Result<Value, &'static str> {
    if head.header("authorization") != Some(&format!("Bearer {BOT}")) {
        return Err("invalid_auth");
    }
    let kind = head.header("content-type").unwrap_or_default();
    if kind != "application/json; charset=utf-8" {
        return Err("invalid_form_data");
    }
    let message: Value = serde_json::from_slice(body).map_err(|_| "invalid_json")?;
    if message["channel"] != CHANNEL {
        return Err("channel_not_found");
    }
    fits(&message)?;
    match method {
        "update" => {
            let ts = message["ts"]
                .as_str()
                .ok_or("invalid_arguments")?
                .to_owned();
            let shown = book.messages.iter_mut().find(|shown| shown.ts == ts);
            let shown = shown.ok_or("message_not_found")?;
            shown.versions.push(message);
            Ok(json!({"ok": true, "channel": CHANNEL, "ts": ts}))
        }
        _ => {
            let ts = format!("1767607200.{:06}", book.messages.len() + 1);
            book.messages.push(Shown {
                ts: ts.clone(),
                versions: vec![message],
            });
            Ok(json!({"ok": true, "channel": CHANNEL, "ts": ts}))
        }
    }
}

/// The limits of messages and blocks.
fn fits(message: &Value) -> Result<(), &'static str> {
    let chars = |value: &Value| value.as_str().map(|text| text.chars().count());
    let within =
        |value: &Value, most: usize| chars(value).is_some_and(|count| (1..=most).contains(&count));
    if !within(&message["text"], 40_000) {
        return Err("msg_too_long");
    }
    let blocks = message["blocks"].as_array().ok_or("invalid_blocks")?;
    if blocks.is_empty() || blocks.len() > 50 {
        return Err("invalid_blocks");
    }
    let mut names = BTreeSet::new();
    for block in blocks {
        let fine = match block["type"].as_str() {
            Some("section") => {
                block["text"]["type"] == "mrkdwn" && within(&block["text"]["text"], 3000)
            }
            Some("actions") => {
                let elements = block["elements"].as_array().ok_or("invalid_blocks")?;
                let button = |button: &Value| {
                    let confirm = &button["confirm"];
                    let sure = confirm.is_null()
                        || (within(&confirm["title"]["text"], 100)
                            && within(&confirm["text"]["text"], 300)
                            && within(&confirm["confirm"]["text"], 30)
                            && within(&confirm["deny"]["text"], 30));
                    button["type"] == "button"
                        && within(&button["action_id"], 255)
                        && within(&button["value"], 2000)
                        && button["text"]["type"] == "plain_text"
                        && within(&button["text"]["text"], 75)
                        && sure
                };
                let once = elements
                    .iter()
                    .all(|button| names.insert(button["action_id"].to_string()));
                (1..=25).contains(&elements.len()) && elements.iter().all(button) && once
            }
            _ => false,
        };
        if !fine {
            return Err("invalid_blocks");
        }
    }
    Ok(())
}
