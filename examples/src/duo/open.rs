//! A service whose second factor is Duo. Its state is in memory.

use std::sync::Arc;

use mfa::duo::{Duo, UserNames};
use mfa::{
    AccountId, Engine, KeyId, KeyRing, MemoryStore, OsEntropy, StoredDirectory, Subject, TokioRuntime, UserId,
};

use super::Peer;
use crate::{Failure, Service};

/// Opens the service and makes its user.
///
/// # Errors
/// [`Failure::Usage`] if `user` is no id, or a setting of Duo's is refused: it names the variable.
pub async fn open(peer: &Peer, user: &str) -> Result<Service, Failure> {
    let user = UserId::parse(user).map_err(|error| Failure::usage(format!("--user: {error}")))?;
    let user = Subject::new(AccountId::parse("acme")?, user);
    let (store, runtime) = (Arc::new(MemoryStore::new()), TokioRuntime::new());
    let mut key = [0; 32];
    mfa::Entropy::fill(&OsEntropy::new(), &mut key)?;
    let ring = KeyRing::new(KeyId::parse("example")?, key)?;
    let directory =
        StoredDirectory::new(Arc::<MemoryStore>::clone(&store), ring.clone(), Arc::new(runtime.clone()));
    directory.put(&user).await?;
    // There is one account, so no two users have the same id, and nobody but the host gives one.
    let duo = Duo::new(peer.hosts.clone())?.with_names(UserNames::UserId).with_names_given_by_host();
    let engine = Engine::builder(
        Arc::<MemoryStore>::clone(&store),
        Arc::new(directory),
        ring,
        Arc::new(runtime.clone()),
    )
    .provider_with(duo, peer.settings())
    .http(Arc::new(peer.client.clone()))
    .build()
    .await
    .map_err(|error| Failure::of_build(error, &peer.variables))?;
    Ok(Service::new(engine, user, store, runtime))
}
