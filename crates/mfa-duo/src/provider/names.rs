//! How users are called at Duo.

use mfa_core::{Cx, FieldError, Identity, ProviderError};
use unicode_normalization::UnicodeNormalization;

/// The longest name at Duo, which says of none how long it may be: a field of a name's usual size does not cut one off.
const MAX_NAME_BYTES: usize = 255;

/// How users are called at Duo, whose integrations know a user by name alone, in any case of its letters, and where
/// they are set to normalise names, without what is before a backslash or behind an at sign. A name has at most 255
/// bytes; whoever would get a longer one cannot set Duo up.
///
/// A name says nothing of a user's generation: Duo knows no other. A person who is given the id of a former one inherits
/// the devices that are enrolled under the name, and with a first factor alone sets Duo up by them, until an
/// administrator of Duo has deleted that user there. Delete it when you forget the user.
///
/// With [`UserId`](Self::UserId) and [`Label`](Self::Label) the accounts choose who a user is at Duo. Of all users of the
/// engine whose settings name the same API host, and with it the same users at Duo, one alone can then set Duo up under
/// a name; another one is refused as `identity_taken`, before anybody is asked anything, until the first has Duo no more.
/// [`Engine::identity_holder`](mfa_core::Engine::identity_holder) tells the host who has it. Names count as the same that
/// Duo might take for one: in any case of their letters, however they are composed, and without a domain
/// ([`Duo::with_domains_in_names`](super::Duo::with_domains_in_names)).
///
/// * Nobody can by themselves set Duo up through settings that are not their own account's, nor can an administrator of
///   their account for them: an administrator of the account whose provider configuration it is, or of one above it, does,
///   or the host; under the settings in the host's code and configurations of the system the host alone. It is otherwise
///   where the host gives the names ([`Duo::with_names_given_by_host`](super::Duo::with_names_given_by_host)).
/// * In the mode `web_sdk`, in which Duo is not asked whether the keys are its own, Duo can be set up through settings in
///   the host's code and configurations of the system alone.
/// * The name is good at the host that the settings had when Duo was set up. Settings that name another one do not serve
///   who set it up before: remove Duo from them, and have it set up anew.
/// * Nobody is told where to enrol at Duo who is not there yet: an administrator of Duo adds them.
/// * A name with a slash is refused, since it could be one of the form `account/user`, and so is one that can be taken
///   apart in more than one way or has characters that nobody sees.
/// * Duo's own aliases of a user are not known here. Give nobody an alias that could be another one's name.
///
/// What was set up before names were compared stands, and is compared with nothing: neither when it is used nor when
/// another user sets up the same name. Where a host has used such names before, have those users set Duo up anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserNames {
    /// `account/user`: no two users of this engine share a name, whatever Duo makes of it. Of an id, lower-case letters
    /// `a` to `z`, digits, `.`, `_` and `-` are written as they are, and every other byte as `%` and two lower-case hex
    /// digits: `Bob@x` is `%42ob%40x`.
    #[default]
    AccountAndUser,
    /// The user's id. The host says by this that ids are given to persons, not to users of an account.
    UserId,
    /// The user's label, such as an e-mail address. The host says by this that a user cannot choose theirs. A name is
    /// pinned when Duo is set up: a label which another user gets later is still that of the first.
    Label,
}

impl UserNames {
    /// Returns what a user is called who begins to set Duo up.
    pub(super) fn name_of(self, cx: &Cx<'_>) -> Result<String, ProviderError> {
        let refused = |code, problem| Err(ProviderError::Invalid(FieldError::new("username", code, problem)));
        let name = match self {
            Self::AccountAndUser => {
                format!("{}/{}", part_of_name(cx.account.as_str()), part_of_name(cx.user.as_str()))
            }
            Self::UserId => cx.user.as_str().to_owned(),
            Self::Label => cx.label.to_owned(),
        };
        if name.len() > MAX_NAME_BYTES {
            let problem = format!("must have at most {MAX_NAME_BYTES} bytes as it is written for duo");
            return refused("too_long", problem);
        }
        if self.are_of_accounts() {
            return Ok(name);
        }
        let read = composed(&name);
        if read.contains('/') {
            let problem = "must have no slash, which is for names of the form account/user".to_owned();
            return refused("slash", problem);
        }
        if !is_read_in_one_way(&read) {
            let problem =
                "must be letters and digits of any script or what ascii has, with at most one backslash \
                           and behind it at most one at sign, and not be a domain alone"
                    .to_owned();
            return refused("ambiguous", problem);
        }
        Ok(name)
    }

    /// Returns whether no user of another account can have a name.
    pub(super) fn are_of_accounts(self) -> bool {
        self == Self::AccountAndUser
    }
}

/// Returns whom a name may mean at Duo. All applications of one customer of Duo's have its users and its API host.
pub(super) fn identity(host: &str, name: &str, domains: bool) -> Identity {
    let name = composed(name);
    let name = if domains { &name } else { without_domain(&name) };
    Identity::new(&[host, &folded(name)])
}

/// Returns one of the ways that the same name can be written in Unicode.
fn composed(name: &str) -> String {
    name.nfkc().collect()
}

/// Returns whether a name is one and the same however it is taken apart, and has no characters that nobody sees.
fn is_read_in_one_way(name: &str) -> bool {
    // Hangul fillers are letters that nobody sees.
    let is_seen = |c: char| match c {
        '\u{115f}' | '\u{1160}' => false,
        c => c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric(),
    };
    let (behind, at) = (name.rsplit('\\').next().unwrap_or(name), name.find('@'));
    name.chars().all(is_seen)
        && name.matches('\\').count() <= 1
        && name.matches('@').count() <= 1
        && at.is_none_or(|at| !name.get(at..).is_some_and(|domain| domain.contains('\\')))
        && !behind.trim_start().starts_with('@')
        && !behind.trim().is_empty()
}

fn without_domain(name: &str) -> &str {
    let name = name.rsplit_once('\\').map_or(name, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Folds case as far as it can be, so that no two names are apart here that are one at Duo: by way of capitals, since
/// there are small letters that share one.
fn folded(name: &str) -> String {
    name.trim().to_lowercase().to_uppercase().to_lowercase()
}

/// Returns an id as a part of a name that has parts, so that different ids stay different when Duo folds case and takes
/// a domain away: no capital, backslash, at sign or letter that has other spellings is left.
fn part_of_name(id: &str) -> String {
    let mut part = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02x}")),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiHosts;
    use crate::provider::Duo;

    fn at(host: &str, name: &str) -> Identity {
        Duo::new(ApiHosts::duo().also("127.0.0.1:8443").unwrap()).unwrap().identity_of(host, name).unwrap()
    }

    const HOST: &str = "api-1b9e2f0c.duosecurity.com";

    #[test]
    fn names_that_duo_may_take_for_one_are_one() {
        for same in [
            "bob",
            "BOB",
            "Bob",
            " bob ",
            "bob@acme.example",
            "bob@other.example",
            "ACME\\bob",
            "acme.example\\Bob",
            "ACME\\bob@acme.example",
            "bob@",
        ] {
            assert_eq!(at(HOST, same), at(HOST, "bob"), "{same}");
        }
        // Capitals of Unicode: a Kelvin sign, a long s, a sharp s, a final sigma, a dotless i.
        for (one, other) in [
            ("\u{212a}", "k"),
            ("\u{17f}am", "sam"),
            ("stra\u{df}e", "strasse"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{131}an", "ian"),
            // Composed, and not; letters of full width, as are the at sign and the backslash.
            ("ren\u{e9}", "rene\u{301}"),
            ("\u{ff22}ob", "bob"),
            ("bob\u{ff20}acme.example", "bob"),
            ("acme\u{ff3c}bob", "bob"),
        ] {
            assert_eq!(at(HOST, one), at(HOST, other), "{one}");
        }
    }

    #[test]
    fn other_names_and_other_hosts_are_others() {
        for other in ["eve", "bobb", "bo", "b-ob", "bob.", ""] {
            assert_ne!(at(HOST, other), at(HOST, "bob"), "{other}");
        }
        assert_ne!(at("127.0.0.1:8443", "bob"), at(HOST, "bob"));
        assert_eq!(at(&HOST.replace("api", "API"), "bob"), at(HOST, "bob"));
        // The port that is meant where none is named.
        let named = format!("{HOST}:443");
        let duo = Duo::new(ApiHosts::duo().also(&named).unwrap()).unwrap();
        assert_eq!(duo.identity_of(&named, "bob").unwrap(), at(HOST, "bob"));
    }

    #[test]
    fn domains_tell_names_apart_where_the_host_says_so() {
        let duo = Duo::new(ApiHosts::duo()).unwrap().with_domains_in_names();
        let at = |name| duo.identity_of(HOST, name).unwrap();
        assert_ne!(at("bob@acme.example"), at("bob@other.example"));
        assert_eq!(at("bob@acme.example"), at("BOB@acme.example"));
    }
}
