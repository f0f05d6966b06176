//! Passphrases of keys, as given on the command line.

use std::fs;

use crate::run;

#[test]
fn a_passphrase_file_that_cannot_be_read_is_bad_input_and_a_wrong_one_makes_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let generate = |file: &str, key: &str| {
        run(folder.path(), &["--json", "--passphrase-file", file, "key", "generate", key])
    };
    let (status, _, stderr) = generate("absent", "first");
    assert!(status == 2 && stderr.contains("BAD_PASSPHRASE_FILE"), "{status} {stderr}");
    for (file, text) in [("right", "right\nfurther\n"), ("wrong", "wrong\n")] {
        fs::write(folder.path().join(file), text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(folder.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    assert_eq!(generate("right", "first").0, 0);
    let (status, _, stderr) = generate("wrong", "second");
    assert!(status == 1 && stderr.contains("CANNOT_OPEN_KEY"), "{status} {stderr}");
    assert_eq!(generate("right", "second").0, 0);
}
