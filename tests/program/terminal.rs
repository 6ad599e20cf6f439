//! All of these tests once more with standard error a terminal: where a person sees a status line,
//! standard output has the bytes that it has in a pipe.

use std::env;
use std::process::Command;

use crate::support::program::STDERR_IS_TERMINAL;

#[test]
fn every_test_holds_with_standard_error_a_terminal() {
    if env::var_os(STDERR_IS_TERMINAL).is_some() {
        return;
    }
    // They wait more than they work. What is measured in `limits` is the same for both, and Windows
    // has its own turn.
    let again = Command::new(env::current_exe().unwrap())
        .args([
            "--test-threads",
            "8",
            "--skip",
            "limits::",
            "--skip",
            "windows::",
        ])
        .env(STDERR_IS_TERMINAL, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&again.stdout);
    let (_, failures) = told.split_once("\nfailures:\n").unwrap_or_default();
    assert!(again.status.success(), "{failures}");
    assert!(told.contains(" 0 ignored; "), "{told}");
}
