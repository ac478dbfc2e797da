//! A mail sink: enough of an SMTP server to take what the examples send, on loopback. It is no mail server: it knows no
//! TLS, no users and no refusals.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest line of a command or a mail, and the longest mail, in bytes.
const MAX_LINE_BYTES: u64 = 2_000;
const MAX_MAIL_BYTES: usize = 100_000;

/// Takes every mail, and keeps the newest.
#[derive(Debug)]
pub struct MailSink {
    address: SocketAddr,
    newest: Newest,
}

type Newest = Arc<Mutex<Option<String>>>;

impl MailSink {
    /// Listens on a free port of this machine, as long as the runtime lives.
    ///
    /// # Errors
    /// An [`io::Error`] if there is none.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, newest) = (listener.local_addr()?, Newest::default());
        let kept = Arc::clone(&newest);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                // A client that goes away in the middle has sent nothing.
                tokio::spawn(async move { drop(serve(stream, &kept).await) });
            }
        });
        Ok(Self { address, newest })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the newest mail as it came, headers and text, with a line feed after each line.
    #[must_use]
    pub fn newest(&self) -> Option<String> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves one client (RFC 5321 §4.1, and nothing beyond).
async fn serve(stream: TcpStream, newest: &Newest) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 localhost a mail sink\r\n").await?;
    while let Some(line) = line(&mut stream).await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" | "HELO" => b"250 localhost\r\n",
            "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 ok\r\n",
            "DATA" => {
                stream.write_all(b"354 end with a dot\r\n").await?;
                let Some(mail) = mail(&mut stream).await? else { return Ok(()) };
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(mail);
                b"250 kept\r\n"
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => b"502 a sink knows no such command\r\n",
        };
        stream.write_all(reply).await?;
    }
    Ok(())
}

/// Reads a mail up to its dot, and takes away the dots that were put before other dots (RFC 5321 §4.5.2).
async fn mail(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut mail = String::new();
    while let Some(line) = line(stream).await? {
        if line == "." {
            return Ok(Some(mail));
        }
        if mail.len().saturating_add(line.len()) > MAX_MAIL_BYTES {
            return Ok(None);
        }
        mail.push_str(line.strip_prefix('.').unwrap_or(&line));
        mail.push('\n');
    }
    Ok(None)
}

/// Reads a line, without its end; `None` at the end of the connection and for a line that is too long.
async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    stream.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_suffix('\n').map(|line| line.trim_end_matches('\r').to_owned()))
}
