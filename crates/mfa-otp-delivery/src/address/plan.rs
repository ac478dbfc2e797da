//! What the numbering plans say of a number, read from the metadata of libphonenumber.
//!
//! `phonenumber` has functions for this, but they drop the leading zeros that belong to a number in some plans, and so
//! take every landline of Italy and every mobile phone of the Ivory Coast for nothing at all (0.3.10).

use phonenumber::metadata::{DATABASE, Descriptor};
use phonenumber::{Metadata, PhoneNumber};

use super::{LineType, Region};

/// Returns the region, if the number is one of a region's, and the kind of line; `None` if no plan has the number.
pub(super) fn look_up(number: &PhoneNumber) -> Option<(Option<Region>, LineType)> {
    let code = number.country().code();
    let national = number.national().to_string();
    let regions = DATABASE.region(&code)?;
    let alone = regions.len() == 1;
    regions.into_iter().find_map(|id| {
        let plan = match id {
            // Of no region, such as satellite networks.
            "001" => DATABASE.by_code(&code)?.into_iter().next()?,
            _ => DATABASE.by_id(id)?,
        };
        // Where several regions share a country code, some say which digits their numbers begin with.
        let is_its_own = plan
            .leading_digits()
            .is_none_or(|digits| alone || digits.find(&national).is_some_and(|found| found.start() == 0));
        let line = if is_its_own { line(plan, &national)? } else { return None };
        Some((Region::parse(id).ok(), line))
    })
}

/// In the order of libphonenumber's `getNumberTypeHelper`.
fn line(plan: &Metadata, national: &str) -> Option<LineType> {
    let kinds = plan.descriptors();
    let has = |kind: Option<&Descriptor>| kind.is_some_and(|kind| kind.is_match(national));
    if !kinds.general().is_match(national) {
        return None;
    }
    if has(kinds.premium_rate()) {
        return Some(LineType::Premium);
    }
    if has(kinds.toll_free()) {
        return Some(LineType::Unknown);
    }
    if has(kinds.shared_cost()) {
        return Some(LineType::Premium);
    }
    if has(kinds.voip()) {
        return Some(LineType::Voip);
    }
    if has(kinds.personal_number()) {
        return Some(LineType::Premium);
    }
    if has(kinds.pager()) || has(kinds.uan()) || has(kinds.voicemail()) {
        return Some(LineType::Unknown);
    }
    match (has(kinds.fixed_line()), has(kinds.mobile())) {
        (true, true) => Some(LineType::FixedOrMobile),
        (true, false) => Some(LineType::FixedLine),
        (false, true) => Some(LineType::Mobile),
        (false, false) => None,
    }
}
