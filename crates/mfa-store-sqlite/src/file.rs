//! The store's files: made private, and refused when others can write them.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::OpenError;

/// What SQLite appends to the name of the file for the files beside it.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// POSIX drops every lock a process holds on a file when it closes any descriptor of it. So only a file that
/// did not exist before is ever opened outside SQLite, and nobody opens it through SQLite meanwhile.
static CREATING: Mutex<()> = Mutex::new(());

/// Makes sure that a private file stands at `path`, and returns the path with its folder resolved.
pub(crate) fn prepare(path: &Path) -> Result<PathBuf, OpenError> {
    let text = path.to_string_lossy();
    let name = match path.file_name() {
        Some(name) if !text.starts_with(':') && !text.starts_with("file:") => name,
        _ => return Err(OpenError::NotAPath(path.to_owned())),
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let resolved = fs::canonicalize(folder).map_err(|source| io_error("find", folder, source))?.join(name);
    let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    match create(&resolved) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => done.map_err(|source| io_error("create", &resolved, source))?,
    }
    check(&resolved)?;
    Ok(resolved)
}

/// Refuses the file and those beside it unless they are plain files which only their owner can write.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    check_one(path)?;
    SUFFIXES.iter().try_for_each(|suffix| {
        let mut name = OsString::from(path);
        name.push(suffix);
        check_one(Path::new(&name))
    })
}

fn check_one(path: &Path) -> Result<(), OpenError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error("look at", path, source)),
    };
    if !metadata.is_file() {
        return Err(OpenError::NotAFile(path.to_owned()));
    }
    match writable_by_others(&metadata) {
        Some(mode) => Err(OpenError::Writable { path: path.to_owned(), mode }),
        None => Ok(()),
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    make_private(&mut options);
    let file = options.open(path)?;
    // The mode asked for is cut by the umask, never widened; SQLite gives the files beside it the same mode.
    set_private(&file)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)
}

#[cfg(unix)]
fn make_private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(unix)]
fn set_private(file: &File) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn writable_by_others(metadata: &Metadata) -> Option<u32> {
    let mode = std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
    (mode & 0o022 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn make_private(_: &mut OpenOptions) {}

#[cfg(not(unix))]
fn set_private(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn writable_by_others(_: &Metadata) -> Option<u32> {
    None
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}
