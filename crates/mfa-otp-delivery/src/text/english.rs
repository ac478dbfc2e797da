//! The texts that are there from the start.

use super::{Form, Occasion, TextKey};
use crate::address::Medium;

/// Returns subject and body.
pub(super) const fn text(key: TextKey) -> (Option<&'static str>, &'static str) {
    match (key.medium, key.form, key.occasion) {
        (Medium::Email, Form::Code, Occasion::SignIn) => (
            Some("Your code to sign in to {site}"),
            "{code} is your code to sign in to {site}. It works for {minutes} min.\n\nGive it to nobody, whoever they \
             say they are. If you are not signing in, somebody knows your password: change it.",
        ),
        (Medium::Email, Form::Code, Occasion::Confirm) => (
            Some("Your code to confirm this address for {site}"),
            "{code} is your code to confirm this address for {site}. It works for {minutes} min.\n\nGive it to nobody, \
             whoever they say they are. If you did not ask for it, ignore this message.",
        ),
        (Medium::Email, Form::Code, Occasion::Change) => (
            Some("Your code to change how you sign in to {site}"),
            "{code} is your code to change how you sign in to {site}. It works for {minutes} min.\n\nGive it to nobody, \
             whoever they say they are. If you are not making a change, somebody is signed in as you: change your \
             password and tell the site's support.",
        ),
        (Medium::Email, Form::Link, Occasion::SignIn) => (
            Some("Confirm that you are signing in to {site}"),
            "If you are signing in to {site} now, open this page and confirm it there. It works for {minutes} min.\n\n\
             {link}\n\nIf you are not signing in, do not confirm anything: somebody knows your password, change it.",
        ),
        (Medium::Email, Form::Link, Occasion::Confirm) => (
            Some("Confirm this address for {site}"),
            "To confirm this address for {site}, open this page and confirm it there. It works for {minutes} min.\n\n\
             {link}\n\nIf you did not ask for it, ignore this message.",
        ),
        (Medium::Email, Form::Link, Occasion::Change) => (
            Some("Confirm a change to how you sign in to {site}"),
            "If you are changing how you sign in to {site} now, open this page and confirm it there. It works for \
             {minutes} min.\n\n{link}\n\nIf you are not making a change, do not confirm anything: somebody is signed \
             in as you. Change your password and tell the site's support.",
        ),
        (Medium::Sms, Form::Code, Occasion::SignIn) => {
            (None, "{code} is your code to sign in to {site}. It works for {minutes} min. Give it to nobody.")
        }
        (Medium::Sms, Form::Code, Occasion::Confirm) => {
            (None, "{code} confirms this number for {site}. It works for {minutes} min. Give it to nobody.")
        }
        (Medium::Sms, Form::Code, Occasion::Change) => {
            (None, "{code} changes how you sign in to {site}. It works for {minutes} min. Give it to nobody.")
        }
        (Medium::Sms, Form::Link, Occasion::SignIn) => {
            (None, "Are you signing in to {site} now? Then confirm it within {minutes} min: {link}")
        }
        (Medium::Sms, Form::Link, Occasion::Confirm) => {
            (None, "To confirm this number for {site}, open this page within {minutes} min: {link}")
        }
        (Medium::Sms, Form::Link, Occasion::Change) => (
            None,
            "Are you changing how you sign in to {site} now? Then confirm it within {minutes} min: {link}",
        ),
    }
}
