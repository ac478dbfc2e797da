//! The defects, one each.

/// What a broken store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing: the wrapper itself keeps the contract.
    Sound,

    // Reading by key.
    GetSortsItsKeys,
    GetDropsTheAbsent,
    GetAnswersARepeatedKeyOnce,
    GetInventsTheAbsent,
    GetReadsOneScope,
    GetReadsKeysOneByOne,

    // What a record holds.
    BodyIsText,
    BodyStopsAtNul,
    BodyHasAnI16Length,
    BodyIsShorterByOneAtTheLimit,
    MakesUpVersions,
    ExpiryOutlivesAPut,
    ExpiryInSeconds,

    // The form of a commit.
    WritesWhatItCanOfARefused,
    CutsBodies,
    CutsIds,
    MovesForeignWrites,
    SplitsForeignEvents,
    LastWriteOfAKeyWins,
    RefusesEmptyCommits,

    // Expectations.
    PutIgnoresAbsence,
    PutIgnoresVersions,
    PutCreatesAtAVersion,
    ComparesTheFirstHalfOfVersions,
    ComparesTheLastHalfOfVersions,
    PutExpectsAbsenceAlways,
    DeleteIgnoresAbsence,
    DeleteIgnoresVersions,
    DeleteExpectsPresence,
    DeleteDoesNothing,
    IgnoresChecks,
    ChecksTouchTheRecord,

    // Atomicity.
    ForgetsTheLastWrite,
    ForgetsEvents,
    WritesUpToTheConflict,
    WritesBehindAFailedCheck,
    NamesTheFirstKeyInOrder,
    NamesTheLastConflict,
    WritesEventsOnConflict,
    ErasesOnConflict,
    CommitsWriteByWrite,

    // Expiry.
    GetReadsTheExpired,
    ListReadsTheExpired,
    ListLimitsBeforeItFilters,
    ScanReadsTheExpired,
    ScanLimitsBeforeItFilters,
    ReadsExpireOneLate,
    ReadsExpireOneEarly,
    CommitsExpireOneLate,
    CommitsIgnoreExpiry,
    CommitsIgnoreExpiryOfVersions,
    ReadsPurge,
    RemembersTheLatestTime,

    // Lists.
    ListDescends,
    ListFoldsCaseInItsOrder,
    PrefixFoldsCase,
    PrefixIsALikePattern,
    PrefixOfFfIsEmpty,
    ListIncludesAfter,
    ListNeedsAfterToExist,
    ListIgnoresItsLimit,
    ListLimitOverflows,
    ListMixesScopes,
    ListMixesKinds,
    ListOmitsBodies,
    ListOmitsExpiries,

    // Scans.
    ScanReadsOneScope,
    ScanSkipsTheSystem,
    ScanPagesByIdAlone,
    ScanMixesKinds,
    ScanIgnoresItsLimit,
    ScanNeedsAfterToExist,
    ScanOmitsBodies,

    // Purging.
    PurgesAtTheMillisecond,
    PurgesNothing,
    PurgeMiscounts,
    PurgeIgnoresItsLimit,
    PurgesEvents,

    // Keys.
    JoinsKindAndId,
    JoinsScopeAndKindByAColon,
    FoldsCaseOfIds,
    TrimsIds,
    ReadsIdsAsText,
    FoldsCaseOfScopes,

    // Events.
    EventsLoseTheirPersonalValues,
    StoresTheFirstEventAlone,
    FindsEventsOfAnyScope,
    LastEventOfAnIdStays,
    StoresEventsTwice,
    ARepeatedEventIsAnError,

    // Queries.
    QueryMixesScopes,
    QueryIgnoresView,
    QueryShowsTheHidden,
    QueryIgnoresUser,
    QueryFoldsUser,
    QueryIgnoresModule,
    QueryIgnoresKind,
    QueryIgnoresOutcome,
    QueryIgnoresAuthType,
    QueryIgnoresAddress,
    QueryExcludesFrom,
    QueryExcludesTo,
    QueryForgetsOutcomeBesideKind,
    QueryAscendsAlways,
    QueryReversesTies,
    QueryIgnoresItsLimit,
    QueryLimitsBeforeItFilters,
    PagesIncludeTheirPosition,
    PagesByTimeAlone,
    PagesByOffset,

    // Erasure.
    ErasesNothing,
    ErasureDeletesEvents,
    ErasureLeavesTheIndex,
    ErasesEveryUser,
    ErasesEveryScope,
    ErasesUsersAlone,
    ErasesItsOwnEvents,

    // Checkpoints.
    CheckpointsLeaveOutTheNewest,
    CheckpointsCoverTheWholeLog,
    CheckpointsForgetTheLast,
    CheckpointsIgnoreTheirTime,
    MakesEmptyCheckpoints,
    NoCheckpointOfAnEmptyLog,
    CheckpointsIncludeAfter,
    CheckpointsIgnoreTheirLimit,
    CheckpointsIgnoreTheirKey,
    LeavesComeByTime,
    LeavesLoseTheirPersonalValues,
    LeavesIncludeAfter,
    LeavesIgnoreTheirLimit,
    CheckpointsReadBeforeTheyWrite,

    // Concurrency.
    ExpectsBeforeItCommits,
    ChecksBeforeItCommits,
}
