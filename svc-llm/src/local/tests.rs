use bonesetter_proto::v1::FailureClass;
use bonesetter_proto::v1::remedy::Fix;
use serde_json::json;

use super::*;
use crate::case::Case;
use crate::fixture::{Fixture, crash_loop};
use crate::ground::{ground, is_grounded};
use crate::rules::Rules;

fn read(text: &str) -> Result<LocalRules, String> {
    let mut rules = LocalRules::default();
    let added = rules.add(Path::new("own.yaml"), text);
    added.map(|()| rules).map_err(|error| error.to_string())
}

const LICENCE: &str = r"
rules:
- cause: x-licence-server-down
  when:
    log: 'licence server (?P<server>\S+) answered (?P<status>\d{3})'
    exit_codes: [1]
    examples: ['WARN licence server l.internal answered 402']
    counterexamples: ['licence server l.internal answered ok']
  summary: '{workload}: {container} gets no licence from {server} ({status}).'
  recommendation: 'Call the licence desk; the line was: {line}'
";

fn fixture() -> Fixture {
    Fixture::deployment("web", &json!({ "name": "app", "image": "shop/web:2" }))
        .pod(&crash_loop("Error", 1))
        .event("FailedMount", "volume data-7 is locked by node n3")
        .log(
            true,
            &[
                "INFO up",
                "WARN licence server l.internal answered 402",
                "FATAL giving up",
            ],
        )
        .rollout(
            1,
            2,
            true,
            &[(
                "/spec/containers/0/image",
                "\"shop/web:1\"",
                "\"shop/web:2\"",
            )],
        )
}

#[test]
fn a_rule_names_what_it_found_and_cites_it() {
    let evidence = fixture().build();
    let case = Case::over(&evidence, FailureClass::CrashLoopBackOff);
    let ours = Rules::default().explain(&case);
    assert_ne!(ours.cause, "x-licence-server-down");
    let diagnosis = Rules::with(read(LICENCE).unwrap()).explain(&case);
    assert_eq!(diagnosis.cause, "x-licence-server-down");
    assert_eq!(
        diagnosis.summary,
        "Deployment web: app gets no licence from l.internal (402)."
    );
    assert!(
        diagnosis
            .recommendation
            .ends_with("licence server l.internal answered 402")
    );
    assert!(diagnosis.citations.len() >= 2 && diagnosis.remedy.is_none());
    assert!(
        diagnosis.citations.iter().all(|it| is_grounded(&case, it)),
        "{diagnosis:?}"
    );
}

#[test]
fn everything_that_is_asked_for_must_be_so() {
    let evidence = fixture().build();
    let case = Case::over(&evidence, FailureClass::CrashLoopBackOff);
    for (when, fits) in [
        ("log: giving up", true),
        ("log: giving in", false),
        ("{log: giving up, exit_codes: [1, 2]}", true),
        ("{log: giving up, exit_codes: [3]}", false),
        ("{log: giving up, classes: [crash-loop-back-off]}", true),
        ("{log: giving up, classes: [oom-killed]}", false),
        ("{log: giving up, kinds: [Deployment]}", true),
        ("{log: giving up, kinds: [Job]}", false),
        ("{image: '^shop/'}", true),
        ("{image: '^bank/'}", false),
        ("{container: '^app$', reasons: [Error]}", true),
        ("{reasons: [CrashLoopBackOff]}", true),
        ("{reasons: [OOMKilled]}", false),
        ("event: {reasons: [FailedMount], message: locked}", true),
        ("event: {reasons: [FailedMount], message: missing}", false),
        ("event: {reasons: [BackOff]}", false),
        ("changed: [/image]", true),
        ("changed: [/env]", false),
    ] {
        let text = format!(
            "rules:\n- {{cause: x-own, confidence: 0.97, summary: s, recommendation: r, when: {}}}",
            if when.starts_with('{') {
                when.to_owned()
            } else {
                format!("{{{when}}}")
            }
        );
        let diagnosis = Rules::with(read(&text).unwrap()).explain(&case);
        assert_eq!(diagnosis.cause == "x-own", fits, "{when}: {diagnosis:?}");
        let kept = ground(&case, diagnosis.clone());
        assert_eq!(kept.citations, diagnosis.citations, "{when}");
    }
}

#[test]
fn a_rollout_is_taken_back_where_that_is_safe_and_the_rule_wants_it() {
    let rule = "rules:\n- {cause: x-own, summary: s, recommendation: r, remedy: roll-back, when: {log: giving up, changed: [/image]}}";
    let rules = Rules::with(read(rule).unwrap());
    for (was_healthy, expected) in [(true, true), (false, false)] {
        let evidence = Fixture::deployment("web", &json!({ "name": "app", "image": "shop/web:2" }))
            .pod(&crash_loop("Error", 1))
            .log(true, &["FATAL giving up"])
            .rollout(
                1,
                2,
                was_healthy,
                &[(
                    "/spec/containers/0/image",
                    "\"shop/web:1\"",
                    "\"shop/web:2\"",
                )],
            )
            .build();
        let case = Case::over(&evidence, FailureClass::CrashLoopBackOff);
        let diagnosis = ground(&case, rules.explain(&case));
        let fix = diagnosis.remedy.and_then(|remedy| remedy.fix);
        assert_eq!(matches!(fix, Some(Fix::RollBack(_))), expected);
    }
}

#[test]
fn an_override_changes_what_our_rules_say() {
    let container =
        json!({ "name": "app", "image": "web:2", "resources": { "limits": { "memory": "64Mi" } } });
    let evidence = Fixture::deployment("web", &container)
        .pod(&crash_loop("OOMKilled", 137))
        .build();
    let case = Case::over(&evidence, FailureClass::OomKilled);
    let explain = |change: &str| {
        let text = format!("overrides:\n- {{cause: memory-limit-too-low, {change}}}");
        Rules::with(read(&text).unwrap()).explain(&case)
    };
    let ours = Rules::default().explain(&case);
    assert!(ours.cause == "memory-limit-too-low" && ours.remedy.is_some());
    assert_ne!(explain("disabled: true").cause, ours.cause);
    assert_eq!(
        explain("recommendation: See the runbook.").recommendation,
        "See the runbook."
    );
    assert_eq!(explain("remedy: withhold").remedy, None);
    assert!((explain("max_confidence: 0.5").confidence - 0.5).abs() < 1e-9);
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_the_reason() {
    let rule = |body: &str| format!("rules:\n- {{summary: s, recommendation: r, {body}}}");
    for (text, expected) in [
        ("rules: 7".to_owned(), "not a file of rules"),
        (rule("cause: x-a, colour: red, when: {log: a}"), "colour"),
        (rule("cause: own, when: {log: a}"), "neither one of ours"),
        (rule("cause: x-A, when: {log: a}"), "neither one of ours"),
        (rule("cause: x-a, when: {log: '('}"), "regular expression"),
        (rule("cause: x-a, when: {}"), "can be cited"),
        (rule("cause: x-a, when: {classes: [oom-killed]}"), "can be cited"),
        (rule("cause: x-a, when: {classes: [oops], log: a}"), "oops"),
        (rule("cause: x-a, when: {changed: [env]}"), "JSON pointer"),
        (rule("cause: x-a, when: {event: {}}"), "neither reasons"),
        (rule("cause: x-a, remedy: roll-back, when: {log: a}"), "needs `changed`"),
        (rule("cause: x-a, confidence: 1.5, when: {log: a}"), "between 0 and 0.97"),
        (rule("cause: x-a, when: {log: a, examples: [b]}"), "does not match its example"),
        (rule("cause: x-a, when: {log: a, counterexamples: [a]}"), "matches its counterexample"),
        (
            "rules:\n- {cause: x-a, summary: '{host}', recommendation: r, when: {log: a}}".to_owned(),
            "{host} stands for nothing",
        ),
        (
            "rules:\n- {cause: x-a, summary: '{', recommendation: r, when: {log: a}}".to_owned(),
            "not closed",
        ),
        (
            "rules:\n- {cause: x-a, summary: a, recommendation: r, when: {log: a}}\n- {cause: x-a, summary: b, recommendation: r, when: {log: b}}".to_owned(),
            "two rules",
        ),
        ("overrides:\n- {cause: evicted}".to_owned(), "changes nothing"),
    ] {
        let error = read(&text).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_an_empty_one_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let problem = |dir: &Path| LocalRules::read(dir).map(|_| ()).unwrap_err().to_string();
    assert!(problem(dir.path()).contains("holds no .yaml"));
    assert!(problem(&dir.path().join("none")).contains("cannot read"));
    fs::write(dir.path().join("b.yaml"), LICENCE).unwrap();
    fs::write(
        dir.path().join("a.yml"),
        "overrides:\n- {cause: evicted, disabled: true}",
    )
    .unwrap();
    fs::write(dir.path().join("notes.txt"), "no rules").unwrap();
    let rules = LocalRules::read(dir.path()).unwrap();
    assert_eq!((rules.rules.len(), rules.overrides.len()), (1, 1));
    fs::write(dir.path().join("c.yaml"), LICENCE).unwrap();
    assert!(problem(dir.path()).contains("c.yaml: x-licence-server-down: there are two rules"));
}

#[test]
fn what_the_documentation_shows_works() {
    let text = include_str!("../../../docs/rules.md");
    let blocks: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        read(block).unwrap();
    }
}
