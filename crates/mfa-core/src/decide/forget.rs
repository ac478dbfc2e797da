//! Forgetting a user: every record gone, every personal value of their events erased, in one commit.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, UserId};

use super::manage::{Changing, Managed};
use super::notice;
use crate::driver::{Decision, Read, Records};
use crate::permission::Right;
use crate::plan::Plan;
use crate::record::exemptions::exemptions_key;
use crate::record::open::Open;
use crate::record::{LOGIN, OPEN, VAULT, challenge_key, user_key};
use crate::{Erase, Error, Expect, Intent, Key, NoticeKind};

pub(crate) fn keys(account: &AccountId, user: &UserId) -> Vec<Key> {
    vec![user_key(account, LOGIN, user), user_key(account, OPEN, user)]
}

/// Deletes records that are left: those that were listed, and of those that were read what is there.
pub(crate) fn sweep(left: &[Key], read: &[Key], records: &Records) -> Decision<()> {
    let mut plan = Plan::default();
    let there = read.iter().filter(|key| records.stored_version(key).is_some());
    for key in left.iter().chain(there) {
        plan.delete(key.clone(), Expect::Any);
    }
    Decision { plan, value: () }
}

impl Changing<'_> {
    /// Deletes the user's records, those named in `listed` among them. Challenges that are not listed as open any
    /// more die with the record they would need.
    pub(crate) fn forget(&mut self, listed: &[Key]) -> Managed<()> {
        let (account, user) = (self.subject.account(), self.subject.user());
        let login_key = user_key(account, LOGIN, user);
        let login = self.records.read(&login_key);
        let intent = Intent::forget(self.subject);
        let mut plan = Plan::default();
        let (found, expect) = match &login {
            Read::Live(login, version) => (Some(login), Expect::Version(*version)),
            Read::Absent => (None, Expect::Absent),
            // An unreadable record must go too, and nobody's proof stands on it.
            Read::Refused(_) => (None, Expect::Any),
        };
        let allowed = match self.authorise(&intent, found, &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        plan.delete(login_key, expect);
        plan.delete(user_key(account, VAULT, user), Expect::Any);
        plan.delete(exemptions_key(account, user), Expect::Any);
        for key in listed {
            plan.delete_once(key.clone());
        }
        // The list is deleted as it was read, so that no challenge is begun unseen. An unreadable one is deleted
        // all the same: its challenges find no record to be judged by.
        let expect = match self.records.read::<Open>(&user_key(account, OPEN, user)) {
            Read::Absent => Expect::Absent,
            Read::Refused(_) => Expect::Any,
            Read::Live(open, version) => {
                for entry in open.challenges {
                    plan.delete(challenge_key(account, entry.id), Expect::Any);
                }
                Expect::Version(version)
            }
        };
        plan.delete(user_key(account, OPEN, user), expect);
        plan.erase(Erase::User(user.clone()));
        let scope = Scope::Account(account.clone());
        let event = EventBuilder::new(scope, Kind::UserForgotten, Outcome::Success, self.now);
        plan.events([allowed.describe(event)]);
        if allowed.right != Right::Host {
            self.tell_forgotten(&mut plan)?;
        }
        Ok(Decision { plan, value: Ok(()) })
    }

    /// Tells the user's contacts, under a name that is nobody's: nothing of the user is left.
    fn tell_forgotten(&mut self, plan: &mut Plan) -> Result<(), Error> {
        let nobody = UserId::parse("~forgotten").map_err(|_| Error::Unavailable("a name for nobody"))?;
        let (account, id) = (self.subject.account(), self.draw.take()?);
        let (kind, contacts) = (NoticeKind::Forgotten, self.subject.contacts());
        notice::put(self.rules, (account, &nobody), id, kind, contacts, self.now, self.draw, plan)
    }
}
