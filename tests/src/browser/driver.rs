//! A `chromedriver` process and its one session: the commands of the W3C's WebDriver, as JSON over HTTP.
//!
//! The protocol is small, and the libraries that speak it would cost more than they give: one switches a feature of
//! `serde_json` on in the server under test as well, the other's licence is not among those of `deny.toml`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::DEADLINE;

/// What a browser is started with: headless, silent, and talking to nobody but the page.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "about:blank",
];

/// A running `chromedriver` with a browser of its own. Both are gone when dropped.
#[derive(Debug)]
pub(super) struct Driver {
    /// Leader of a process group that the browser's processes belong to as well.
    process: Child,
    /// Where the session answers.
    session: String,
    http: reqwest::Client,
    /// The browser's home and profile. Dropped last.
    _home: TempDir,
    /// Kept open: a driver that cannot print ends.
    _stdout: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts one with an empty profile; `None`, with a message, on a machine that cannot have a browser.
    pub(super) async fn start() -> Option<Self> {
        let program = program()?;
        let home = TempDir::with_prefix("daybook-browser-").expect("a directory for the browser");
        let mut process = Command::new(program)
            .args(["--port=0"])
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let port = port(&mut stdout);
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().expect("an HTTP client");
        let mut driver = Driver {
            process,
            session: format!("http://127.0.0.1:{port}/session"),
            http,
            _home: home,
            _stdout: stdout,
        };
        let begun = driver.command(Method::POST, "", Some(driver.capabilities())).await;
        let id = begun["sessionId"].as_str().expect("a session");
        driver.session = format!("{}/{id}", driver.session);
        Some(driver)
    }

    fn capabilities(&self) -> Value {
        let profile = format!("--user-data-dir={}", self._home.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}})
    }

    /// A command without parameters whose answer is the value.
    pub(super) async fn get(&self, command: &str) -> Value {
        self.command(Method::GET, command, None).await
    }

    /// A command. Panics when the browser refuses it.
    pub(super) async fn post(&self, command: &str, parameters: Value) -> Value {
        self.command(Method::POST, command, Some(parameters)).await
    }

    /// A command that the browser may refuse: the value, or the error's name and message.
    pub(super) async fn try_post(&self, command: &str, parameters: Value) -> Result<Value, String> {
        self.try_command(Method::POST, command, Some(parameters)).await
    }

    async fn command(&self, method: Method, command: &str, parameters: Option<Value>) -> Value {
        let done = self.try_command(method, command, parameters).await;
        done.unwrap_or_else(|error| panic!("the browser refuses {command:?}: {error}"))
    }

    async fn try_command(
        &self,
        method: Method,
        command: &str,
        parameters: Option<Value>,
    ) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{command}", self.session));
        if let Some(parameters) = &parameters {
            request = request.json(parameters);
        }
        let response = request.send().await.expect("chromedriver answers");
        let is_done = response.status().is_success();
        let mut answer: Value = response.json().await.expect("JSON from chromedriver");
        let value = answer["value"].take();
        if is_done { Ok(value) } else { Err(format!("{}: {}", value["error"], value["message"])) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The whole group: the driver's own end would leave the browser running.
        let group = format!("-{}", self.process.id());
        drop(Command::new("sh").args(["-c", "kill -s KILL -- \"$0\"", &group]).status());
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The `chromedriver` of this machine. Panics when there is none although there could be one.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("chromedriver"));
    if let Some(program) = found.into_iter().find(|program| program.is_file()) {
        return Some(program);
    }
    let note = tools().join("no-browser");
    let why = std::fs::read_to_string(note)
        .expect("no chromedriver on PATH: run `tests/setup`, which gets one or says why it cannot");
    println!("skipped: there is no browser on this machine: {}", why.trim());
    None
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools")
}

/// The port that the driver was given, from what it prints.
fn port(stdout: &mut impl BufRead) -> u16 {
    let mut line = String::new();
    while stdout.read_line(&mut line).expect("chromedriver prints") > 0 {
        if let Some((_, port)) = line.trim_end().trim_end_matches('.').rsplit_once("on port ")
            && line.contains("successfully")
        {
            return port.parse().expect("a port");
        }
        line.clear();
    }
    panic!("chromedriver ended before it listened")
}
