//! E-mail over SMTP, through `lettre` and `rustls` with `ring`.

mod builder;
mod connection;
mod lines;
mod mail;
mod pool;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use mfa_core::{Channel, Message, NotDelivered, Receipt, Runtime, Transport};

use self::connection::Failure;
use self::mail::Sender;
use self::pool::Pool;
use super::{plain_id, within};
use crate::Error;

pub use self::builder::SmtpBuilder;

/// Hands e-mails to a submission server (RFC 6409), over connections that are kept for the next message.
///
/// * **TLS always**: from the first byte ([`Smtp::tls`], RFC 8314 §3.3) or before anything else is said
///   ([`Smtp::starttls`]; a server that does not offer it is refused). Certificates are verified against the roots of
///   the operating system, or others alone. Without TLS only on this machine, with [`Smtp::danger_plain`].
/// * **Nothing from before TLS.** What somebody puts behind the server's word to begin TLS fails the handshake, and a
///   server that says 64 KiB without being asked, on a connection that began without TLS, is cut off.
/// * **One recipient, plain text.** The headers are `From`, `To`, `Subject`, `Date`, `Message-ID` (of the message's id;
///   without one the server makes it, RFC 6409 §8.3), `Auto-Submitted` (RFC 3834) and those of MIME.
/// * **A deadline for all of it**, waiting for a connection included. What is cut off is not used again.
///
/// What comes of a message:
///
/// | answer of the server | result |
/// |---|---|
/// | accepted after its last line | a [`Receipt`] with the local part of `Message-ID` |
/// | `RCPT TO` refused with an address status 5.1.x (not 5.1.7 and 5.1.8, the sender's) or 5.2.1 (RFC 3463) | [`NotDelivered::Permanent`] |
/// | `RCPT TO` refused with 550, 551, 553 or 556, without such a status | [`NotDelivered::Permanent`] |
/// | an address that no mail can be written to | [`NotDelivered::Permanent`] |
/// | a subject with a line break | [`NotDelivered::Temporary`] |
/// | any other refusal, at any point: a full mailbox, a policy, our sender, our password, 4yz | [`NotDelivered::Temporary`] |
/// | no connection, no TLS, a connection that broke | [`NotDelivered::Temporary`] |
/// | nothing until the deadline | [`NotDelivered::TimedOut`] |
///
/// So only a word about the destination, said before the text left, moves a code to another channel (security rule S14).
/// Causes are `tracing` events with the step and the code, without the server's text, which repeats addresses.
///
/// It needs a tokio runtime with I/O.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::{sync::Arc, time::Duration};
/// # use mfa_core::{SecretText, Timestamp};
/// # let runtime = Arc::new(mfa_testkit::runtime::VirtualRuntime::new(Timestamp::MIN));
/// # let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
/// use mfa_otp_delivery::address::Email;
/// use mfa_otp_delivery::transport::smtp::Smtp;
///
/// let from = Email::parse("no-reply@acme.example")?;
/// let smtp = Smtp::tls("127.0.0.1").port(port).sign_in("mfa", SecretText::new("a password"));
/// let smtp = smtp.build(from, runtime)?;
/// // At the start of a service: is the server there, and does it take our password? Nobody listens on this port.
/// let error = smtp.check(Duration::from_secs(10)).await.unwrap_err();
/// assert_eq!(error.code(), "smtp_unreachable");
/// # Ok(()) }
/// ```
pub struct Smtp {
    pool: Pool,
    sender: Sender,
    runtime: Arc<dyn Runtime>,
}

impl Smtp {
    /// Connects to `host` with TLS from the first byte, on port 465.
    pub fn tls(host: &str) -> SmtpBuilder {
        SmtpBuilder::tls(host)
    }

    /// Connects to `host` on port 587 and asks for TLS before anything else.
    pub fn starttls(host: &str) -> SmtpBuilder {
        SmtpBuilder::starttls(host)
    }

    /// Connects without TLS to an address of this machine, on port 25: whoever listens there reads every code. An engine
    /// lists it among its dangers as `danger_plain`.
    pub fn danger_plain(address: impl Into<std::net::IpAddr>) -> SmtpBuilder {
        SmtpBuilder::danger_plain(address.into())
    }

    /// Connects and signs in, and keeps the connection for the first message.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Tls`], [`Error::SignIn`], [`Error::Refused`] and [`Error::TimedOut`].
    pub async fn check(&self, deadline: Duration) -> Result<(), Error> {
        let checked = async {
            let connection = self.pool.take(self.runtime.now()).await?;
            connection.give_back(self.runtime.now());
            Ok(())
        };
        within(&*self.runtime, deadline, checked).await.unwrap_or(Err(Error::TimedOut))
    }

    async fn hand_over(&self, message: &Message) -> Result<Receipt, NotDelivered> {
        let id = message.id.as_deref().map(plain_id);
        let mail = self.sender.mail(message, id.as_deref(), self.runtime.now());
        let mail = mail.inspect_err(|_| tracing::warn!("this e-mail cannot be written"))?;
        let mut connection = self.pool.take(self.runtime.now()).await.map_err(|error| {
            tracing::warn!(code = error.code(), "no connection to the mail server");
            NotDelivered::Temporary
        })?;
        connection.hand_over(&mail).await.map_err(|failure: Failure| {
            tracing::warn!(step = failure.step.code(), code = failure.code, "an e-mail was not accepted");
            failure.cause()
        })?;
        connection.give_back(self.runtime.now());
        Ok(Receipt::new(id.unwrap_or_else(|| "smtp".to_owned())))
    }
}

#[async_trait]
impl Transport for Smtp {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        if message.channel != Channel::Email {
            return Err(NotDelivered::Permanent);
        }
        within(&*self.runtime, deadline, self.hand_over(message)).await.unwrap_or(Err(NotDelivered::TimedOut))
    }

    fn dangers(&self) -> Vec<&'static str> {
        if self.pool.is_plain() { vec!["danger_plain"] } else { Vec::new() }
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, sender, runtime: _ } = self;
        f.debug_struct("Smtp").field("pool", pool).field("sender", sender).finish_non_exhaustive()
    }
}
