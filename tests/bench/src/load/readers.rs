//! Readers of server-sent events, in a process of their own. They count events and look no further.

use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Running;

/// A reader who gets nothing for so long will get nothing any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who reads what.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Readers {
    /// Host and port.
    pub(crate) address: String,
    /// What each of them sends.
    pub(crate) request: String,
    /// How many there are.
    pub(crate) readers: usize,
    /// Events after which a reader has all.
    pub(crate) events: u64,
}

/// How long it took until all readers had all events.
#[derive(Serialize, Deserialize)]
pub(crate) struct Delivered {
    /// Since they asked.
    pub(crate) since_asked: Duration,
    /// Since the first of them got something.
    pub(crate) since_first: Duration,
}

impl Readers {
    /// Starts them, and waits until each was answered.
    pub(crate) async fn connect(&self) -> Running {
        let mut running = Running::start("readers", self).await;
        let answered: Option<usize> = running.line().await;
        assert_eq!(answered, Some(self.readers));
        running
    }

    /// Starts them, and waits until they have everything.
    pub(crate) async fn read(&self) -> Delivered {
        self.connect().await.line().await.expect("a line from the readers")
    }
}

/// Reads as is said on standard input. Prints how many readers there are when each was answered, and at the end
/// how long it took.
pub(crate) async fn read() {
    let given: Readers = serde_json::from_reader(std::io::stdin().lock()).expect("readers");
    let mut streams = Vec::new();
    for _ in 0..given.readers {
        let stream = TcpStream::connect(&given.address).await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP option");
        streams.push(stream);
    }
    let (answered, mut answers) = mpsc::channel(given.readers);
    let first = Arc::new(OnceLock::new());
    let (asked, mut reading) = (Instant::now(), JoinSet::new());
    for stream in streams {
        let (request, first, answered) = (given.request.clone(), Arc::clone(&first), answered.clone());
        reading.spawn(async move {
            let mut reader = Reader { stream, buffer: Vec::with_capacity(64 * 1024), seen: Seen::default() };
            reader.ask(&request).await;
            answered.send(()).await.expect("somebody who counts");
            reader.read(given.events, &first).await;
        });
    }
    for _ in 0..given.readers {
        answers.recv().await.expect("an answer");
    }
    print(&given.readers);
    reading.join_all().await;
    let since_first = first.get().map_or(Duration::ZERO, Instant::elapsed);
    print(&Delivered { since_asked: asked.elapsed(), since_first });
}

fn print(line: &impl Serialize) {
    println!("{}", serde_json::to_string(line).expect("JSON"));
    std::io::stdout().flush().expect("somebody who reads");
}

/// One connection.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    seen: Seen,
}

/// Events so far.
#[derive(Default)]
struct Seen {
    events: u64,
    /// The byte before.
    last: u8,
}

impl Seen {
    /// An event ends with an empty line, and nothing around it does: the lines of the transfer end with CR LF.
    fn count(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' && self.last == b'\n' {
                self.events += 1;
            }
            self.last = byte;
        }
    }
}

impl Reader {
    /// Asks, and reads the head of the answer.
    async fn ask(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.expect("a connection that stands");
        let end = loop {
            self.fill().await;
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
        self.seen.count(&self.buffer[end..]);
        self.buffer.clear();
    }

    /// Reads until it has so many events. Whoever gets the first one notes when that was.
    async fn read(mut self, events: u64, first: &OnceLock<Instant>) {
        while self.seen.events < events {
            self.fill().await;
            first.get_or_init(Instant::now);
            self.seen.count(&self.buffer);
            self.buffer.clear();
        }
    }

    async fn fill(&mut self) {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("silence after {} events", self.seen.events));
        assert!(read.expect("a connection that stands") > 0, "the server closed the connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_however_the_bytes_are_cut() {
        let wire = b"2d\r\nid: 0-1\nevent: commit\ndata: {\"a\":1}\n\n\r\n2d\r\nid: 0-2\nevent: commit\ndata: {\"a\":2}\n\n\r\n";
        for cut in 0..=wire.len() {
            let mut seen = Seen::default();
            seen.count(&wire[..cut]);
            seen.count(&wire[cut..]);
            assert_eq!(seen.events, 2, "cut at {cut}");
        }
    }
}
