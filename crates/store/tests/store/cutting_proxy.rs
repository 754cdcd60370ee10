//! A proxy on a unix socket that cuts a connection after the server has answered and before the client hears it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

pub(crate) struct CuttingProxy {
    folder: PathBuf,
    /// The answer to what holds these bytes is lost, once.
    needle: Arc<Mutex<Option<Vec<u8>>>>,
}

impl CuttingProxy {
    pub(crate) fn before(server: &Path) -> Self {
        let folder =
            std::env::temp_dir().join(format!("sternway-proxy-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
        let target = server.join(".s.PGSQL.5432");
        let needle: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let cutting = needle.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&target).await.unwrap();
                tokio::spawn(pass(client, server, cutting.clone()));
            }
        });
        Self { folder, needle }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn lose_the_answer_to(&self, text: &str) {
        *self.needle.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// Whether the answer was lost.
    pub(crate) fn lost(&self) -> bool {
        self.needle.lock().unwrap().is_none()
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn pass(mut client: UnixStream, mut server: UnixStream, needle: Arc<Mutex<Option<Vec<u8>>>>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut cut = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let mut needle = needle.lock().unwrap().take_if(|needle| {
                    asked[..read].windows(needle.len()).any(|part| part == needle.as_slice())
                });
                cut |= needle.take().is_some();
                if server.write_all(&asked[..read]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                // A dropped connection here: the server has committed, the client does not know.
                if cut || client.write_all(&answered[..read]).await.is_err() { return }
            }
        }
    }
}
