//! The uses of derived keys, each with the text that its key is derived with.

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Seals providers' secrets.
    SealVault,
    /// Seals the contacts that notices go to.
    SealContacts,
    /// Seals the contacts of the stored directory's users.
    SealDirectory,
    /// Seals messages that wait in the outbox.
    SealMessage,
    /// Seals what the token of a link says.
    SealLink,
    /// Authenticates record bodies.
    MacRecord,
    /// Hashes the host's session id.
    MacSession,
    /// Authenticates references.
    MacReference,
    /// Makes the ids of events that are merged.
    MacMerge,
    /// Hashes codes and link secrets.
    MacCode,
    /// Makes the ids of the records that count messages per destination.
    MacDestination,
    /// Seals API keys that can be shown again.
    SealApiKey,
    /// Seals what providers are told in configurations.
    SealConfiguration,
    /// Hashes API keys.
    MacApiKey,
    /// Makes the ids of the hints at whose an API key is.
    MacApiKeyHint,
    /// Seals identities at providers' services.
    SealIdentity,
    /// Makes the ids of the records that say whose an identity is.
    MacIdentity,
}

impl Label {
    pub(super) const SEALS: [Self; 8] = [
        Self::SealVault,
        Self::SealContacts,
        Self::SealDirectory,
        Self::SealMessage,
        Self::SealLink,
        Self::SealApiKey,
        Self::SealConfiguration,
        Self::SealIdentity,
    ];
    pub(super) const MACS: [Self; 9] = [
        Self::MacRecord,
        Self::MacSession,
        Self::MacReference,
        Self::MacMerge,
        Self::MacCode,
        Self::MacDestination,
        Self::MacApiKey,
        Self::MacApiKeyHint,
        Self::MacIdentity,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::SealVault => "seal/vault",
            Self::SealContacts => "seal/contacts",
            Self::SealDirectory => "seal/directory",
            Self::SealMessage => "seal/message",
            Self::SealLink => "seal/link",
            Self::MacRecord => "mac/record",
            Self::MacSession => "mac/session",
            Self::MacReference => "mac/reference",
            Self::MacMerge => "mac/merge",
            Self::MacCode => "mac/code",
            Self::MacDestination => "mac/destination",
            Self::SealApiKey => "seal/api_key",
            Self::SealConfiguration => "seal/configuration",
            Self::MacApiKey => "mac/api_key",
            Self::MacApiKeyHint => "mac/api_key_hint",
            Self::SealIdentity => "seal/identity",
            Self::MacIdentity => "mac/identity",
        }
    }
}
