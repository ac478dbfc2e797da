//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::Refused;

pub(crate) const HELP: &str = "\
Checks an exported audit log without the store it came from.

usage: cargo run --example audit-verify -- --log FILE (--key-file FILE | --without-key) [--trusted FILE]

  --log FILE       the exported log: one event or checkpoint a line
  --key-file FILE  the key of the checkpoints, 64 lower-case hexadecimal digits, which only you can read
  --without-key    look for damage alone: whoever can write a log can write one that passes
  --trusted FILE   a checkpoint of this log that was kept elsewhere, as this program prints it;
                   without one, an end that was cut off is not found
  --help           show this text

exit status: 0 the log holds; 1 it does not, or it has no checkpoint, so that nothing in it is proven;
2 it was not checked: the command line, a file or the key";

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) log: PathBuf,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) trusted: Option<PathBuf>,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Refused> {
        let (mut options, mut without_key) = (Self::default(), false);
        let mut log = None;
        while let Some(argument) = arguments.next() {
            let Some(text) = argument.to_str() else { return Err(usage("an argument is not UTF-8")) };
            let (name, value) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
                _ => (text, None),
            };
            let file = match name {
                "--log" => &mut log,
                "--key-file" => &mut options.key_file,
                "--trusted" => &mut options.trusted,
                "--without-key" if value.is_none() => {
                    without_key = true;
                    continue;
                }
                "--help" | "-h" if value.is_none() => return Ok(Self { help: true, ..Self::default() }),
                _ => {
                    let shown: String = text.chars().take(32).collect();
                    return Err(usage(&format!("unknown argument {shown:?}")));
                }
            };
            let value = value.or_else(|| arguments.next()).filter(|path| !path.is_empty());
            let value = value.ok_or_else(|| usage(&format!("{name} needs a file")))?;
            if file.replace(PathBuf::from(value)).is_some() {
                return Err(usage(&format!("{name} was given twice")));
            }
        }
        options.log = log.ok_or_else(|| usage("--log is missing"))?;
        match (&options.key_file, without_key) {
            (Some(_), false) | (None, true) => Ok(options),
            (Some(_), true) => Err(usage("--key-file and --without-key exclude each other")),
            (None, false) => Err(usage("--key-file is missing; --without-key looks for damage alone")),
        }
    }
}

fn usage(problem: &str) -> Refused {
    Refused(format!("{problem}; try --help"))
}
