//! Trains the model of injection detection and says what it would find in texts that it has not seen.
//!
//!     cargo run --release -p bonesetter-redact --example train_injection -- DATA [LOGS...] > report
//!
//! DATA is a file of lines `{"text", "label", "kind", "context", "source"}`, LOGS are files of
//! ordinary log lines. `redact/injection.model` is written. The same input gives the same bytes.

#![expect(clippy::print_stdout, reason = "the report is the output")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use bonesetter_redact::injection::{Detector, FEATURES, Model, features, fold};
use serde::Deserialize;

const FOLDS: usize = 5;
const EPOCHS: usize = 12;
const RATE: f32 = 0.5;
const DECAY: f32 = 1e-4;
/// Share of harmless log lines that the model alone may flag.
const FALSE_ALARMS: f64 = 0.004;
/// Of each file with logs, every so many lines.
const LOG_STRIDE: usize = 20;
/// Of one line of templates.
const MOST_EXPANSIONS: usize = 24;

#[derive(Debug, Clone, Deserialize)]
struct Labelled {
    text: String,
    label: u8,
    kind: String,
    context: String,
    source: String,
}

struct Example {
    features: Vec<(usize, f32)>,
    is_hostile: bool,
    fold: usize,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments
        .next()
        .context("the first argument is the file with labelled texts")?;
    let mut texts = Vec::new();
    for line in fs::read_to_string(&data)?.lines() {
        texts.push(serde_json::from_str::<Labelled>(line)?);
    }
    for path in arguments {
        let content = fs::read(&path)?;
        let content = String::from_utf8_lossy(&content);
        let lines = content.lines().step_by(LOG_STRIDE);
        // Where the file lies must not change the model.
        let name = Path::new(&path).file_name().unwrap_or_default();
        let source = format!("log:{}", name.to_string_lossy());
        texts.extend(lines.map(|line| own(line, 0, "log", &source)));
    }
    let training = Path::new(env!("CARGO_MANIFEST_DIR")).join("training");
    for (name, label) in [("hostile.txt", 1), ("harmless.txt", 0)] {
        for line in fs::read_to_string(training.join(name))?.lines() {
            if line.starts_with('#') {
                continue;
            }
            let kind = if label == 1 { "template" } else { "log" };
            let expanded = expand(line).into_iter().take(MOST_EXPANSIONS);
            texts.extend(expanded.map(|text| own(&text, label, kind, &format!("own:{line}"))));
        }
    }
    let examples = examples(&texts);
    let scores = cross_validated(&texts, &examples);
    let threshold = threshold(&texts, &scores);
    report(&texts, &scores, threshold)?;
    let all: Vec<&Example> = examples.iter().collect();
    let (weights, bias) = train(&all);
    let model = Model::from_weights(&weights, bias, threshold);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("injection.model");
    fs::write(&path, model.to_bytes())?;
    Ok(())
}

fn own(text: &str, label: u8, kind: &str, source: &str) -> Labelled {
    Labelled {
        text: text.to_owned(),
        label,
        kind: kind.to_owned(),
        context: "native".to_owned(),
        source: source.to_owned(),
    }
}

/// Every choice of `{a|b}`, thinned evenly to the number that is used.
fn expand(template: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((choices, tail)) = after.split_once('}') else {
            break;
        };
        texts = texts
            .iter()
            .flat_map(|text| {
                choices
                    .split('|')
                    .map(move |choice| format!("{text}{before}{choice}"))
            })
            .collect();
        rest = tail;
    }
    let stride = texts.len().div_ceil(MOST_EXPANSIONS) | 1;
    texts
        .iter()
        .step_by(stride)
        .map(|text| format!("{text}{rest}"))
        .collect()
}

/// Texts of one source are never in training and test at once.
fn examples(texts: &[Labelled]) -> Vec<Example> {
    let mut examples = Vec::new();
    for text in texts {
        let source = text.source.trim_end_matches("+ctx");
        let source = if source.starts_with("deepset") {
            let letters = text.text.chars().filter(|c| c.is_alphabetic()).count();
            format!("{source}/{}", letters % 7)
        } else {
            source.to_owned()
        };
        let sum = source.bytes().fold(17_usize, |sum, b| {
            sum.wrapping_mul(31).wrapping_add(b.into())
        });
        let mut push = |text: &str, is_hostile| {
            if let Some(features) = features(&fold(text)) {
                examples.push(Example {
                    features,
                    is_hostile,
                    fold: sum % FOLDS,
                });
            }
        };
        push(&text.text, text.label == 1);
        if text.label == 1 && text.context == "native" && text.kind != "markup" {
            for carried in carried(&text.text, sum) {
                push(&carried, true);
            }
        }
        if text.label == 0 && text.kind == "document" {
            for carried in carried(&text.text, sum) {
                push(&carried, false);
            }
        }
    }
    examples
}

/// The text where clusters would show it.
fn carried(text: &str, seed: usize) -> Vec<String> {
    let line = text.replace('\n', " ");
    let json = serde_json::Value::from(text).to_string();
    let all = [
        format!("{{\"metadata\": {{\"annotations\": {{\"note\": {json}}}}}}}"),
        format!("env:\n- name: MOTD\n  value: {json}"),
        format!("{{\"kind\": \"Event\", \"reason\": \"BackOff\", \"message\": {json}}}"),
        format!("{{\"level\": \"error\", \"msg\": \"bad request\", \"body\": {json}}}"),
        format!("2026-02-03T01:02:03.004Z WARN request rejected: {line}"),
        format!(
            "10.2.3.4 - - [04/Mar/2026:10:11:12 +0000] \"GET /x HTTP/1.1\" 404 12 \"-\" \"{line}\""
        ),
        format!("I0104 11:01:02.123456 1 handler.go:88] \"unexpected input\" value={json}"),
    ];
    let count = all.len();
    (0..2)
        .map(|n| all[(seed + 3 * n) % count].clone())
        .collect()
}

/// The score of every text by a model that has not seen its source; the lowest for short texts.
fn cross_validated(texts: &[Labelled], examples: &[Example]) -> Vec<f32> {
    let mut scores = vec![f32::NEG_INFINITY; texts.len()];
    for fold_number in 0..FOLDS {
        let seen: Vec<&Example> = examples.iter().filter(|e| e.fold != fold_number).collect();
        let (weights, bias) = train(&seen);
        let model = Model::from_weights(&weights, bias, 0.0);
        for (text, score) in texts.iter().zip(&mut scores) {
            let is_unseen = self::examples(std::slice::from_ref(text))
                .first()
                .is_some_and(|example| example.fold == fold_number);
            if is_unseen {
                *score = model.score(&fold(&text.text)).unwrap_or(f32::NEG_INFINITY);
            }
        }
    }
    scores
}

/// Logistic regression by stochastic gradient descent with per-weight rates (Adagrad).
fn train(examples: &[&Example]) -> (Vec<f32>, f32) {
    let mut weights = vec![0.0_f32; FEATURES];
    let mut squares = vec![1e-8_f32; FEATURES];
    let (mut bias, mut bias_square) = (0.0_f32, 1e-8_f32);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..EPOCHS {
        for at in (1..order.len()).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            order.swap(
                at,
                usize::try_from(state % (at as u64 + 1)).unwrap_or_default(),
            );
        }
        for &at in &order {
            let example = examples[at];
            let sum: f32 = example.features.iter().map(|&(i, v)| weights[i] * v).sum();
            let wanted = f32::from(u8::from(example.is_hostile));
            let error = 1.0 / (1.0 + (-(sum + bias)).exp()) - wanted;
            for &(index, value) in &example.features {
                let gradient = error.mul_add(value, DECAY * weights[index]);
                squares[index] += gradient * gradient;
                weights[index] -= RATE * gradient / squares[index].sqrt();
            }
            bias_square += error * error;
            bias -= 0.1 * error / bias_square.sqrt();
        }
    }
    (weights, bias)
}

/// The lowest score that keeps false alarms on logs, and on questions with trigger words, in bounds.
fn threshold(texts: &[Labelled], scores: &[f32]) -> f32 {
    let bound = |is_counted: &dyn Fn(&Labelled) -> bool, share: f64| {
        let mut harmless: Vec<f32> = texts
            .iter()
            .zip(scores)
            .filter(|(text, _)| text.label == 0 && is_counted(text))
            .map(|(_, score)| *score)
            .collect();
        harmless.sort_by(|a, b| b.total_cmp(a));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among thousands"
        )]
        let rank = (harmless.len() as f64 * share) as usize;
        harmless.get(rank).copied().unwrap_or(f32::NEG_INFINITY)
    };
    let logs = bound(&|text| text.kind.starts_with("log"), FALSE_ALARMS);
    logs.max(bound(&|text| text.kind == "trigger-word", 0.01))
}

fn report(texts: &[Labelled], scores: &[f32], threshold: f32) -> anyhow::Result<()> {
    let detector = Detector::builtin()?;
    let mut rows: BTreeMap<String, (usize, usize, usize, usize)> = BTreeMap::new();
    for (text, score) in texts.iter().zip(scores) {
        let by_model = *score > threshold;
        let by_rule = detector
            .inspect(&text.text)
            .iter()
            .any(|flag| flag.rule != "model");
        let label = if text.label == 1 {
            "hostile"
        } else {
            "harmless"
        };
        let place = if text.context == "native" {
            "native"
        } else {
            "embedded"
        };
        let origin = if text.source.starts_with("own:") || text.source.starts_with("log:") {
            "own "
        } else {
            ""
        };
        for name in [
            format!("{origin}{label} all"),
            format!("{origin}{label} {}", text.kind),
            format!("{origin}{label} {place}"),
        ] {
            let row = rows.entry(name).or_default();
            row.0 += 1;
            row.1 += usize::from(by_rule);
            row.2 += usize::from(by_model);
            row.3 += usize::from(by_rule || by_model);
        }
        if text.label == 0 && (by_rule || by_model) {
            let start: String = text.text.chars().take(120).collect();
            println!(
                "false alarm ({}): {start:?}",
                if by_rule { "rule" } else { "model" }
            );
        }
    }
    println!(
        "{:<32} {:>6} {:>7} {:>7} {:>7}",
        "texts", "count", "rules", "model", "either"
    );
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let share_of = |part: usize, count: usize| part as f64 / count as f64;
    let either = |name: &str| {
        rows.get(name)
            .map_or(f64::NAN, |row| share_of(row.3, row.0))
    };
    let result = format!(
        "result: train-injection hostile={:.3} indirect={:.3} embedded={:.3} log_false_alarms={:.4} trigger_word_false_alarms={:.4}",
        either("hostile all"),
        either("hostile indirect"),
        either("hostile embedded"),
        either("harmless embedded"),
        either("harmless trigger-word"),
    );
    for (name, (count, rules, model, either)) in rows {
        let share = |part: usize| share_of(part, count);
        println!(
            "{name:<32} {count:>6} {:>7.3} {:>7.3} {:>7.3}",
            share(rules),
            share(model),
            share(either)
        );
    }
    println!("{result}");
    Ok(())
}
