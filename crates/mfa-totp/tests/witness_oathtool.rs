//! Witness: `oathtool` of the OATH Toolkit computes the same codes.

mod support;

use std::process::Command;
use std::thread;

use support::{Case, cases, missing};

const CASES: usize = 10_000;
const THREADS: usize = 4;

fn oathtool(case: &Case) -> Result<String, String> {
    let key: String = case.secret.expose_secret().iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("oathtool")
        .arg(format!("--totp={}", case.parameters.algorithm))
        .arg(format!("--digits={}", case.parameters.digits))
        .arg(format!("--time-step-size={}s", case.parameters.period))
        .arg(format!("--now=@{}", case.time))
        .arg(key)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn oathtool_computes_the_same_codes() {
    if Command::new("oathtool").arg("--version").output().is_err() {
        return missing("oathtool", "Debian package oathtool");
    }
    let (cases, _) = cases(CASES);
    let agreed: usize = thread::scope(|scope| {
        let workers: Vec<_> = cases
            .chunks(CASES.div_ceil(THREADS))
            .map(|chunk| {
                scope.spawn(move || {
                    for case in chunk {
                        let theirs = oathtool(case);
                        assert_eq!(theirs.as_deref(), Ok(&*case.code), "{}", case.describe());
                    }
                    chunk.len()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(agreed, CASES);
}
