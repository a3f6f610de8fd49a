//! The steps of a command line, and how each of them ends.

use crate::options::Options;
use crate::serve::Service;
use crate::{config, log, memory, samples, serve, signals};
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
faultbox STEP [OPTIONS] [--then STEP [OPTIONS]]...

steps:
  serve --port N [--startup-delay S] [--unready-after S] [--unhealthy-after S]
        [--log-every S --log-line L]       answer / /healthz /readyz until the end
  need-env NAME...                         fail if a variable is absent or empty
  need-config FILE [KEY=TYPE...]           fail on a bad value in a file of key=value lines;
                                           FAULTBOX_CONFIG_KEY in the environment replaces one
  check-config --set KEY=VALUE... [KEY=TYPE...]
                                           fail on a bad value in the arguments
                                           (types: int port bool duration url string)
  crash [--after S] [--code N] [--message M]
                                           fail
  eat --mib N [--per-second M]             fill memory and keep it
  log [--line L] [--count N] [--every S] [--secrets] [--stack-trace java|python|go]
      [--long-line BYTES]                  write log lines
  hang                                     do nothing and ignore SIGTERM
  exit [--code N]                          end
  pause                                    wait for SIGTERM (the container of a pod sandbox)
";

/// Exit code for a command line that cannot be read, as `sysexits.h` has it (`EX_USAGE`).
const USAGE: u8 = 64;

/// How a step ends when it does not simply lead to the next one.
enum End {
    /// The process exits with this code, without a word.
    Exit(u8),
    /// The process writes a last line and exits with this code.
    Fatal(u8, String),
    /// The command line is wrong.
    Usage(String),
}

impl From<String> for End {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

/// Runs the steps of a command line, one after the other.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    // What `eat` allocated has to stay while later steps run.
    let mut held = Vec::new();
    let steps = || arguments.split(|argument| argument == "--then");
    let waits =
        |step: &[String]| matches!(step.first().map(String::as_str), Some("hang" | "pause"));
    if !steps().any(waits)
        && let Err(message) = signals::exit_on_terminate()
    {
        return finish(End::Fatal(1, message));
    }
    for step in steps() {
        let Some((name, arguments)) = step.split_first() else {
            return finish(End::Usage("a step is missing".to_owned()));
        };
        if let Err(end) = run_step(name, arguments, &mut held) {
            return finish(end);
        }
    }
    ExitCode::SUCCESS
}

fn finish(end: End) -> ExitCode {
    match end {
        End::Exit(code) => ExitCode::from(code),
        End::Fatal(code, message) => {
            log::raw(&format!("{} FATAL {message}", log::timestamp()));
            ExitCode::from(code)
        }
        End::Usage(message) => {
            log::raw(&format!("faultbox: {message}\n\n{HELP}"));
            ExitCode::from(USAGE)
        }
    }
}

fn run_step(name: &str, arguments: &[String], held: &mut Vec<Vec<u8>>) -> Result<(), End> {
    match name {
        "serve" => run_serve(arguments),
        "need-env" => need_env(arguments),
        "need-config" => need_config(arguments),
        "check-config" => check_config(arguments),
        "crash" => crash(arguments),
        "eat" => {
            let options = Options::parse(arguments, &["mib", "per-second"], &[])?;
            let mib = options
                .get("mib")?
                .ok_or_else(|| "eat: --mib is missing".to_owned())?;
            held.extend(memory::eat(mib, options.get("per-second")?));
            Ok(())
        }
        "log" => write_log(arguments),
        "hang" => loop {
            std::thread::park();
        },
        "exit" => {
            let options = Options::parse(arguments, &["code"], &[])?;
            Err(End::Exit(options.get("code")?.unwrap_or(0)))
        }
        "pause" => signals::pause().map_err(|message| End::Fatal(1, message)),
        "help" => {
            log::raw(HELP);
            Err(End::Exit(0))
        }
        other => Err(End::Usage(format!("unknown step {other:?}"))),
    }
}

fn run_serve(arguments: &[String]) -> Result<(), End> {
    let flags = [
        "port",
        "startup-delay",
        "unready-after",
        "unhealthy-after",
        "log-every",
        "log-line",
    ];
    let options = Options::parse(arguments, &flags, &[])?;
    let line = options
        .get("log-line")?
        .unwrap_or_else(|| "served 12 requests".to_owned());
    let service = Service {
        port: options.get("port")?.unwrap_or(8080),
        startup_delay: seconds(&options, "startup-delay")?.unwrap_or_default(),
        unready_after: seconds(&options, "unready-after")?,
        unhealthy_after: seconds(&options, "unhealthy-after")?,
        heartbeat: seconds(&options, "log-every")?.map(|every| (every, line)),
    };
    serve::run(&service).map_err(|message| End::Fatal(1, message))
}

fn need_env(names: &[String]) -> Result<(), End> {
    for name in names {
        if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
            let message = format!("config: environment variable {name} is required but not set");
            return Err(End::Fatal(1, message));
        }
        log::line("INFO", "config", &format!("{name} is set"));
    }
    Ok(())
}

fn need_config(arguments: &[String]) -> Result<(), End> {
    let Some((file, words)) = arguments.split_first() else {
        return Err(End::Usage("need-config: FILE is missing".to_owned()));
    };
    let schema = config::schema(words)?;
    log::line("INFO", "config", &format!("reading {file}"));
    let fatal = |message| End::Fatal(1, message);
    let text = std::fs::read_to_string(file)
        .map_err(|error| fatal(format!("config: cannot read {file}: {error}")))?;
    let mut values = config::parse(&text).map_err(fatal)?;
    config::overlay_environment(&mut values);
    config::check(&values, &schema, true).map_err(fatal)
}

fn check_config(arguments: &[String]) -> Result<(), End> {
    let options = Options::parse(arguments, &["set"], &[])?;
    let schema = config::schema(&options.rest)?;
    let lines: Vec<&str> = options.all("set").collect();
    let fatal = |message| End::Fatal(1, message);
    let mut values = config::parse(&lines.join("\n")).map_err(fatal)?;
    config::overlay_environment(&mut values);
    log::line(
        "INFO",
        "config",
        &format!("{} settings given", values.len()),
    );
    config::check(&values, &schema, false).map_err(fatal)
}

fn crash(arguments: &[String]) -> Result<(), End> {
    let options = Options::parse(arguments, &["after", "code", "message"], &[])?;
    std::thread::sleep(seconds(&options, "after")?.unwrap_or_default());
    let message = options
        .get("message")?
        .unwrap_or_else(|| "main: unrecoverable error, giving up".to_owned());
    Err(End::Fatal(options.get("code")?.unwrap_or(1), message))
}

fn write_log(arguments: &[String]) -> Result<(), End> {
    let flags = ["line", "count", "every", "stack-trace", "long-line"];
    let options = Options::parse(arguments, &flags, &["secrets"])?;
    let mut lines = Vec::new();
    lines.extend(options.all("line").map(str::to_owned));
    if options.has("secrets") {
        lines.extend(samples::secrets());
    }
    if let Some(bytes) = options.get("long-line")? {
        lines.push(samples::long_line(bytes));
    }
    let trace = options.get::<String>("stack-trace")?;
    let trace = trace
        .map(|language| samples::stack_trace(&language))
        .transpose()?;
    let every = seconds(&options, "every")?.unwrap_or_default();
    for _ in 0..options.get("count")?.unwrap_or(1_u64) {
        for line in &lines {
            log::line("INFO", "app", line);
        }
        if let Some(trace) = trace {
            log::line("ERROR", "app", "request failed");
            log::raw(trace);
        }
        std::thread::sleep(every);
    }
    Ok(())
}

fn seconds(options: &Options, name: &str) -> Result<Option<Duration>, String> {
    let Some(value) = options.get::<f64>(name)? else {
        return Ok(None);
    };
    Duration::try_from_secs_f64(value)
        .map(Some)
        .map_err(|_| format!("--{name}: expected a number of seconds, found {value}"))
}
