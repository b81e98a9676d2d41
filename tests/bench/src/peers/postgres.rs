//! A PostgreSQL cluster in a directory of its own, with full durability and settings fit for the machine.

use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What is not PostgreSQL's default. `fsync`, `full_page_writes` and `synchronous_commit` are on by default, and are
/// written here so that nobody has to look it up.
const SETTINGS: &str = "
fsync = on
full_page_writes = on
synchronous_commit = on
listen_addresses = ''
max_connections = 200
shared_buffers = 1GB
effective_cache_size = 4GB
work_mem = 64MB
maintenance_work_mem = 512MB
wal_buffers = 64MB
max_wal_size = 16GB
min_wal_size = 2GB
checkpoint_timeout = 30min
checkpoint_completion_target = 0.9
wal_compression = on
random_page_cost = 1.1
effective_io_concurrency = 200
jit = off
";

/// A running cluster, gone when dropped.
pub(super) struct Postgres {
    bin: PathBuf,
    /// Whom it runs as, when we are root: PostgreSQL refuses to be that.
    user: Option<User>,
    /// Data, socket and log.
    directory: TempDir,
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts one; none where PostgreSQL is not installed.
    pub(super) fn start() -> Option<Self> {
        let directory = TempDir::with_prefix("daybook-postgres-").expect("a directory");
        let user = (id("-u", None) == Some(0)).then(User::of_postgres);
        if let Some(User { uid, gid }) = user {
            chown(directory.path(), Some(uid), Some(gid)).expect("root may give a directory away");
        }
        let postgres = Postgres { bin: binaries()?, user, directory };
        let data = postgres.data().display().to_string();
        let init = ["-D", &data, "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"];
        postgres.run("initdb", &init);
        let settings =
            format!("{SETTINGS}unix_socket_directories = '{}'\n", postgres.directory.path().display());
        let file = std::fs::OpenOptions::new().append(true).open(postgres.data().join("postgresql.conf"));
        file.and_then(|mut file| file.write_all(settings.as_bytes())).expect("a configuration");
        let log = postgres.directory.path().join("log").display().to_string();
        postgres.run("pg_ctl", &["start", "-w", "-s", "-D", &data, "-l", &log]);
        Some(postgres)
    }

    /// Creates a database. Returns how to connect to it.
    pub(super) fn database(&self, name: &str) -> String {
        let host = self.directory.path().display().to_string();
        self.run("createdb", &["-h", &host, "-U", "postgres", name]);
        format!("host={host} user=postgres dbname={name}")
    }

    /// What it says that it is.
    pub(super) fn version(&self) -> String {
        let output =
            Command::new(self.bin.join("postgres")).arg("--version").output().expect("postgres runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let words: Vec<&str> = text.split_whitespace().skip(1).take(2).collect();
        words.join(" ").replace("(PostgreSQL)", "PostgreSQL")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = self.command(program, arguments).status().unwrap_or_else(|e| panic!("{program}: {e}"));
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        assert!(status.success(), "{program} {}: {status}\n{log}", arguments.join(" "));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data().display().to_string();
        // Nothing is kept of it, so it may leave without a checkpoint.
        drop(self.command("pg_ctl", &["stop", "-s", "-m", "immediate", "-D", &data]).status());
    }
}

impl User {
    /// The user that PostgreSQL's packages create, else nobody.
    fn of_postgres() -> Self {
        let named = |name| Some(User { uid: id("-u", Some(name))?, gid: id("-g", Some(name))? });
        named("postgres").or_else(|| named("nobody")).expect("a user other than root")
    }
}

fn id(what: &str, name: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(what).args(name).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// Where `postgres`, `initdb` and `pg_ctl` are; of several versions the newest.
fn binaries() -> Option<PathBuf> {
    let complete = |bin: &Path| ["postgres", "initdb", "pg_ctl"].iter().all(|name| bin.join(name).is_file());
    let named = std::env::var_os("PG_BIN").map(PathBuf::from);
    let said = Command::new("pg_config").arg("--bindir").output().ok();
    let said = said.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut packaged: Vec<PathBuf> = packaged.map(|entry| entry.path()).collect();
    packaged.sort_by_key(version);
    let packaged = packaged.into_iter().rev().map(|directory| directory.join("bin"));
    named.into_iter().chain(said).chain(packaged).find(|bin| complete(bin))
}
