use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn config(routing: &str, state: &Path) -> Config {
    let text = format!(
        "serviceMesh: {{ namespace: n }}\ncanaryDeployment:\n  routing: {{ {routing} }}\n  stateDir: \"{}\"\n",
        state.display()
    );
    crate::config::parse("mesh.yaml", &text)
        .unwrap_or_else(|report| panic!("{report}"))
        .config
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn key(config: &Config) -> Result<CookieKey, String> {
    CookieKeys::new().expect("random numbers").of(config)
}

#[test]
fn a_process_that_starts_again_has_the_key_from_before() {
    let directory = directory();
    let state = directory.path().join("state/canary");
    let config = config("sticky: true", &state);
    let first = key(&config).expect("made");
    assert_eq!(key(&config), Ok(first.clone()));
    assert_eq!(to_look(&config), Ok(first.clone()));
    assert_ne!(key(&self::config("sticky: false", &state)), Ok(first));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join(NAME))), (0o700, 0o600));
    let names = fs::read_dir(&state).expect("a directory").count();
    assert_eq!(names, 1, "nothing unfinished is left");
}

#[test]
fn replicas_that_begin_at_once_share_the_key_that_one_of_them_made() {
    let directory = directory();
    let named = directory.path().join("shared.key");
    let routing = format!("cookieKeyFile: \"{}\"", named.display());
    let other = format!("{routing}, sticky: true");
    let configs = [(&routing, "a"), (&other, "b")]
        .map(|(routing, state)| config(routing, &directory.path().join(state)));
    let keys: Vec<_> = std::thread::scope(|threads| {
        let begun: Vec<_> = configs
            .iter()
            .map(|config| threads.spawn(|| key(config)))
            .collect();
        begun
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].is_ok() && named.exists());
}

#[test]
fn a_key_that_cannot_be_trusted_is_not_used() {
    let directory = directory();
    let path = directory.path().join(NAME);
    let named = config(
        &format!("cookieKeyFile: \"{}\"", path.display()),
        directory.path(),
    );
    let by_state = config("sticky: true", directory.path());
    let whole = "00112233445566778899aabbccddeeff\n";
    for (text, mode, why) in [
        (whole, 0o644, "others can get at it (mode 644)"),
        ("0011\n", 0o600, "expected 32 hexadecimal digits"),
        ("", 0o600, "expected 32 hexadecimal digits"),
        (&whole.replace('f', "g"), 0o600, "expected 32 hexadecimal digits"),
    ] {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let error = key(&named).expect_err("refused");
        assert!(
            error.starts_with("canaryDeployment.routing.cookieKeyFile: "),
            "{error}"
        );
        assert!(error.contains(why), "{error}");
        let mut keys = CookieKeys::new().expect("random numbers");
        let fallen_back = keys.of(&by_state).expect("it serves");
        assert_eq!(
            keys.of(&by_state),
            Ok(fallen_back),
            "as long as the process lasts"
        );
        assert_eq!(
            fs::read_to_string(&path).expect("there"),
            text,
            "it is left as it is"
        );
    }
    fs::write(&path, whole).expect("written");
    assert_eq!(key(&named), key(&by_state));
}

#[test]
fn a_pipe_is_no_key_and_is_not_waited_for() {
    let directory = directory();
    let path = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo is there").success());
    let named = config(
        &format!("cookieKeyFile: \"{}\"", path.display()),
        directory.path(),
    );
    let error = key(&named).expect_err("refused");
    assert!(error.ends_with("pipe: expected a file"), "{error}");
}
