//! One HTTP/1.1 connection. Requests are rendered before the clock runs and answers are read no further than needed,
//! so that what is measured is the server and not the client beside it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, with room for one answer.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The last answer.
    pub(crate) buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a host and port.
    pub(crate) async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_nodelay(true).expect("a TCP option");
        Connection { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends a request and reads its answer to the end. Returns the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> u16 {
        self.send(request).await;
        self.receive().await
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.expect("a connection that stands");
    }

    /// Reads an answer to its end. Returns the status.
    pub(crate) async fn receive(&mut self) -> u16 {
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("a connection that stands");
            assert!(read > 0, "the server closed the connection");
            if let Some((status, length)) = complete(&self.buffer)
                && self.buffer.len() >= length
            {
                return status;
            }
        }
    }

    /// A header of the last answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = std::str::from_utf8(&self.buffer[..head_end(&self.buffer)?]).ok()?;
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> &[u8] {
        head_end(&self.buffer).map_or(&[], |end| &self.buffer[end..])
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// The status and the whole length of an answer, once its head is there.
fn complete(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = head_end(bytes)?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = lengths.next().unwrap_or_else(|| panic!("an answer without a length: {head}"));
    Some((status, end + length))
}

/// An HTTP/1.1 request as it goes over the wire.
pub(crate) fn render(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {length}\r\n")
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{content}\r\n{body}")
}
