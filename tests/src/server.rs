//! A `daybook serve` process: started, asked, stopped, killed and started again on the same data and port.
//!
//! What it prints is kept, and shown when the test that owns it fails.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// How long a command may take that works through a whole log.
const COMMAND: Duration = Duration::from_secs(600);
/// How often to ask whether the server is ready.
const POLL: Duration = Duration::from_millis(5);

/// The `daybook` binary: `$DAYBOOK_BIN`, else the one that was built beside this test.
pub fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("DAYBOOK_BIN") {
        return binary.into();
    }
    let test = std::env::current_exe().expect("a test knows where it is");
    let binary = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("daybook"))
        .find(|candidate| candidate.is_file());
    binary.expect("no `daybook` binary beside this test: run `cargo build`, or set DAYBOOK_BIN")
}

/// A `daybook` command that inherits no settings from whoever runs the tests.
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DAYBOOK_")) {
        command.env_remove(name);
    }
    command.current_dir(directory).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs a `daybook` command that is expected to end by itself.
pub async fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = command(directory);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("daybook {}", arguments.join(" "));
    let mut process = command.spawn().expect("the daybook binary starts");
    let stdout = drain(process.stdout.take().expect("a pipe"));
    let stderr = drain(process.stderr.take().expect("a pipe"));
    let Some(status) = wait(&mut process, COMMAND).await else {
        process.kill().expect("a process of ours can be killed");
        let said = stderr.join().unwrap_or_default();
        panic!("`{shown}` did not end within {COMMAND:?}; it said:\n{}", String::from_utf8_lossy(&said))
    };
    let stdout = stdout.join().expect("stdout is read");
    Output { status, stdout, stderr: stderr.join().expect("stderr is read") }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has said all it will say.
        drop(pipe.read_to_end(&mut bytes));
        bytes
    })
}

async fn wait(process: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().expect("a process of ours can be asked") {
            return Some(status);
        }
        tokio::time::sleep(POLL).await;
    }
    None
}

/// A running server, gone when dropped.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    arguments: Vec<String>,
    url: String,
    printed: Printed,
    /// None while it is stopped or killed.
    process: Option<Child>,
}

/// What a server has printed so far, on both streams.
#[derive(Debug, Clone, Default)]
struct Printed(Arc<Mutex<String>>);

impl Printed {
    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn follow(&self, stream: &'static str, pipe: impl Read + Send + 'static) {
        let printed = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut text = printed.0.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&format!("{stream} | {line}\n"));
            }
        });
    }
}

impl Server {
    /// Starts `daybook serve` with these further arguments in `directory`, on a port of its own, and waits until
    /// it is ready.
    pub async fn start(directory: &Path, arguments: &[String]) -> Self {
        let mut server = Self::launch(directory, arguments, free_port());
        server.ready().await;
        server
    }

    /// The same on a port that the system picks; the server says which.
    pub async fn start_on_any_port(directory: &Path, arguments: &[String]) -> Self {
        let mut server = Self::launch(directory, arguments, 0);
        server.ready().await;
        server
    }

    fn launch(directory: &Path, arguments: &[String], port: u16) -> Self {
        let mut all = vec!["serve".to_owned(), "--listen".to_owned(), format!("127.0.0.1:{port}")];
        all.extend_from_slice(arguments);
        let mut server = Server {
            directory: directory.to_owned(),
            arguments: all,
            url: String::new(),
            printed: Printed::default(),
            process: None,
        };
        server.spawn();
        server
    }

    /// Where it answers, such as `http://127.0.0.1:12345`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// What it has printed since it was first started, each line with the stream it was printed on.
    pub fn printed(&self) -> String {
        self.printed.text()
    }

    /// Kills it as a power cut would: without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a process of ours can be killed");
            process.wait().expect("a killed process ends");
        }
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        let process = self.process.as_ref().expect("the server runs");
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM cannot be sent");
    }

    /// Waits until a server that was asked to stop has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the server runs");
        match wait(&mut process, DEADLINE).await {
            Some(status) => status,
            None => {
                process.kill().expect("a process of ours can be killed");
                panic!("the server did not stop within {DEADLINE:?}")
            }
        }
    }

    /// Stops it in good order. Panics when it does not end well.
    pub async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "the server stopped with {status}");
    }

    /// Starts it again after it was stopped or killed: same data, same port, same settings.
    pub async fn restart(&mut self) {
        self.respawn();
        self.ready().await;
    }

    /// Starts it again without waiting until it is ready.
    pub fn respawn(&mut self) {
        self.kill();
        if let Some(address) = self.url.strip_prefix("http://") {
            self.arguments[2] = address.to_owned();
        }
        self.spawn();
    }

    fn spawn(&mut self) {
        let mut command = command(&self.directory);
        command.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the daybook binary starts");
        self.printed.follow("out", process.stdout.take().expect("a pipe"));
        self.printed.follow("err", process.stderr.take().expect("a pipe"));
        self.process = Some(process);
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let http = reqwest::Client::new();
        loop {
            if self.url.is_empty() {
                self.url = self.listening().unwrap_or_default();
            }
            if !self.url.is_empty() {
                let reply = http.get(format!("{}/readyz", self.url)).send().await;
                if reply.is_ok_and(|reply| reply.status().is_success()) {
                    return;
                }
            }
            let process = self.process.as_mut().expect("the server runs");
            if let Some(status) = process.try_wait().expect("a process of ours can be asked") {
                panic!("the server ended with {status} before it was ready");
            }
            assert!(Instant::now() < deadline, "the server was not ready within {DEADLINE:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    fn listening(&self) -> Option<String> {
        let printed = self.printed();
        let line = printed.lines().find_map(|line| line.strip_prefix("out | listening on "))?;
        Some(line.split_whitespace().next()?.trim_end_matches('/').to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let printed = self.printed();
            let lines: Vec<&str> = printed.lines().collect();
            let last = lines[lines.len().saturating_sub(200)..].join("\n");
            eprintln!("--- daybook {} printed last:\n{last}\n---", self.arguments.join(" "));
        }
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: while a server is
/// down, no client's socket may sit on its port.
pub fn free_port() -> u16 {
    std::iter::repeat_with(|| 10_000 + (uuid::Uuid::new_v4().as_u128() % 20_000) as u16)
        .take(1000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
