//! One connection: opened and signed in, and a message handed over step by step, so that it is known what was refused.

use core::fmt;
use std::error::Error as _;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use mfa_core::{FieldError, NotDelivered, SecretText};
use tokio::net::TcpStream;

use super::lines::Lines;
use super::mail::Mail;
use crate::Error;

/// Where connections lead.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) sign_in: Option<SignIn>,
    /// What we call ourselves in `EHLO`.
    pub(super) hello: ClientId,
}

pub(super) enum Security {
    Tls(TlsParameters),
    StartTls(TlsParameters),
    Plain,
}

pub(super) struct SignIn {
    user: String,
    password: SecretText,
}

impl SignIn {
    pub(super) fn new(user: String, password: SecretText) -> Result<Self, FieldError> {
        if user.is_empty() || user.chars().any(char::is_control) {
            let problem = "must be one line that is not empty, without control characters";
            return Err(FieldError::new("smtp.user", "invalid", problem));
        }
        Ok(Self { user, password })
    }
}

impl Server {
    /// Opens a connection and signs in.
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let address = (self.host.as_str(), self.port);
        let opened = if let Security::Tls(tls) = &self.security {
            AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, Some(tls.clone()), None).await
        } else {
            let stream = TcpStream::connect(address).await.map_err(|_| Error::Unreachable)?;
            AsyncSmtpConnection::connect_with_transport(Box::new(Lines::new(stream)), &self.hello).await
        };
        let mut connection = opened.map_err(|error| not_opened(&error))?;
        if let Security::StartTls(tls) = &self.security {
            if !connection.can_starttls() {
                return Err(Error::Tls);
            }
            connection.starttls(tls.clone(), &self.hello).await.map_err(|error| not_opened(&error))?;
        }
        if let Some(SignIn { user, password }) = &self.sign_in {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| {
                // 4yz is not a word about the password (RFC 4954 §6).
                if error.is_transient() { not_opened(&error) } else { Error::SignIn }
            })?;
        }
        Ok(connection)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, security, sign_in, hello: _ } = self;
        f.debug_struct("Server")
            .field("host", host)
            .field("port", port)
            .field("tls", &!matches!(security, Security::Plain))
            .field("sign_in", &sign_in.is_some())
            .finish_non_exhaustive()
    }
}

/// Hands a message over. A connection on which that failed is not to be used again.
pub(super) async fn hand_over(connection: &mut AsyncSmtpConnection, mail: &Mail) -> Result<(), Failure> {
    let from = MailFrom::new(Some(mail.from.clone()), Vec::new());
    connection.command(from).await.map_err(|error| Failure::at(Step::Sender, &error))?;
    let to = Rcpt::new(mail.to.clone(), Vec::new());
    connection.command(to).await.map_err(|error| Failure::at(Step::Recipient, &error))?;
    connection.command(Data).await.map_err(|error| Failure::at(Step::Text, &error))?;
    connection.message(&mail.bytes).await.map_err(|error| Failure::at(Step::Text, &error))?;
    Ok(())
}

/// What the server was asked when it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Sender,
    Recipient,
    Text,
}

impl Step {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Text => "text",
        }
    }
}

/// A refusal, or a connection that broke, which has no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) code: Option<u16>,
    /// The status of RFC 3463, where the server gave one.
    status: Option<[u16; 3]>,
}

impl Failure {
    fn at(step: Step, error: &lettre::transport::smtp::Error) -> Self {
        let text = error.status().and_then(|_| error.source()).map(ToString::to_string);
        let status = text.as_deref().and_then(enhanced_status);
        Self { step, code: error.status().map(u16::from), status }
    }

    /// The table in the documentation of [`Smtp`](super::Smtp).
    pub(super) const fn cause(&self) -> NotDelivered {
        let refused_for_good = match (self.step, self.code, self.status) {
            (Step::Recipient, Some(500..=599), Some([5, 1, detail])) => !matches!(detail, 7 | 8),
            (Step::Recipient, Some(500..=599), Some(status)) => matches!(status, [5, 2, 1]),
            (Step::Recipient, Some(code), None) => matches!(code, 550 | 551 | 553 | 556),
            _ => false,
        };
        if refused_for_good { NotDelivered::Permanent } else { NotDelivered::Temporary }
    }
}

/// Reads `5.1.1` from the beginning of a reply's text.
fn enhanced_status(text: &str) -> Option<[u16; 3]> {
    let mut numbers = text.split([' ', '\r', '\n']).next()?.split('.').map(|number| number.parse().ok());
    let status = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(status)
}

/// Says why there is no connection.
fn not_opened(error: &lettre::transport::smtp::Error) -> Error {
    if let Some(code) = error.status() {
        return Error::Refused(u16::from(code));
    }
    let mut source = error.source();
    while let Some(error) = source {
        // What `tokio-rustls` makes of every error of `rustls`.
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData) {
            return Error::Tls;
        }
        source = error.source();
    }
    Error::Unreachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_about_the_recipient_is_permanent() {
        use NotDelivered::{Permanent, Temporary};
        // RFC 5321 §4.2.2 and §4.2.3, RFC 7504, RFC 3463 §3.2 to §3.8.
        let table = [
            (Step::Recipient, 550, None, Permanent),
            (Step::Recipient, 551, None, Permanent),
            (Step::Recipient, 553, None, Permanent),
            (Step::Recipient, 556, None, Permanent),
            // A full mailbox, which anybody can fill; our own password; a transaction that failed.
            (Step::Recipient, 552, None, Temporary),
            (Step::Recipient, 530, None, Temporary),
            (Step::Recipient, 554, None, Temporary),
            (Step::Recipient, 450, None, Temporary),
            (Step::Recipient, 550, Some([5, 1, 1]), Permanent),
            (Step::Recipient, 554, Some([5, 1, 10]), Permanent),
            (Step::Recipient, 550, Some([5, 2, 1]), Permanent),
            // The sender's address, a full mailbox, our address on a list.
            (Step::Recipient, 550, Some([5, 1, 8]), Temporary),
            (Step::Recipient, 552, Some([5, 2, 2]), Temporary),
            (Step::Recipient, 550, Some([5, 7, 1]), Temporary),
            (Step::Recipient, 450, Some([4, 2, 1]), Temporary),
            (Step::Recipient, 450, Some([5, 1, 1]), Temporary),
            (Step::Sender, 550, Some([5, 1, 1]), Temporary),
            (Step::Sender, 550, None, Temporary),
            (Step::Text, 550, Some([5, 1, 1]), Temporary),
            (Step::Text, 550, None, Temporary),
        ];
        for (step, code, status, cause) in table {
            let failure = Failure { step, code: Some(code), status };
            assert_eq!(failure.cause(), cause, "{failure:?}");
        }
        assert_eq!(Failure { step: Step::Recipient, code: None, status: None }.cause(), Temporary);
    }

    #[test]
    fn a_status_is_three_numbers_at_the_beginning() {
        assert_eq!(enhanced_status("5.1.1 <bob@example.com> unknown"), Some([5, 1, 1]));
        assert_eq!(enhanced_status("5.1.10"), Some([5, 1, 10]));
        for none in ["", "mailbox 5.1.1", "5.1", "5.1.1.1 x", "5.x.1", "5..1", "5.1.99999999"] {
            assert_eq!(enhanced_status(none), None, "{none}");
        }
    }
}
