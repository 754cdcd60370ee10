//! A socket that stands for the engine, passes every byte on, and notes when its caller asked what.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use crate::Outcome;

/// A request that somebody began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    /// Whether something may change by it.
    pub(crate) changes: bool,
}

/// The socket, and what was heard there.
#[derive(Debug)]
pub(crate) struct Door {
    socket: PathBuf,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Door {
    pub(crate) fn open(socket: PathBuf, engine: &Path) -> Outcome<Self> {
        let listener = UnixListener::bind(&socket)?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (book, engine) = (Arc::clone(&heard), engine.to_owned());
        // It ends with this program.
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let (book, engine) = (Arc::clone(&book), engine.clone());
                thread::spawn(move || pass(caller, &engine, &book));
            }
        });
        Ok(Self { socket, heard })
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What was heard since.
    pub(crate) fn since(&self, from: Instant) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|one| one.at >= from).copied().collect()
    }
}

fn pass(caller: UnixStream, engine: &Path, book: &Mutex<Vec<Heard>>) -> io::Result<()> {
    let engine = UnixStream::connect(engine)?;
    let (mut from_engine, mut to_caller) = (engine.try_clone()?, caller.try_clone()?);
    let back = thread::spawn(move || {
        let passed = io::copy(&mut from_engine, &mut to_caller);
        let _ = to_caller.shutdown(Shutdown::Both);
        passed
    });
    let (mut caller, mut engine) = (caller, engine);
    let mut piece = [0; 64 << 10];
    loop {
        let read = caller.read(&mut piece)?;
        if read == 0 {
            break;
        }
        if let Some(changes) = request(&piece[..read]) {
            let mut heard = book.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(Heard {
                at: Instant::now(),
                changes,
            });
        }
        engine.write_all(&piece[..read])?;
    }
    let _ = engine.shutdown(Shutdown::Both);
    let _ = back.join();
    Ok(())
}

/// Whether a request begins here, and whether it changes anything. Callers write a request's head in one piece.
fn request(piece: &[u8]) -> Option<bool> {
    if piece.starts_with(b"GET ") || piece.starts_with(b"HEAD ") {
        return Some(false);
    }
    let words: [&[u8]; 3] = [b"POST ", b"PUT ", b"DELETE "];
    words
        .iter()
        .any(|word| piece.starts_with(word))
        .then_some(true)
}
