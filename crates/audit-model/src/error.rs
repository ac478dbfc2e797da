//! What can go wrong.

use thiserror::Error;

/// An id that breaks the form. The messages name the rule, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// The id has no characters.
    #[error("{what} id is empty; give 1 to 256 bytes")]
    Empty {
        /// Whose id: `account` or `user`.
        what: &'static str,
    },
    /// The id is longer than 256 bytes.
    #[error("{what} id has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Whose id: `account` or `user`.
        what: &'static str,
        /// The length given, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The id begins with `~`, which is the engine's own.
    #[error("{what} id begins with `~`, which is reserved")]
    Reserved {
        /// Whose id: `account`.
        what: &'static str,
    },
    /// The id holds a control character.
    #[error("{what} id holds a control character")]
    Control {
        /// Whose id: `account` or `user`.
        what: &'static str,
    },
    /// The id begins or ends with white space.
    #[error("{what} id begins or ends with white space; trim it where it is made")]
    EdgeSpace {
        /// Whose id: `account` or `user`.
        what: &'static str,
    },
    /// The id is not in Unicode normal form C.
    #[error("{what} id is not in Unicode normal form C; normalise it where it is made")]
    NotNfc {
        /// Whose id: `account` or `user`.
        what: &'static str,
    },
    /// The text is not an event id.
    #[error("event id is not YYYYMM, a dash and 32 lower-case hexadecimal digits")]
    EventId,
}

impl IdError {
    /// Returns a stable code: `invalid_account_id`, `invalid_user_id` or `invalid_event_id`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { what }
            | Self::TooLong { what, .. }
            | Self::Reserved { what }
            | Self::Control { what }
            | Self::EdgeSpace { what }
            | Self::NotNfc { what } => {
                if *what == "account" {
                    "invalid_account_id"
                } else {
                    "invalid_user_id"
                }
            }
            Self::EventId => "invalid_event_id",
        }
    }
}

/// A number that is not a time this workspace can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Past the end of year 9999.
    #[error("time lies past the end of year 9999")]
    OutOfRange,
    /// Gregorian seconds before 1970: Unix seconds were given where gregorian ones belong.
    #[error("gregorian seconds begin at 62167219200 for 1970; this looks like unix seconds, add 62167219200")]
    NotGregorian,
}

impl TimeError {
    /// Returns a stable code: `time_out_of_range` or `not_gregorian_seconds`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OutOfRange => "time_out_of_range",
            Self::NotGregorian => "not_gregorian_seconds",
        }
    }
}

/// Why events could not be built or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A field is out of its limits.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What is wrong, with the limit.
        problem: String,
    },
    /// A text that should hold a value of some type holds none.
    #[error("{field}: must be {expected}")]
    WrongType {
        /// The field's name.
        field: &'static str,
        /// What it must be, with the limit.
        expected: &'static str,
    },
    /// A text that should hold an address holds none; the field is `ip`.
    #[error("ip: {problem}")]
    InvalidIp {
        /// What is wrong, with the limit.
        problem: String,
    },
    /// The cursor was not made for this query by this installation.
    #[error("cursor does not belong to this query; start again without one")]
    InvalidCursor,
    /// More events match than the caller's ceiling allows.
    #[error("more than {limit} events match; narrow the range or read page by page")]
    RangeTooLarge {
        /// The ceiling, in events.
        limit: usize,
    },
    /// The range ends before it begins; Kazoo's `date_range` text on `created_from`.
    #[error("created_to {created_to} is prior to created_from {created_from}")]
    RangeReversed {
        /// The first second asked for, as it was given.
        created_from: u64,
        /// The last second asked for, as it was given.
        created_to: u64,
    },
    /// The range is longer than allowed; Kazoo's `date_range` text on `created_from`.
    #[error("created_to {created_to} is more than {limit_seconds} seconds from created_from {created_from}")]
    RangeTooLong {
        /// The first second asked for, in gregorian seconds.
        created_from: u64,
        /// The last second asked for, in gregorian seconds.
        created_to: u64,
        /// The longest range, in seconds.
        limit_seconds: u64,
    },
    /// A field that should hold a time holds a number that is none.
    #[error("{field} is not a time")]
    Time {
        /// The field's name.
        field: &'static str,
        /// What is wrong with the number.
        source: TimeError,
    },
    /// A stored event cannot be read.
    #[error("a stored event cannot be read: {0}")]
    Corrupt(&'static str),
    /// The store could not be reached or answered with a failure.
    #[error("the audit store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AuditError {
    /// Returns a stable code: `invalid`, `type`, `invalid_ip`, `invalid_cursor`, `range_too_large`, `date_range`, `corrupt`,
    /// `unavailable`, or a code of [`TimeError`].
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::WrongType { .. } => "type",
            Self::InvalidIp { .. } => "invalid_ip",
            Self::InvalidCursor => "invalid_cursor",
            Self::RangeTooLarge { .. } => "range_too_large",
            Self::RangeReversed { .. } | Self::RangeTooLong { .. } => "date_range",
            Self::Time { source, .. } => source.code(),
            Self::Corrupt(_) => "corrupt",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Returns the name of the field it is about, where it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { field, .. } | Self::WrongType { field, .. } | Self::Time { field, .. } => {
                Some(field)
            }
            Self::InvalidIp { .. } => Some("ip"),
            Self::InvalidCursor => Some("start_key"),
            Self::RangeReversed { .. } | Self::RangeTooLong { .. } => Some("created_from"),
            Self::RangeTooLarge { .. } | Self::Corrupt(_) | Self::Unavailable(_) => None,
        }
    }
}
