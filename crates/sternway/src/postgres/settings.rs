//! How the server is set up. All of it is on the command line, so that a new binary brings its own
//! settings and a live server shows with which it runs; `postgresql.conf` stays as initdb made it.

use std::{
    ffi::OsString,
    fs::{File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use super::{
    account::Account,
    error::{PostgresError, failed},
    folder::PostgresFolder,
};

/// Our database, and the role that owns it.
pub(super) const DATABASE: &str = "sternway";
/// Not a superuser: it cannot read files or run programs, and superusers keep three spare connections.
pub(super) const ROLE: &str = "sternway";
/// The bootstrap superuser, for dumps and for a person in need.
pub(super) const SUPERUSER: &str = "postgres";

/// Each with its reason. What an acknowledged request stands on comes first.
const FIXED: [&str; 28] = [
    // An acknowledged commit is on the disk (rule 1 of the house).
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    // Nobody but this machine's own users, and of them only who the socket's folder lets in.
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    // Small: when idle, 7 MiB of its own and 14 MiB mapped from its program file. Our working set is some megabytes.
    "shared_buffers=16MB",
    "huge_pages=off",
    "jit=off",
    // 20 for the pools of one server, the rest for several servers and a person with psql.
    "max_connections=50",
    "max_worker_processes=0",
    "max_parallel_workers=0",
    "max_logical_replication_workers=0",
    "autovacuum_max_workers=1",
    // No replica hangs on a private server, so its log needs no more than a crash does.
    "wal_level=minimal",
    "max_wal_senders=0",
    "wal_compression=on",
    // Few checkpoints, because each makes the next change of every page expensive; the size bounds the replay.
    "checkpoint_timeout=15min",
    "max_wal_size=256MB",
    "min_wal_size=32MB",
    // To our own log, without statements: they may hold what must not be logged.
    "log_destination=stderr",
    "logging_collector=off",
    "log_line_prefix=%b|",
    "log_min_messages=error",
    "log_min_error_statement=panic",
    "log_checkpoints=off",
    "timezone=UTC",
    "cluster_name=sternway",
];

/// What `postgres` is started with.
pub(super) fn server_arguments(folder: &PostgresFolder) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-D".into(), folder.data().into()];
    let paths = [
        ("unix_socket_directories=", folder.sockets()),
        ("hba_file=", folder.hba()),
        ("ident_file=", folder.ident()),
    ];
    let paths = paths.into_iter().map(|(name, path)| {
        let mut setting = OsString::from(name);
        setting.push(path);
        setting
    });
    for setting in FIXED.iter().map(OsString::from).chain(paths) {
        arguments.extend(["-c".into(), setting]);
    }
    arguments
}

/// Who is let in: the kernel says who is at the other end of the socket, and only we and the account that
/// Postgres runs as have a role. There is no password that could leak.
pub(super) fn write_access(
    folder: &PostgresFolder,
    own: &Account,
    account: Option<&Account>,
) -> Result<(), PostgresError> {
    let mut ident = String::new();
    for user in std::iter::once(own).chain(account.filter(|account| *account != own)) {
        for role in [ROLE, SUPERUSER] {
            // Quoted, so that a name is never taken for a pattern or a comment.
            ident.push_str(&format!(
                "sternway \"{}\" {role}\n",
                user.name.replace('"', "")
            ));
        }
    }
    write_readable(&folder.ident(), &ident)?;
    write_readable(&folder.hba(), "local all all peer map=sternway\n")
}

/// Readable by the account through its group's way in, whatever our umask is; nothing in it is secret.
fn write_readable(path: &Path, text: &str) -> Result<(), PostgresError> {
    let write = || {
        let mut file = File::create(path)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(failed(path, "written"))
}
