//! Our mail against a mail server that we did not write: `aiosmtpd`, in a process of its own.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use mfa_core::{Channel, NotDelivered, SecretText, Transport as _};
use mfa_otp_delivery::address::Email;
use mfa_otp_delivery::text::SiteName;
use mfa_otp_delivery::transport::smtp::{Smtp, SmtpBuilder};
use serde_json::{Value, json};

use crate::support::{Clock, DEADLINE, Server, certificate, message};

/// Fri, 15 Jan 2027 08:00:00 UTC.
const NOW: u64 = 1_800_000_000;
const PASSWORD: &str = "correct horse";
const BOB: &str = "bob@example.com";

/// A server and what reaches it.
struct Rig {
    server: Server,
    clock: Clock,
    pem: String,
}

impl Rig {
    /// `None` where `aiosmtpd` is not installed.
    fn start(mode: &str) -> Option<Self> {
        let (pem, key) = certificate();
        let mut settings = json!({ "mode": mode });
        if mode != "plain" {
            settings["certificate"] = pem.clone().into();
            settings["key"] = key.into();
            settings["password"] = PASSWORD.into();
        }
        let server = Server::start("smtp_server.py", "aiosmtpd.smtp", &settings)?;
        Some(Self { server, clock: Clock::at(NOW), pem })
    }

    fn tls(&self) -> SmtpBuilder {
        Smtp::tls("127.0.0.1").port(self.server.port).only_roots(&*self.pem)
    }

    fn smtp(&self, builder: SmtpBuilder) -> Smtp {
        builder.build(Email::parse("no-reply@acme.example").unwrap(), self.clock.shared()).unwrap()
    }

    /// Connected and signed in with the right password.
    fn signed_in(&self) -> Smtp {
        self.smtp(self.tls().sign_in("mfa", SecretText::new(PASSWORD)))
    }

    fn plain(&self) -> Smtp {
        self.smtp(Smtp::danger_plain([127, 0, 0, 1]).port(self.server.port))
    }

    fn next_message(&mut self) -> Value {
        self.server.next("recipient");
        self.server.next("message")
    }
}

fn raw(event: &Value) -> String {
    String::from_utf8(BASE64.decode(event["raw"].as_str().unwrap().as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_byte_for_byte_over_tls_with_sign_in() {
    let Some(mut rig) = Rig::start("tls") else { return };
    let smtp = rig.signed_in();
    let receipt = smtp.send(&message(BOB, "c0ffee-0"), DEADLINE).await.unwrap();
    assert_eq!(receipt.id, "c0ffee-0");
    rig.server.next("connect");
    assert_eq!(rig.server.next("sign_in")["right"], true);
    let arrived = rig.next_message();
    // Written by hand after RFC 5322 §3.6, RFC 3834 §5 and RFC 2045.
    let expected = "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n\
                    From: no-reply@acme.example\r\n\
                    To: bob@example.com\r\n\
                    Auto-Submitted: auto-generated\r\n\
                    MIME-Version: 1.0\r\n\
                    Content-Type: text/plain; charset=utf-8\r\n\
                    Subject: Your code to sign in to Acme\r\n\
                    Message-ID: <c0ffee-0@acme.example>\r\n\
                    Content-Transfer-Encoding: 7bit\r\n\
                    \r\n\
                    012345 is your code.\r\n\r\nGive it to nobody.\r\n";
    assert_eq!(raw(&arrived), expected);
    assert_eq!(
        (&arrived["sender"], &arrived["recipients"]),
        (&json!("no-reply@acme.example"), &json!([BOB]))
    );
    assert_eq!(arrived["hello"], "acme.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_over_starttls_with_sign_in() {
    let Some(mut rig) = Rig::start("starttls") else { return };
    let builder = Smtp::starttls("127.0.0.1").port(rig.server.port).only_roots(&*rig.pem);
    let smtp = rig.smtp(builder.sign_in("mfa", SecretText::new(PASSWORD)));
    smtp.send(&message(BOB, "m-1"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    assert_eq!(rig.server.next("sign_in")["right"], true);
    assert_eq!(rig.next_message()["encrypted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_scripts_arrive_as_they_were_written() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let builder = Smtp::danger_plain([127, 0, 0, 1]).port(rig.server.port);
    let smtp = rig.smtp(builder.sender_name(SiteName::parse("Bücher & Söhne, \"GmbH\"").unwrap()));
    let mut message = message("bob@Bücher.example", "m-1");
    let body =
        ".Ihr Code für Bücher: 012345\n.\n..\nGib ihn niemandem — nie.\n".to_owned() + &"漢".repeat(400);
    (message.subject, message.body) = (Some("Dein Code für 漢字 Bücher".to_owned()), SecretText::new(&*body));
    smtp.send(&message, DEADLINE).await.unwrap();
    rig.server.next("connect");
    let arrived = rig.next_message();
    assert!(raw(&arrived).is_ascii());
    assert!(raw(&arrived).split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
    let header = |name: &str| {
        let headers = arrived["headers"].as_array().unwrap();
        let found: Vec<_> = headers.iter().filter(|header| header[0] == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0][1].as_str().unwrap().to_owned()
    };
    // As Python's parser reads them.
    assert_eq!(header("Subject"), "Dein Code für 漢字 Bücher");
    assert_eq!(header("From"), "\"Bücher & Söhne, \\\"GmbH\\\"\" <no-reply@acme.example>");
    assert_eq!(header("To"), "bob@xn--bcher-kva.example");
    assert_eq!(arrived["body"].as_str().unwrap().replace("\r\n", "\n").trim_end(), body);
    assert_eq!(arrived["recipients"], json!(["bob@xn--bcher-kva.example"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_error_of_its_own_and_moves_no_code() {
    let Some(mut rig) = Rig::start("tls") else { return };
    let smtp = rig.smtp(rig.tls().sign_in("mfa", SecretText::new("wrong horse")));
    let error = smtp.check(DEADLINE).await.unwrap_err();
    assert_eq!(error.code(), "smtp_sign_in");
    assert!(!format!("{error:?} {error} {smtp:?}").contains("horse"));
    assert_eq!(smtp.send(&message(BOB, "m-1"), DEADLINE).await, Err(NotDelivered::Temporary));
    for _ in 0..2 {
        rig.server.next("connect");
        assert_eq!(rig.server.next("sign_in")["right"], false);
    }
    rig.server.told_nothing_more();

    let smtp = rig.signed_in();
    smtp.check(DEADLINE).await.unwrap();
    // The connection of the check serves the first message.
    smtp.send(&message(BOB, "m-2"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    rig.server.next("sign_in");
    rig.next_message();
    rig.server.told_nothing_more();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_refused_before_anything_is_said() {
    for mode in ["tls", "starttls"] {
        let Some(mut rig) = Rig::start(mode) else { return };
        let start = if mode == "tls" { Smtp::tls } else { Smtp::starttls };
        let (other, _) = certificate();
        // Another certificate's roots; those of the system.
        for roots in [Some(other), None] {
            let mut builder = start("127.0.0.1").port(rig.server.port);
            if let Some(pem) = roots {
                builder = builder.only_roots(pem);
            }
            let smtp = rig.smtp(builder.sign_in("mfa", SecretText::new(PASSWORD)));
            assert_eq!(smtp.check(DEADLINE).await.unwrap_err().code(), "smtp_tls", "{mode}");
            assert_eq!(
                smtp.send(&message(BOB, "m-1"), DEADLINE).await,
                Err(NotDelivered::Temporary),
                "{mode}"
            );
        }
        if mode == "starttls" {
            (0..4).for_each(|_| drop(rig.server.next("connect")));
        }
        rig.server.told_nothing_more();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let Some(rig) = Rig::start("tls") else { return };
    let smtp = rig.smtp(Smtp::tls("localhost").port(rig.server.port).only_roots(&*rig.pem));
    assert_eq!(smtp.check(DEADLINE).await.unwrap_err().code(), "smtp_tls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_starttls_hears_no_password() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let builder = Smtp::starttls("127.0.0.1").port(rig.server.port).only_roots(&*rig.pem);
    let smtp = rig.smtp(builder.sign_in("mfa", SecretText::new(PASSWORD)));
    assert_eq!(smtp.check(DEADLINE).await.unwrap_err().code(), "smtp_tls");
    assert_eq!(smtp.send(&message(BOB, "m-1"), DEADLINE).await, Err(NotDelivered::Temporary));
    (0..2).for_each(|_| drop(rig.server.next("connect")));
    rig.server.told_nothing_more();
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_only_a_refused_recipient_is_refused_for_good() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let smtp = rig.plain();
    for (local, cause) in [
        ("refused", NotDelivered::Permanent),
        ("later", NotDelivered::Temporary),
        ("full", NotDelivered::Temporary),
        ("policy", NotDelivered::Temporary),
    ] {
        let sent = smtp.send(&message(&format!("{local}@example.com"), "m-1"), DEADLINE).await;
        assert_eq!(sent, Err(cause), "{local}");
        rig.server.next("connect");
        rig.server.next("recipient");
    }
    // The text has left.
    for local in ["unwanted", "unsure"] {
        let sent = smtp.send(&message(&format!("{local}@example.com"), "m-1"), DEADLINE).await;
        assert_eq!(sent, Err(NotDelivered::Temporary), "{local}");
        rig.server.next("connect");
        rig.next_message();
    }
    rig.server.told_nothing_more();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_cut_off_at_the_deadline() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let smtp = Arc::new(rig.plain());
    let waiting = tokio::spawn({
        let smtp = Arc::clone(&smtp);
        async move { smtp.send(&message("silent@example.com", "m-1"), DEADLINE).await }
    });
    rig.server.next("connect");
    rig.server.next("recipient");
    rig.clock.ring();
    assert_eq!(waiting.await.unwrap(), Err(NotDelivered::TimedOut));
    // The next message does not find the silent connection.
    smtp.send(&message(BOB, "m-2"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    rig.next_message();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_says_a_word_is_cut_off_at_the_deadline() {
    let clock = Clock::at(NOW);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let from = Email::parse("no-reply@acme.example").unwrap();
    for builder in [Smtp::tls("127.0.0.1"), Smtp::starttls("127.0.0.1"), Smtp::danger_plain([127, 0, 0, 1])] {
        let smtp = Arc::new(builder.port(port).build(from.clone(), clock.shared()).unwrap());
        let sending = tokio::spawn({
            let smtp = Arc::clone(&smtp);
            async move { smtp.send(&message(BOB, "m-1"), DEADLINE).await }
        });
        let _open = listener.accept().unwrap();
        clock.ring();
        assert_eq!(sending.await.unwrap(), Err(NotDelivered::TimedOut));
        let checking = tokio::spawn({
            let smtp = Arc::clone(&smtp);
            async move { smtp.check(DEADLINE).await }
        });
        let (mut open, _) = listener.accept().unwrap();
        clock.ring();
        assert_eq!(checking.await.unwrap().unwrap_err().code(), "smtp_timed_out");
        // What was cut off is closed: the server reads the end.
        assert!(open.read_to_end(&mut Vec::new()).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_one_message_after_the_other_and_is_replaced_when_it_is_dead() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let smtp = rig.plain();
    smtp.send(&message(BOB, "m-1"), DEADLINE).await.unwrap();
    smtp.send(&message(BOB, "m-2"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    rig.next_message();
    rig.next_message();
    // The server went away in between.
    rig.server.say("drop");
    rig.server.next("dropped");
    smtp.send(&message(BOB, "m-3"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    rig.next_message();
    // Idle for longer than a minute.
    rig.clock.advance(Duration::from_secs(61));
    smtp.send(&message(BOB, "m-4"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    rig.next_message();
    rig.server.told_nothing_more();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_open_than_allowed() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let builder = Smtp::danger_plain([127, 0, 0, 1]).port(rig.server.port).connections(1);
    let smtp = Arc::new(rig.smtp(builder));
    let sends = (0..8).map(|n| {
        let smtp = Arc::clone(&smtp);
        tokio::spawn(async move { smtp.send(&message(BOB, &format!("m-{n}")), DEADLINE).await })
    });
    for sent in sends.collect::<Vec<_>>() {
        sent.await.unwrap().unwrap();
    }
    rig.server.next("connect");
    (0..8).for_each(|_| drop(rig.next_message()));
    rig.server.told_nothing_more();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_reaches_an_address_that_could_not_be_enrolled() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let smtp = rig.plain();
    for to in ["\"bob\"@example.com", "bob@mailhost"] {
        assert!(Email::parse(to).is_err());
        let sent = smtp.send(&message(to, "m-1"), DEADLINE).await;
        assert!(sent.is_ok(), "{to}: {sent:?}");
    }
    rig.server.next("connect");
    for to in ["\"bob\"@example.com", "bob@mailhost"] {
        let arrived = rig.next_message();
        // Quotes that are not needed mean nothing (RFC 5321 §4.1.2), and `aiosmtpd` drops them.
        assert_eq!(arrived["recipients"], json!([to.replace('"', "")]));
        assert!(raw(&arrived).contains(&format!("\r\nTo: {to}\r\n")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_begin_another_header_or_command_is_never_sent() {
    let Some(mut rig) = Rig::start("plain") else { return };
    let smtp = rig.plain();
    for to in [
        "bob@example.com\r\nRCPT TO:<eve@evil.example>",
        "bob@example.com>\r\nDATA",
        "\"bob\r\nDATA\"@example.com",
        "\"bob> <eve\"@example.com",
        "bob@example.com eve@evil.example",
        "bob@example.com,eve@evil.example",
        "<bob@example.com>",
        "bób@example.com",
        "bob",
        "",
    ] {
        assert_eq!(smtp.send(&message(to, "m-1"), DEADLINE).await, Err(NotDelivered::Permanent), "{to:?}");
    }
    let mut bent = message(BOB, "m-1");
    bent.subject = Some("Hello\r\nBcc: eve@evil.example".to_owned());
    // That is no word about Bob's address: his codes do not go elsewhere.
    assert_eq!(smtp.send(&bent, DEADLINE).await, Err(NotDelivered::Temporary));
    // A telephone number is for another transport.
    let phone = message("+12025550100", "m-1").over(Channel::Phone);
    assert_eq!(smtp.send(&phone, DEADLINE).await, Err(NotDelivered::Permanent));
    rig.server.told_nothing_more();

    // An id of another form becomes one of ours.
    smtp.send(&message(BOB, "a@b>\r\nBcc: eve@evil.example"), DEADLINE).await.unwrap();
    rig.server.next("connect");
    let arrived = raw(&rig.next_message());
    assert!(!arrived.contains("evil"), "{arrived}");
    // Without one, the server names the message.
    let mut nameless = message(BOB, "");
    nameless.id = None;
    smtp.send(&nameless, DEADLINE).await.unwrap();
    assert!(!raw(&rig.next_message()).contains("Message-ID"));
}

#[test]
fn settings_are_checked_when_the_transport_is_built() {
    let (pem, _) = certificate();
    let password = || SecretText::new(PASSWORD);
    let table = [
        (Smtp::danger_plain([192, 0, 2, 1]), "smtp.host"),
        (Smtp::danger_plain([0, 0, 0, 0]), "smtp.host"),
        (Smtp::tls("mail.example.com:465"), "smtp.host"),
        (Smtp::tls("mail\r\n.example.com"), "smtp.host"),
        (Smtp::starttls(""), "smtp.host"),
        (Smtp::tls("mail.example.com").only_roots("no pem"), "smtp.roots"),
        (Smtp::tls("mail.example.com").only_roots(pem.replace('M', "?")), "smtp.roots"),
        (Smtp::tls("mail.example.com").connections(0), "smtp.connections"),
        (Smtp::tls("mail.example.com").connections(101), "smtp.connections"),
        (Smtp::tls("mail.example.com").sign_in("", password()), "smtp.user"),
        (Smtp::tls("mail.example.com").sign_in("mfa\r\nQUIT", password()), "smtp.user"),
    ];
    for (builder, field) in table {
        let shown = format!("{builder:?}");
        let from = Email::parse("no-reply@acme.example").unwrap();
        let error = builder.build(from, Clock::at(NOW).shared()).unwrap_err();
        let mfa_otp_delivery::Error::Invalid(error) = error else { panic!("{error:?}") };
        assert_eq!(error.field, field);
        assert!(!shown.contains("horse"), "{shown}");
    }
}
