//! The door between a server and its engine: it notes every call, and at a named one it lets bad luck in.
//! So the places at which a rollback may be cut need no line of test code in the product.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    child::signal_pid,
    engine::Engine,
    wait::{seconds, until},
    wire::{Head, read_chunk},
};

/// On which side of the engine's act the bad luck strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The engine never hears of the call.
    Before,
    /// The engine has done it and answered; the server has not heard.
    After,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    /// kill -9 of the process that called.
    Kill,
    /// SIGSTOP of the process that called; the answer waits for it.
    Stop,
    /// The connection breaks: the caller can not know what came of it.
    Cut,
    /// It takes that long.
    Delay(Duration),
    /// The engine says no, with this status.
    Refuse(u16),
}

/// One call that came to the door.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    /// Method and path, with `{id}` for what differs.
    pub(crate) name: String,
    /// Whether something changes by it.
    pub(crate) changes: bool,
    /// What the engine answered.
    pub(crate) status: Option<u16>,
}

struct Trap {
    call: String,
    nth: usize,
    when: When,
    luck: Luck,
}

#[derive(Default)]
struct Book {
    calls: Vec<Call>,
    /// How many of them are forgotten.
    forgotten: usize,
    traps: Vec<Trap>,
    sprung: usize,
    closed: bool,
    /// By the number of the caller; each is forgotten when it has hung up.
    open: BTreeMap<usize, UnixStream>,
}

/// A socket that stands for an engine.
pub(crate) struct EngineDoor {
    socket: PathBuf,
    book: Arc<Mutex<Book>>,
    over: Arc<AtomicBool>,
}

impl EngineDoor {
    pub(crate) fn new(socket: &Path, engine: &Engine) -> Self {
        let listener = UnixListener::bind(socket).expect("the door's socket is in our own folder");
        let (book, over) = (
            Arc::new(Mutex::new(Book::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let door = Self {
            socket: socket.to_owned(),
            book: book.clone(),
            over: over.clone(),
        };
        let behind = engine.socket().clone();
        thread::spawn(move || {
            for (number, caller) in listener.incoming().flatten().enumerate() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (book, behind) = (book.clone(), behind.clone());
                thread::spawn(move || {
                    if let Ok(again) = caller.try_clone() {
                        lock(&book).open.insert(number, again);
                        let _ = converse(&caller, &behind, &book);
                    }
                    let _ = caller.shutdown(Shutdown::Both);
                    lock(&book).open.remove(&number);
                });
            }
        });
        door
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Sets a trap at the `nth` call (from 1) with this name, counted from now. `change` stands for any call that
    /// changes something or carries evidence away.
    pub(crate) fn trap(&self, call: &str, nth: usize, when: When, luck: Luck) {
        let mut book = lock(&self.book);
        book.traps.push(Trap {
            call: call.to_owned(),
            nth,
            when,
            luck,
        });
    }

    /// How many traps were sprung so far.
    pub(crate) fn sprung(&self) -> usize {
        lock(&self.book).sprung
    }

    /// Waits until the first trap has sprung; `what` says when that is.
    #[track_caller]
    pub(crate) fn springs(&self, what: &str) {
        until(what, seconds(30), || (self.sprung() == 1).then_some(()));
    }

    /// Takes away the traps that were not sprung.
    pub(crate) fn disarm(&self) {
        lock(&self.book).traps.clear();
    }

    /// The engine does not answer from now on: what is open breaks, what comes is turned away.
    pub(crate) fn close(&self) {
        let mut book = lock(&self.book);
        book.closed = true;
        for open in std::mem::take(&mut book.open).into_values() {
            let _ = open.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn open(&self) {
        lock(&self.book).closed = false;
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let book = lock(&self.book);
        book.calls[book.forgotten..].to_vec()
    }

    /// The calls that changed something, but for those that look after images.
    pub(crate) fn changes(&self) -> Vec<Call> {
        self.calls()
            .into_iter()
            .filter(|call| call.changes && !outside(&call.name))
            .collect()
    }

    /// Forgets the calls so far.
    pub(crate) fn forget(&self) {
        let mut book = lock(&self.book);
        book.forgotten = book.calls.len();
    }
}

impl Drop for EngineDoor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        let _ = UnixStream::connect(&self.socket);
        self.close();
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries one connection's calls to the engine and its answers back.
fn converse(caller: &UnixStream, behind: &Path, book: &Mutex<Book>) -> io::Result<()> {
    let pid = rustix::net::sockopt::socket_peercred(caller)?
        .pid
        .as_raw_nonzero()
        .get();
    let pid = u32::try_from(pid).unwrap_or(0);
    let mut from_caller = BufReader::new(caller.try_clone()?);
    let mut engine: Option<(UnixStream, BufReader<UnixStream>)> = None;
    while let Some(head) = Head::read(&mut from_caller)? {
        if lock(book).closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let body = read_body(&head, &mut from_caller)?;
        let (number, luck) = note(book, &head);
        if let Some((When::Before, luck)) = luck
            && !strike(luck, pid, caller)?
        {
            return Ok(());
        }
        if engine.is_none() {
            let stream = UnixStream::connect(behind)?;
            engine = Some((stream.try_clone()?, BufReader::new(stream)));
        }
        let (to_engine, from_engine) = engine.as_mut().expect("it was just connected");
        to_engine.write_all(&[head.bytes.as_slice(), &body].concat())?;
        let Some(answer) = Head::read(from_engine)? else {
            return Ok(());
        };
        lock(book).calls[number].status = Some(answer.status());
        if let Some((When::After, luck)) = luck
            && !strike(luck, pid, caller)?
        {
            return Ok(());
        }
        relay(&head, &answer, from_engine, caller)?;
    }
    Ok(())
}

/// Writes the call down and looks whether a trap waits for it.
fn note(book: &Mutex<Book>, head: &Head) -> (usize, Option<(When, Luck)>) {
    let mut words = head.start.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let name = name_of(method, path);
    let changes = method != "GET" && method != "HEAD";
    let counts = changes || name.ends_with("/logs");
    let mut book = lock(book);
    book.calls.push(Call {
        at: Instant::now(),
        name: name.clone(),
        changes,
        status: None,
    });
    let number = book.calls.len() - 1;
    for trap in &mut book.traps {
        if trap.call == name || (trap.call == "change" && counts) {
            trap.nth -= 1;
        }
    }
    let sprung = book.traps.iter().position(|trap| trap.nth == 0);
    let luck = sprung
        .map(|at| book.traps.remove(at))
        .map(|trap| (trap.when, trap.luck));
    book.sprung += usize::from(luck.is_some());
    (number, luck)
}

/// Whether images are looked after by this call: that goes on outside of rollbacks, at any moment.
pub(crate) fn outside(call: &str) -> bool {
    call.ends_with(" keeper") || call.ends_with("/tag") || call.starts_with("DELETE /images/")
}

/// `POST /containers/{id}/stop`, without version and query. What creates a keeper is told apart: keepers are looked after
/// outside of rollbacks too, at any moment.
fn name_of(method: &str, path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.first().is_some_and(|part| part.starts_with("v1.")) {
        parts.remove(0);
    }
    let fixed = |part: &str| ["create", "json", "load", "prune"].contains(&part);
    if parts.len() > 1 && !fixed(parts[1]) {
        parts[1] = "{id}";
    }
    let keeper = query.starts_with("name=sternway-keep-") || query.contains("&name=sternway-keep-");
    let whose = if keeper { " keeper" } else { "" };
    format!("{method} /{}{whose}", parts.join("/"))
}

/// Whether the call goes on after it.
fn strike(luck: Luck, pid: u32, caller: &UnixStream) -> io::Result<bool> {
    match luck {
        Luck::Kill => {
            signal_pid(pid, Signal::KILL);
            Ok(false)
        }
        Luck::Stop => {
            signal_pid(pid, Signal::STOP);
            Ok(true)
        }
        Luck::Cut => Ok(false),
        Luck::Delay(length) => {
            thread::sleep(length);
            Ok(true)
        }
        Luck::Refuse(status) => {
            let body = r#"{"message":"the door says no"}"#;
            let head = format!(
                "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let mut caller = caller.try_clone()?;
            caller.write_all(format!("{head}{body}").as_bytes())?;
            Ok(false)
        }
    }
}

fn read_body(head: &Head, reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.chunked() {
        loop {
            let (frame, data) = read_chunk(reader)?;
            body.extend_from_slice(&frame);
            if data.is_empty() {
                return Ok(body);
            }
        }
    }
    body.resize(head.length().unwrap_or(0), 0);
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// Hands an answer on as it comes, so that a stream streams.
fn relay(
    asked: &Head,
    answer: &Head,
    from_engine: &mut BufReader<UnixStream>,
    caller: &UnixStream,
) -> io::Result<()> {
    let mut caller = caller.try_clone()?;
    caller.write_all(&answer.bytes)?;
    let bodiless = asked.start.starts_with("HEAD ") || matches!(answer.status(), 204 | 304);
    if bodiless {
        return Ok(());
    }
    if answer.chunked() {
        loop {
            let (frame, data) = read_chunk(from_engine)?;
            caller.write_all(&frame)?;
            if data.is_empty() {
                return Ok(());
            }
        }
    }
    match answer.length() {
        Some(length) => io::copy(&mut from_engine.take(length as u64), &mut caller).map(|_| ()),
        None => {
            io::copy(from_engine, &mut caller)?;
            caller.shutdown(Shutdown::Both)
        }
    }
}
