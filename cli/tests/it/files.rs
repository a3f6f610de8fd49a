use std::io::Write as _;

use serde_json::Value;

use crate::{bonesetter, command, stderr, stdout};

#[test]
fn keys_are_made_once_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let path = path.to_str().unwrap();
    assert!(bonesetter(&["keys", "init", path], "").status.success());
    let again = bonesetter(&["keys", "init", path], "");
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("never overwritten"),
        "{}",
        stderr(&again)
    );
    let accounts = bonesetter(&["deploy", "nats", "--keys", path], "");
    assert!(
        stdout(&accounts).contains("nkey: U"),
        "{}",
        stdout(&accounts)
    );
}

#[test]
fn a_key_is_rotated_step_by_step_and_the_one_in_use_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let path = path.to_str().unwrap();
    assert!(bonesetter(&["keys", "init", path], "").status.success());
    let line = |name: &str| {
        let listed = stdout(&bonesetter(&["keys", "list", path], ""));
        let lines = listed
            .lines()
            .filter(|line| line.split_whitespace().next() == Some(name));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let id = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    let old = id(&line("svc-llm")[0]);
    let added = bonesetter(&["keys", "add", path, "svc-llm"], "");
    let holders = stdout(&added);
    for holder in ["svc-enricher", "svc-llm", "sweep", "external tool"] {
        assert!(holders.contains(holder), "{holder}: {holders}");
    }
    let refused = bonesetter(&["keys", "retire", path, "svc-llm", &old], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("keys promote"),
        "{}",
        stderr(&refused)
    );
    let promoted = bonesetter(&["keys", "promote", path, "svc-llm"], "");
    assert!(
        stdout(&promoted).contains("90 days"),
        "{}",
        stdout(&promoted)
    );
    assert_eq!(line("svc-llm").len(), 2);
    assert!(line("svc-llm")[0].contains("in use") && !line("svc-llm")[0].contains(&old));
    let retired = bonesetter(&["keys", "retire", path, "svc-llm", &old], "");
    assert!(retired.status.success(), "{}", stderr(&retired));
    assert_eq!(line("svc-llm").len(), 1);
    let unknown = bonesetter(&["keys", "add", path, "svc-enricher"], "");
    assert!(
        stderr(&unknown).contains("evidence"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn an_nkey_is_rotated_step_by_step_and_the_server_is_told_of_both_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let path = path.to_str().unwrap();
    assert!(bonesetter(&["keys", "init", path], "").status.success());
    assert!(
        bonesetter(&["keys", "external", path, "siem"], "")
            .status
            .success()
    );
    let tools = dir.path().join("external.yaml");
    std::fs::write(&tools, "external: [{name: siem, namespaces: [shop]}]").unwrap();
    let deploy = || {
        let tools = tools.to_str().unwrap();
        stdout(&bonesetter(
            &["deploy", "nats", "--keys", path, "--external", tools],
            "",
        ))
    };
    for name in ["nats/operator", "nats/external-siem"] {
        let ids = || -> Vec<String> {
            let listed = stdout(&bonesetter(&["keys", "list", path], ""));
            let words = listed
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>());
            let own = words.filter(|line| line.first() == Some(&name));
            own.map(|line| line[1].to_owned()).collect()
        };
        let step = |verb: &str| {
            let output = bonesetter(&["keys", verb, path, name], "");
            assert!(output.status.success(), "{}", stderr(&output));
            stdout(&output)
        };
        let old = ids().remove(0);
        assert!(step("add").contains("bonesetter deploy nats"));
        let new = ids().remove(1);
        let admitted = deploy();
        assert!(admitted.contains(&old) && admitted.contains(&new));
        let user = name.strip_prefix("nats/").unwrap();
        assert!(step("promote").contains(&format!("copy nats/{user}.nk")));
        let retired = bonesetter(&["keys", "retire", path, name, &old], "");
        assert!(retired.status.success(), "{}", stderr(&retired));
        let admitted = deploy();
        assert!(!admitted.contains(&old) && admitted.contains(&new));
    }
    for (name, said) in [("nats/nobody", "nobody.pub"), ("nats/../x", "../x")] {
        let refused = bonesetter(&["keys", "add", path, name], "");
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains(said), "{}", stderr(&refused));
    }
}

#[test]
fn text_is_redacted_from_standard_input() {
    let output = bonesetter(&["redact"], "login with password=correct-horse-77 failed\n");
    let text = stdout(&output);
    assert!(output.status.success());
    assert!(
        text.starts_with("login with password=<secret:") && text.ends_with("> failed\n"),
        "{text}"
    );
}

#[test]
fn what_is_no_secret_comes_out_as_it_went_in_however_long_it_is() {
    let line = "\u{1b}[31mred\u{1b}[0m bell\u{7} nul\0 end\r\n";
    let long = line.repeat(1 + (5 << 20) / line.len());
    let output = bonesetter(&["redact"], &long);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output) == long, "it was changed");
}

#[test]
fn what_was_taken_out_is_reported_and_its_line_withheld_where_it_stands_encoded() {
    let encoded = "%54%75%6c%69%70%2d%6d%6f%72%6e%37%6e%67%2f%39%78";
    let input = format!("DB_PASSWORD=Tulip-morn7ng/9x\nretry {encoded} x\nbye");
    let output = bonesetter(&["redact", "--report"], &input);
    let (text, said) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(2), "{said}");
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.starts_with("DB_PASSWORD=<secret:"), "{first}");
    assert_eq!(rest, "<withheld:egress>\nbye");
    assert!(
        said.contains("key-value") && said.contains("otherwise: 1"),
        "{said}"
    );
}

#[test]
fn lines_of_json_say_what_was_found_where() {
    let input = "{\"id\": 7, \"text\": \"token=abcdef0123456789abcdef ok\"}\n\n{\"id\": \"b\", \"text\": \"nothing\"}\n";
    let output = bonesetter(&["redact", "--format", "jsonl"], input);
    let text = stdout(&output);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["id"], 7);
    let finding = &lines[0]["findings"][0];
    assert_eq!(
        (&finding["start"], &finding["end"]),
        (&Value::from(6), &Value::from(28))
    );
    assert!(
        !lines[0]["output"]
            .as_str()
            .unwrap()
            .contains("abcdef0123456789")
    );
    assert_eq!(lines[1]["output"], "nothing");
    assert_eq!(lines[1]["findings"], Value::Array(Vec::new()));
}

#[test]
fn a_line_that_is_not_json_is_named() {
    let output = bonesetter(
        &["redact", "--format", "jsonl"],
        "{\"id\":1,\"text\":\"a\"}\nnot json\n",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
}

#[test]
fn a_file_that_is_not_evidence_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evidence.json");
    for (content, expected) in [
        ("", "is not evidence"),
        ("{\"version\": 99}", "is not evidence"),
        ("[]", "no entry of the list holds evidence"),
    ] {
        std::fs::write(&path, content).unwrap();
        let output = bonesetter(&["diagnose", "--file", path.to_str().unwrap()], "");
        assert_eq!(output.status.code(), Some(1), "{content}");
        assert!(
            stderr(&output).contains(expected),
            "{content}: {}",
            stderr(&output)
        );
    }
    let output = bonesetter(&["diagnose", "--file", "/nonexistent.json"], "");
    assert!(
        stderr(&output).contains("cannot read /nonexistent.json"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_scan_and_show_print_can_be_diagnosed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evidence.json");
    let path = path.to_str().unwrap();
    let document =
        r#"{"version": 1, "failure_class": "oom-killed", "evidence": {"items": []}}"#.to_owned();
    for (content, expected) in [
        (document.clone(), 1),
        (
            format!("[{{\"class\": \"OOMKilled\", \"evidence\": {document}}}]"),
            1,
        ),
        (
            format!(
                "{{\"events\": [{{\"details\": {{\"evidence\": {document}}}}}, \
                 {{\"details\": {{\"cause\": \"x\"}}}}, {{}}]}}"
            ),
            1,
        ),
        (
            format!("[{{\"evidence\": {document}}}, {{\"evidence\": {document}}}]"),
            2,
        ),
    ] {
        std::fs::write(path, &content).unwrap();
        let output = bonesetter(&["diagnose", "--file", path, "-o", "json"], "");
        assert!(output.status.success(), "{content}: {}", stderr(&output));
        let diagnoses: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(diagnoses.len(), expected, "{content}");
    }
}

#[test]
fn a_bus_that_cannot_be_reached_says_what_to_check() {
    let dir = tempfile::tempdir().unwrap();
    let seed = dir.path().join("seed");
    let keys = bonesetter_keys::init(&dir.path().join("keys"), &["operator"]).unwrap();
    std::fs::copy(keys.nkey_seed("operator"), &seed).unwrap();
    let arguments = [
        "incidents",
        "--nats-url",
        "nats://127.0.0.1:1",
        "--nkey-file",
        seed.to_str().unwrap(),
    ];
    let output = bonesetter(&arguments, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("check nats.url"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn wrong_usage_is_an_error_and_not_a_finding() {
    for arguments in [&["scan", "--bogus"][..], &["incidents"], &[]] {
        let output = bonesetter(arguments, "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
    let help = bonesetter(&["scan", "--help"], "");
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exits 2"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["deploy", "nats"]).spawn().expect("starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("ends").success());
}

#[test]
fn what_is_far_too_large_is_refused_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evidence.json");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let output = bonesetter(&["diagnose", "--file", path.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("larger than"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_line_that_is_not_text_is_named_and_no_cause_is_told_twice() {
    let mut child = command(&["redact", "--format", "jsonl"])
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(b"{\"id\":1,\"text\":\"a\"}\n\xff\n")
        .expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
    let output = bonesetter(&["incidents", "--nkey-file", "/nonexistent"], "");
    let text = stderr(&output);
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
}
