//! S32: what slow hashes need of memory. Alone in its process, whose memory is measured.
#![cfg(all(test, target_os = "linux"))]

// The pool's threads times the memory of one hash is all there is to be: none of it is lost to the next one.
#[test]
fn s32_many_hashes_need_no_more_memory_than_a_few() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
        line.trim_end_matches("kB").trim().parse::<usize>().unwrap() / 1024
    };
    let saved = mfa::recovery::RecoveryCode::parse("0123-4567-89AB-CDEF-GHNB").unwrap();
    let cost = mfa::recovery::Cost::default();
    let mut kept = Vec::new();
    let mut hashes = |times: usize| {
        for n in 0..times {
            kept.push(mfa::recovery::hash(&saved, cost, [7; 16]).unwrap());
            // What a service keeps besides lies between one hash's memory and the next one's.
            kept.extend((0..40).map(|size| "x".repeat(200 + size * 20 + n)));
        }
    };
    hashes(1);
    let few = resident();
    hashes(40);
    assert!(resident() < few + 2 * 19, "{few} MiB, and {} after forty hashes of 19 MiB more", resident());
}
