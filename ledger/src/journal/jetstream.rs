//! The journal on NATS JetStream: one stream per partition, one message per commit.
//!
//! What must stay true:
//! - Whether an append was stored is decided by the server's answer alone. Error codes are matched, never texts;
//!   whatever does not prove that the commit is *not* in the stream ends as `Unknown`.
//! - What decides something (a conflict, the end of a subject, the newest sequence) is asked of the stream's
//!   leader. A follower's log is the beginning of the leader's, possibly a little shorter: what it has may be
//!   used, what it lacks proves nothing.
//! - Sequences are dense, because the stream's settings forbid every removal (`settings`). A tail checks it.

mod delivery;
mod fetch;
mod keys;
mod memos;
mod settings;
mod tails;

use std::fmt;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{
    AccountErrorKind, Context, ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind, PublishError,
    PublishErrorKind,
};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Info, RawMessageError, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, HeaderName, Request, RequestErrorKind, header,
};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::tails::Tails;
use super::{
    AppendError, BoxError, Description, Draft, Journal, Memo, OpenError, PutMemoError, ReadError, Stored,
    Subject, Tail,
};
use crate::ids::Position;
use crate::keys::KeyStore;

/// Room for an append's headers beside the commit: servers count both against `max_payload`.
const HEADERS: usize = 1024;
/// The first version that runs everything this adapter relies on.
const OLDEST_SERVER: (u64, u64) = (2, 10);
/// How long a lost connection waits between tries, at most.
const RECONNECT: Duration = Duration::from_secs(1);
/// Messages that may wait for a reader; beyond that the client library drops them. Servers send no more than 32 MB that
/// nobody has read yet, and the smallest message has more than a hundred bytes.
const UNREAD: usize = 256 * 1024;
/// How long to wait before asking again about what is still on its way through the cluster.
const IN_FLIGHT: Duration = Duration::from_millis(5);

/// Where the journal's servers are, and how its streams are kept.
#[derive(Clone)]
pub struct JetStreamConfig {
    /// One or more server addresses, separated by commas: `nats://a:4222,nats://b:4222`.
    pub url: String,
    /// How to log in. `user:password@` may also stand in the first address, as it is, without escapes.
    pub credentials: Credentials,
    /// Certificates to trust besides the system's, for `tls://` addresses with a private authority.
    pub root_certificates: Option<PathBuf>,
    /// Names the streams (`<prefix>-<partition>`) and their subjects (`<prefix>.<partition>.<tenant>.<id>`).
    pub prefix: String,
    /// How many streams. Fixed for the life of a journal.
    pub partitions: u16,
    /// On how many servers each commit is stored before it is acknowledged.
    pub replicas: usize,
    /// Whether the server compresses what it stores.
    pub compression: bool,
    /// How long an append waits for the server's answer before its outcome is unknown; reads as well.
    pub ack_timeout: Duration,
    /// How long to try to connect.
    pub connect_timeout: Duration,
    /// Appends that may be under way at the same time; the next one waits.
    pub in_flight: usize,
}

impl JetStreamConfig {
    /// The defaults for one server: one partition, one replica, compressed.
    pub fn new(url: impl Into<String>) -> Self {
        JetStreamConfig {
            url: url.into(),
            credentials: Credentials::None,
            root_certificates: None,
            prefix: "daybook".to_owned(),
            partitions: 1,
            replicas: 1,
            compression: true,
            ack_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            in_flight: 1024,
        }
    }

    fn addresses(&self) -> impl Iterator<Item = &str> {
        self.url.split(',').map(str::trim).filter(|address| !address.is_empty())
    }

    /// The addresses without the credentials that may stand in them.
    fn location(&self) -> String {
        let bare = |address| {
            let (scheme, _, host) = parts(address);
            format!("{scheme}://{host}")
        };
        self.addresses().map(bare).collect::<Vec<_>>().join(",")
    }

    /// The credentials, which the client library does not look for in an address.
    fn login(&self) -> Credentials {
        let in_address = self.addresses().next().and_then(|address| parts(address).1);
        match (&self.credentials, in_address) {
            (Credentials::None, Some(login)) => match login.split_once(':') {
                Some((user, password)) => {
                    Credentials::Password { user: user.to_owned(), password: password.to_owned() }
                }
                None => Credentials::Token(login.to_owned()),
            },
            (given, _) => given.clone(),
        }
    }
}

/// An address as scheme, login and host.
fn parts(address: &str) -> (&str, Option<&str>, &str) {
    let (scheme, rest) = address.split_once("://").unwrap_or(("nats", address));
    match rest.rsplit_once('@') {
        Some((login, host)) => (scheme, Some(login), host),
        None => (scheme, None, rest),
    }
}

impl fmt::Debug for JetStreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JetStreamConfig { prefix, partitions, replicas, compression, .. } = self;
        write!(
            f,
            "JetStreamConfig({}, {prefix} x {partitions}, R{replicas}, compression {compression})",
            self.location()
        )
    }
}

/// How a client proves to a NATS server who it is.
#[derive(Clone)]
pub enum Credentials {
    /// Not at all, or in the address.
    None,
    /// A `.creds` file with a JWT and its key.
    File(PathBuf),
    /// A token.
    Token(String),
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The seed of an NKey.
    Nkey(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::File(_) => "File(..)",
            Credentials::Token(_) => "Token(..)",
            Credentials::Password { .. } => "Password(..)",
            Credentials::Nkey(_) => "Nkey(..)",
        })
    }
}

/// A journal on NATS JetStream.
#[derive(Debug)]
pub struct JetStreamJournal {
    config: JetStreamConfig,
    client: Client,
    /// How often the connection was lost.
    losses: watch::Receiver<u64>,
    /// By partition.
    partitions: Vec<Arc<Tails>>,
    /// None where the journal was opened to be read and has no memos yet.
    memos: Option<Store>,
    keys: Arc<keys::JetStreamKeys>,
    permits: Semaphore,
}

impl JetStreamJournal {
    /// Connects, creates the streams when missing, and refuses streams and servers that could lose a commit.
    ///
    /// A lost connection is taken up again for ever.
    pub async fn connect(config: JetStreamConfig) -> Result<Self, OpenError> {
        Self::open(config, Missing::Create).await
    }

    /// The same for whoever only looks: a stream that is missing is refused, never created.
    pub async fn connect_existing(config: JetStreamConfig) -> Result<Self, OpenError> {
        Self::open(config, Missing::Refuse).await
    }

    async fn open(config: JetStreamConfig, missing: Missing) -> Result<Self, OpenError> {
        settings::check_names(&config)?;
        let (client, losses) = connect(&config).await?;
        check_version(&client.server_info().version)?;
        let context = ContextBuilder::new().timeout(config.ack_timeout).build(client.clone());
        check_jetstream(&context, &config).await?;
        let streams = open_streams(&context, &config, missing).await?;
        let memos = memos::open(&context, &config, missing).await?;
        let keys = keys::open(&context, &config, missing).await?;
        let permits = Semaphore::new(config.in_flight.max(1));
        let tails = |(partition, stream)| {
            let subjects = format!("{}.{partition}.", config.prefix);
            let number = (partition, config.partitions);
            Arc::new(Tails::new(client.clone(), stream, losses.clone(), subjects, number))
        };
        let partitions = (0..config.partitions).zip(streams).map(tails).collect();
        Ok(JetStreamJournal { config, client, losses, partitions, memos, keys, permits })
    }

    fn partition(&self, partition: u16) -> Result<&Arc<Tails>, ReadError> {
        let tails = self.partitions.get(usize::from(partition));
        tails.ok_or_else(|| unavailable(format!("there is no partition {partition}")))
    }

    fn stream(&self, partition: u16) -> Result<&Stream<()>, ReadError> {
        Ok(&self.partition(partition)?.stream)
    }

    async fn read<T>(
        &self,
        request: Pin<&mut impl Future<Output = Result<T, BoxError>>>,
    ) -> Result<T, ReadError> {
        while_connected(&self.losses, request).await.flatten().map_err(ReadError::Unavailable)
    }

    /// The largest commit that the server takes now.
    fn limit(&self) -> usize {
        self.client.max_payload().saturating_sub(HEADERS)
    }
}

#[async_trait]
impl Journal for JetStreamJournal {
    fn partitions(&self) -> u16 {
        self.config.partitions
    }

    async fn append(&self, draft: &Draft, expected: u64) -> Result<Position, AppendError> {
        let (size, limit) = (draft.bytes.len(), self.limit());
        if size > limit {
            return Err(AppendError::TooLarge { size, limit });
        }
        let partition = draft.subject.partition(self.config.partitions);
        let tails = self.partition(partition).map_err(|e| AppendError::Unavailable(e.into()))?;
        let stream = &tails.stream;
        let subject = subject_of(&tails.subjects, &draft.subject);
        // No stream gets that far: such an expectation is as wrong clipped as it was, and any server can read it.
        let expected = expected.min(i64::MAX as u64);
        let _permit = self.permits.acquire().await.map_err(|e| AppendError::Unavailable(e.into()))?;
        // Once handed to the client, a message may be sent as soon as the connection is back.
        if self.client.connection_state() != State::Connected {
            return Err(AppendError::Unavailable("not connected to a server".into()));
        }
        // A future is as large as all that it may come to hold, and is moved when it is made: what is seldom needed is
        // in a box.
        let attempt = pin!(async {
            let expectation = (header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected);
            match self.publish(partition, subject.clone(), &draft.bytes, expectation).await {
                Ok(sequence) => Ok(sequence),
                Err(Unstored::OtherSequence) => {
                    Box::pin(self.settle(stream, partition, &subject, draft, expected)).await
                }
                Err(Unstored::Failed(error)) => Err(error),
            }
        });
        let outcome = while_connected(&self.losses, attempt).await;
        let sequence = outcome.unwrap_or_else(|e| Err(AppendError::Unknown(e)))?;
        Ok(Position { partition, sequence })
    }

    /// All are sent before the first answer is waited for. Each expects the whole stream to end with the one before
    /// it, so one that is lost takes those behind it along, and none ends up in the place of another.
    async fn restore(&self, commits: &[Stored]) -> Result<(), AppendError> {
        let Some(partition) = commits.first().map(|commit| commit.position.partition) else { return Ok(()) };
        let tails = self.partition(partition).map_err(|e| AppendError::Unavailable(e.into()))?;
        let limit = self.limit();
        for Stored { position, subject, bytes } in commits {
            if bytes.len() > limit {
                return Err(AppendError::TooLarge { size: bytes.len(), limit });
            }
            if (subject.partition(self.config.partitions), partition) != (partition, position.partition) {
                let reason = format!("{position} belongs to another partition here");
                return Err(AppendError::Unavailable(reason.into()));
            }
        }
        if self.client.connection_state() != State::Connected {
            return Err(AppendError::Unavailable("not connected to a server".into()));
        }
        let attempt = pin!(async {
            let context = ContextBuilder::new().timeout(self.config.ack_timeout).build(self.client.clone());
            let mut answers = Vec::with_capacity(commits.len());
            for Stored { position, subject, bytes } in commits {
                let mut headers = HeaderMap::new();
                let before = (position.sequence - 1).to_string();
                headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, before.as_str());
                let name = settings::stream_name(&self.config, partition);
                headers.insert(header::NATS_EXPECTED_STREAM, name.as_str());
                let subject = subject_of(&tails.subjects, subject);
                let sent = context.publish_with_headers(subject, headers, bytes.clone()).await;
                answers.push(sent.map_err(|error| AppendError::Unknown(error.into()))?);
            }
            for (commit, answer) in commits.iter().zip(answers) {
                if let Err(error) = answer.await {
                    self.settle_restored(&tails.stream, commit, error).await?;
                }
            }
            Ok(())
        });
        let outcome = while_connected(&self.losses, attempt).await;
        outcome.unwrap_or_else(|e| Err(AppendError::Unknown(e)))
    }

    /// The leader names the subject's newest commit, so nothing acknowledged is missed. From there on each commit says which
    /// one it follows, and is read by its sequence, which a server finds at once; a subject it has to search for. Direct
    /// gets may come from any replica, and do not queue with all else that is asked of the server's API.
    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        let partition = subject.partition(self.config.partitions);
        let tails = self.partition(partition)?;
        let (stream, name) = (&tails.stream, subject_of(&tails.subjects, subject));
        let newest = self.read(pin!(newest_of(stream, &name))).await?;
        let mut earliest = newest;
        let mut newest_first = Vec::new();
        while let Some(message) = earliest {
            let (sequence, follows) = (message.sequence, follows(&message));
            newest_first.push(self.stored(partition, message)?);
            earliest = match follows {
                Some(0) => break,
                Some(before) if before < sequence => {
                    let message = self.read(pin!(existing_at(stream, before))).await?;
                    message.filter(|message| message.subject.as_str() == name)
                }
                Some(_) | None => None,
            };
            if earliest.is_none() {
                let before = self.read(pin!(all_before(stream, &name, sequence))).await?;
                for message in before.into_iter().rev() {
                    newest_first.push(self.stored(partition, message)?);
                }
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        let Position { partition, sequence } = position;
        let exists = partition < self.config.partitions && (1..=i64::MAX as u64).contains(&sequence);
        if !exists {
            return Ok(None);
        }
        let message = self.read(pin!(message_at(self.stream(partition)?, sequence))).await?;
        message.map(|message| self.stored(partition, message)).transpose()
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        // Not from the stream's information: while a server of a cluster starts, it gives its own, old one.
        self.partition(partition)?.newest().await
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        self.partition(partition)?.open(after).await
    }

    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError> {
        self.partition(partition)?.page(after).await
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        let Some(store) = &self.memos else { return Ok(None) };
        self.read(pin!(memos::read(store, name))).await
    }

    async fn memo_names(&self) -> Result<Vec<String>, ReadError> {
        let Some(store) = &self.memos else { return Ok(Vec::new()) };
        self.read(pin!(memos::names(store))).await
    }

    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
        PutMemoError::check_size(&bytes)?;
        let Some(store) = &self.memos else {
            return Err(PutMemoError::Unavailable("the journal was opened for reading only".into()));
        };
        // Once handed to the client, a message may be sent as soon as the connection is back.
        if self.client.connection_state() != State::Connected {
            return Err(PutMemoError::Unavailable("not connected to a server".into()));
        }
        let put = pin!(memos::put(store, name, expected, bytes));
        let outcome = while_connected(&self.losses, put).await;
        outcome.unwrap_or_else(|e| Err(PutMemoError::Unknown(e)))
    }

    fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::clone(&self.keys) as Arc<dyn KeyStore>
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        let mut infos = Vec::new();
        for partition in 0..self.config.partitions {
            infos.push(self.info(partition).await?);
        }
        let server = self.client.server_info();
        let commits: u64 = infos.iter().map(|info| info.state.messages).sum();
        let orders: u64 = infos.iter().map(|info| info.state.subjects_count).sum();
        let mut facts = vec![
            ("server", format!("nats-server {} ({})", server.version, server.server_name)),
            ("cluster", server.cluster.unwrap_or_else(|| "none".to_owned())),
            ("partitions", self.config.partitions.to_string()),
            ("commits", commits.to_string()),
            ("subjects", orders.to_string()),
            ("largest commit", format!("{} bytes", self.limit())),
            (
                "sync_interval",
                "not visible to clients; `always` flushes every commit before it is acknowledged, the server's \
                 default flushes every two minutes"
                    .to_owned(),
            ),
        ];
        let mut warnings = Vec::new();
        for info in &infos {
            facts.extend(settings::facts(info));
            warnings.extend(settings::warnings(info));
        }
        Ok(Description {
            kind: "jetstream",
            location: self.config.location(),
            facts: facts.into_iter().map(|(label, value)| (label.to_owned(), value)).collect(),
            warnings,
            // Servers count bytes as they were before compression, and once for all replicas.
            bytes_on_disk: None,
        })
    }
}

// Opening ---------------------------------------------------------------------------------------------------

/// What to do about a stream that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Refuse,
}

async fn connect(config: &JetStreamConfig) -> Result<(Client, watch::Receiver<u64>), OpenError> {
    let (count, losses) = watch::channel(0_u64);
    let count = Arc::new(count);
    let mut options = ConnectOptions::new()
        .name("daybook")
        .connection_timeout(config.connect_timeout)
        .request_timeout(Some(config.ack_timeout))
        .max_reconnects(None)
        .subscription_capacity(UNREAD)
        .reconnect_delay_callback(|attempts| {
            let exponent = u32::try_from(attempts.min(10)).unwrap_or(10);
            RECONNECT.min(Duration::from_millis(2_u64.saturating_pow(exponent)))
        })
        .event_callback(move |event| {
            if event == Event::Disconnected {
                count.send_modify(|losses| *losses += 1);
            }
            tracing::info!(%event, "the connection to the journal's server");
            std::future::ready(())
        });
    options = match config.login() {
        Credentials::None => options,
        Credentials::File(path) => options
            .credentials_file(&path)
            .await
            .map_err(|e| OpenError::Refused(format!("the credentials {}: {e}", path.display())))?,
        Credentials::Token(token) => options.token(token),
        Credentials::Password { user, password } => options.user_and_password(user.clone(), password.clone()),
        Credentials::Nkey(seed) => options.nkey(seed),
    };
    if let Some(path) = &config.root_certificates {
        options = options.add_root_certificates(path.clone());
    }
    let location = config.location();
    let addresses: Vec<&str> = location.split(',').collect();
    let client = options.connect(addresses).await.map_err(|error| match error.kind() {
        ConnectErrorKind::ServerParse => {
            OpenError::Refused(format!("{location} is not a list of NATS addresses such as nats://host:4222"))
        }
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            OpenError::Refused(format!("{location} does not accept the credentials: {error}"))
        }
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => OpenError::Unavailable(format!("{location}: {error}").into()),
    })?;
    Ok((client, losses))
}

fn check_version(version: &str) -> Result<(), OpenError> {
    let mut numbers = version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= OLDEST_SERVER {
        return Ok(());
    }
    let (major, minor) = OLDEST_SERVER;
    Err(OpenError::Refused(format!(
        "the NATS server has version {version}; Daybook needs {major}.{minor} or later: upgrade the server"
    )))
}

async fn check_jetstream(context: &Context, config: &JetStreamConfig) -> Result<(), OpenError> {
    let Err(error) = context.query_account().await else { return Ok(()) };
    let disabled = match error.kind() {
        AccountErrorKind::JetStreamUnavailable => true,
        AccountErrorKind::JetStream(error) => {
            [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT]
                .contains(&error.error_code())
        }
        AccountErrorKind::TimedOut | AccountErrorKind::Other => false,
    };
    if disabled {
        let location = config.location();
        return Err(OpenError::Refused(format!(
            "{location} has no JetStream for this account: start nats-server with `-js`, or enable JetStream for \
             the account"
        )));
    }
    Err(OpenError::Unavailable(error.into()))
}

/// Finds every partition's stream, sees to those that are missing, and compares their settings.
async fn open_streams(
    context: &Context,
    config: &JetStreamConfig,
    missing: Missing,
) -> Result<Vec<Stream<()>>, OpenError> {
    let mut infos = Vec::new();
    for partition in 0..config.partitions {
        infos.push(find_stream(context, &settings::stream_name(config, partition)).await?);
    }
    // First of all: with another number of partitions, the streams that are missing should never be made.
    settings::check_partitions(config, infos.iter().flatten())?;
    let in_use = infos.iter().flatten().any(|info| info.state.last_sequence > 0);
    let mut streams = Vec::new();
    let mut differences = Vec::new();
    for (partition, info) in (0..config.partitions).zip(infos) {
        let name = settings::stream_name(config, partition);
        let info = match info {
            Some(info) => info,
            None if in_use => {
                return Err(OpenError::Refused(format!(
                    "the stream {name} is missing while others of the same journal hold commits: restore it from a \
                     backup, or check `partitions`"
                )));
            }
            None if missing == Missing::Refuse => {
                return Err(OpenError::Refused(format!(
                    "there is no stream {name} at {}: check the address and the prefix; the server creates it when \
                     it first starts",
                    config.location()
                )));
            }
            None => create_stream(context, config, partition).await?,
        };
        differences.extend(settings::differences(config, partition, &info));
        streams.push(context.get_stream_no_info(&name).await.map_err(|e| OpenError::Unavailable(e.into()))?);
    }
    if differences.is_empty() {
        return Ok(streams);
    }
    Err(OpenError::Refused(format!(
        "the streams are not kept as this journal needs them; change them, the configuration, or the prefix:\n{}",
        differences.join("\n")
    )))
}

async fn find_stream(context: &Context, name: &str) -> Result<Option<Info>, OpenError> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            GetStreamErrorKind::JetStream(_)
            | GetStreamErrorKind::Request
            | GetStreamErrorKind::EmptyName
            | GetStreamErrorKind::InvalidStreamName => Err(OpenError::Unavailable(error.into())),
        },
    }
}

async fn create_stream(
    context: &Context,
    config: &JetStreamConfig,
    partition: u16,
) -> Result<Info, OpenError> {
    let wanted = settings::wanted(config, partition);
    let name = wanted.name.clone();
    let error = match context.create_stream(wanted).await {
        Ok(stream) => return Ok(stream.cached_info().clone()),
        Err(error) => error,
    };
    if let CreateStreamErrorKind::JetStream(reason) = error.kind() {
        match reason.error_code() {
            // Another node was faster, with other settings: they are compared next.
            ErrorCode::STREAM_NAME_EXIST => {
                if let Some(info) = find_stream(context, &name).await? {
                    return Ok(info);
                }
            }
            ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED
            | ErrorCode::STREAM_SUBJECT_OVERLAP
            | ErrorCode::STREAM_INVALID_CONFIG => {
                return Err(OpenError::Refused(format!("the server will not create {name}: {reason}")));
            }
            _ => {}
        }
    }
    Err(OpenError::Unavailable(error.into()))
}

// Appending -------------------------------------------------------------------------------------------------

/// Why a publish was not acknowledged with a sequence.
enum Unstored {
    /// The subject's newest commit is not the expected one, or another is on its way: look closer.
    OtherSequence,
    Failed(AppendError),
}

impl JetStreamJournal {
    async fn publish(
        &self,
        partition: u16,
        subject: String,
        bytes: &Bytes,
        (expectation, expected): (HeaderName, u64),
    ) -> Result<u64, Unstored> {
        let mut headers = HeaderMap::new();
        headers.insert(expectation, expected.to_string().as_str());
        let name = settings::stream_name(&self.config, partition);
        headers.insert(header::NATS_EXPECTED_STREAM, name.as_str());
        let request = Request::new().headers(headers).payload(bytes.clone()).timeout(None);
        let answer =
            tokio::time::timeout(self.config.ack_timeout, self.client.send_request(subject, request));
        let message = match answer.await {
            Err(elapsed) => return Err(Unstored::Failed(AppendError::Unknown(elapsed.into()))),
            Ok(Err(error)) => {
                return Err(Unstored::Failed(match error.kind() {
                    // Nobody listens on the subject: no stream has seen the message.
                    RequestErrorKind::NoResponders => AppendError::Unavailable(error.into()),
                    // Checked before anything is sent.
                    RequestErrorKind::InvalidSubject => AppendError::Unavailable(error.into()),
                    RequestErrorKind::MaxPayloadExceeded => {
                        AppendError::TooLarge { size: bytes.len(), limit: self.limit() }
                    }
                    RequestErrorKind::TimedOut | RequestErrorKind::Other => {
                        AppendError::Unknown(error.into())
                    }
                }));
            }
            Ok(Ok(message)) => message,
        };
        match serde_json::from_slice(&message.payload) {
            Ok(Response::Ok(PublishAck { sequence, .. })) if sequence > 0 => Ok(sequence),
            Ok(Response::Ok(ack)) => Err(Unstored::Failed(AppendError::Unknown(
                format!("not an answer to an append: {ack:?}").into(),
            ))),
            Ok(Response::Err { error }) => Err(self.refused(bytes.len(), error)),
            Err(error) => Err(Unstored::Failed(AppendError::Unknown(error.into()))),
        }
    }

    /// What a server's refusal says about the commit.
    fn refused(&self, size: usize, error: jetstream::Error) -> Unstored {
        match error.error_code() {
            // 10071; in clusters also 10164, when a message for the subject is still being replicated.
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
                Unstored::OtherSequence
            }
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
                Unstored::Failed(AppendError::TooLarge { size, limit: self.limit() })
            }
            // Answered before the message is taken in.
            ErrorCode::JETSTREAM_NOT_ENABLED
            | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
            | ErrorCode::STREAM_NOT_MATCH
            | ErrorCode::STREAM_SEALED
            | ErrorCode::STREAM_TOO_MANY_REQUESTS => Unstored::Failed(AppendError::Unavailable(error.into())),
            // A single server checks its limits before it stores. In a cluster they are checked once more when the
            // message has been agreed on, and another server may have had room for it.
            ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
                if self.config.replicas == 1 =>
            {
                Unstored::Failed(AppendError::Unavailable(error.into()))
            }
            // Among them 10077, "store failed": what reached the disk before it failed, nobody knows.
            _ => Unstored::Failed(AppendError::Unknown(error.into())),
        }
    }

    /// Finds out what a wrong last sequence means: this very draft was stored before, or another one was.
    async fn settle(
        &self,
        stream: &Stream<()>,
        partition: u16,
        subject: &str,
        draft: &Draft,
        expected: u64,
    ) -> Result<u64, AppendError> {
        let deadline = Instant::now() + self.config.ack_timeout;
        loop {
            let follower = next_of(stream, subject, expected + 1).await.map_err(AppendError::Unknown)?;
            if let Some(message) = follower.as_ref().filter(|message| draft.is(&message.payload)) {
                return Ok(message.sequence);
            }
            let newest = newest_of(stream, subject).await.map_err(AppendError::Unknown)?;
            let newest = newest.map_or(0, |message| message.sequence);
            if follower.is_some() || newest < expected {
                return Err(AppendError::Conflict { actual: Position { partition, sequence: newest } });
            }
            // The expectation held a moment ago, so what stood in the way is being stored: it may be this draft.
            if Instant::now() > deadline {
                return Err(AppendError::Unknown("an earlier append is still on its way".into()));
            }
            tokio::time::sleep(IN_FLIGHT).await;
        }
    }
}

impl JetStreamJournal {
    /// Finds out what stands where a copy should: that very commit, from an earlier try, or not.
    async fn settle_restored(
        &self,
        stream: &Stream<()>,
        commit: &Stored,
        error: PublishError,
    ) -> Result<(), AppendError> {
        let Position { partition, sequence } = commit.position;
        let there = message_at(stream, sequence).await.map_err(AppendError::Unknown)?;
        if let Some(message) = there
            && self.stored(partition, message).is_ok_and(|stored| stored == *commit)
        {
            return Ok(());
        }
        if error.kind() != PublishErrorKind::WrongLastSequence {
            return Err(AppendError::Unknown(error.into()));
        }
        let newest = newest_of(stream, ">").await.map_err(AppendError::Unknown)?;
        let newest = newest.map_or(0, |message| message.sequence);
        Err(AppendError::Conflict { actual: Position { partition, sequence: newest } })
    }
}

// Reading ---------------------------------------------------------------------------------------------------

impl JetStreamJournal {
    async fn info(&self, partition: u16) -> Result<Info, ReadError> {
        let stream = self.stream(partition)?;
        self.read(pin!(async { stream.get_info().await.map_err(BoxError::from) })).await
    }

    fn stored(&self, partition: u16, message: StreamMessage) -> Result<Stored, ReadError> {
        let position = Position { partition, sequence: message.sequence };
        let subjects = &self.partition(partition)?.subjects;
        let subject = parse_subject(subjects, self.config.partitions, position, &message.subject)?;
        Ok(Stored { position, subject, bytes: message.payload })
    }
}

async fn message_at(stream: &Stream<()>, sequence: u64) -> Result<Option<StreamMessage>, BoxError> {
    found(stream.raw_message_builder().sequence(sequence).send().await)
}

/// The same for one that is known to be there: from whichever replica has it, which is quicker.
async fn existing_at(stream: &Stream<()>, sequence: u64) -> Result<Option<StreamMessage>, BoxError> {
    match stream.direct_get_builder().sequence(sequence).send().await {
        Ok(message) => Ok(Some(message)),
        // That replica is behind, or away.
        Err(_) => message_at(stream, sequence).await,
    }
}

/// The subject's messages from before a sequence, in order, searched for from the beginning; by whichever replica has them.
async fn all_before(stream: &Stream<()>, subject: &str, end: u64) -> Result<Vec<StreamMessage>, BoxError> {
    let (mut messages, mut from) = (Vec::new(), 1);
    while from < end {
        let direct = stream.direct_get_builder().sequence(from).next_by_subject(subject).send().await;
        let next = match direct {
            Ok(message) => Some(message),
            Err(_) => next_of(stream, subject, from).await?,
        };
        let Some(message) = next.filter(|message| message.sequence < end) else { break };
        from = message.sequence + 1;
        messages.push(message);
    }
    Ok(messages)
}

/// The sequence of the subject's message that this one follows, as it was expected, and as the server has checked it; 0
/// before the first one. None if nothing was expected of the subject: restored commits expect the whole stream to end with the
/// one before them.
fn follows(message: &StreamMessage) -> Option<u64> {
    message.headers.get(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE)?.as_str().parse().ok()
}

/// The subject's first message from a sequence on, as the leader has it.
async fn next_of(stream: &Stream<()>, subject: &str, from: u64) -> Result<Option<StreamMessage>, BoxError> {
    found(stream.raw_message_builder().sequence(from).next_by_subject(subject).send().await)
}

/// The subject's newest message, as the leader has it.
async fn newest_of(stream: &Stream<()>, subject: &str) -> Result<Option<StreamMessage>, BoxError> {
    found(stream.raw_message_builder().last_by_subject(subject).send().await)
}

fn found(read: Result<StreamMessage, RawMessageError>) -> Result<Option<StreamMessage>, BoxError> {
    match read {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            RawMessageErrorKind::InvalidSubject
            | RawMessageErrorKind::JetStream(_)
            | RawMessageErrorKind::Other => Err(error.into()),
        },
    }
}

/// Gives up when the connection is lost: the answer would have come over it, and the client library waits for it until
/// its time is up.
async fn while_connected<T>(
    losses: &watch::Receiver<u64>,
    request: Pin<&mut impl Future<Output = T>>,
) -> Result<T, BoxError> {
    let mut losses = losses.clone();
    losses.mark_unchanged();
    tokio::select! {
        answer = request => Ok(answer),
        _ = losses.changed() => Err("the connection was lost".into()),
    }
}

/// A subject, given what those of its partition begin with.
fn subject_of(begin: &str, subject: &Subject) -> String {
    let mut id = Uuid::encode_buffer();
    let id = subject.id.0.hyphenated().encode_lower(&mut id);
    [begin, subject.tenant.as_str(), ".", id].concat()
}

/// The inverse of [`subject_of`]: what fails here, no Daybook has written.
fn parse_subject(begin: &str, partitions: u16, at: Position, text: &str) -> Result<Subject, ReadError> {
    let parse = || {
        let (tenant, id) = text.strip_prefix(begin)?.split_once('.')?;
        let subject = Subject { tenant: tenant.parse().ok()?, id: id.parse().ok()? };
        // An id can be written in several ways, and is found under one.
        let is_ours = subject.id.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == id
            && subject.partition(partitions) == at.partition;
        is_ours.then_some(subject)
    };
    parse().ok_or_else(|| ReadError::Foreign {
        position: at,
        reason: format!("its subject {text} is not that of a commit"),
    })
}

fn unavailable(error: impl Into<BoxError>) -> ReadError {
    ReadError::Unavailable(error.into())
}
