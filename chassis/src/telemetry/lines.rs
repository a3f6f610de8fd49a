//! Log lines for programs: one JSON object each, written straight into the line.
//!
//! `tracing-subscriber` has such lines too; it parses the fields of the span anew for every one of them, which was a
//! tenth of what the handling of a small message cost, and it shows what only traces need.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Fields as members of an object, without its braces.
#[derive(Debug)]
pub(super) struct Members;

impl<'writer> FormatFields<'writer> for Members {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut visitor = MemberVisitor::new(&mut writer, true);
        fields.record(&mut visitor);
        visitor.result
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let is_first = current.fields.is_empty();
        let mut writer = current.as_writer();
        let mut visitor = MemberVisitor::new(&mut writer, is_first);
        fields.record(&mut visitor);
        visitor.result
    }
}

/// When, how bad, what, where in the program, and the fields of the span that it happened in.
#[derive(Debug)]
pub(super) struct Lines;

impl<S> FormatEvent<S, Members> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Members>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // What comes from the `log` crate says in fields where it is from.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", metadata.level())?;
        let mut visitor = MemberVisitor::new(&mut writer, false);
        event.record(&mut visitor);
        visitor.result?;
        write!(writer, ",\"target\":\"{}\"", metadata.target())?;
        if let Some(span) = event
            .parent()
            .and_then(|id| context.span(id))
            .or_else(|| context.lookup_current())
        {
            writer.write_str(",\"span\":{")?;
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<Members>>();
            if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
                write!(writer, "{fields},")?;
            }
            write!(writer, "\"name\":\"{}\"}}", span.name())?;
        }
        writer.write_str("}\n")
    }
}

struct MemberVisitor<'a, 'writer> {
    writer: &'a mut Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl<'a, 'writer> MemberVisitor<'a, 'writer> {
    fn new(writer: &'a mut Writer<'writer>, is_first: bool) -> Self {
        Self {
            writer,
            is_first,
            result: Ok(()),
        }
    }

    /// Writes a member, unless it is about the span of a trace or about where a line of the `log` crate is from.
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'writer>) -> fmt::Result) {
        let name = field.name();
        if self.result.is_err() || name.starts_with("otel.") || name.starts_with("log.") {
            return;
        }
        let separator = if self.is_first { "" } else { "," };
        self.is_first = false;
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.result =
            write!(self.writer, "{separator}\"{name}\":").and_then(|()| value(self.writer));
    }

    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_fmt(text)?;
            writer.write_char('"')
        });
    }
}

impl Visit for MemberVisitor<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |writer| {
            if value.is_finite() {
                write!(writer, "{value}")
            } else {
                writer.write_str("null")
            }
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// Writes text as the inside of a JSON string.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut written = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !matches!(byte, b'"' | b'\\' | 0..=0x1f) {
                continue;
            }
            self.0.write_str(&text[written..at])?;
            written = at + 1;
            match byte {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
        }
        self.0.write_str(&text[written..])
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::proptest;
    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The lines that are written meanwhile, without their times.
    fn lines(logging: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(Members)
            .event_format(Lines)
            .with_writer(written.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), logging);
        let bytes = written.0.lock().unwrap().clone();
        let parse = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            let _: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
            line
        };
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(parse)
            .collect()
    }

    #[test]
    fn a_line_has_the_event_and_its_span() {
        let found = lines(|| {
            let late = tracing::field::Empty;
            let span = tracing::info_span!(
                "process",
                otel.name = "process X",
                consumer = "llm",
                delivery = 2,
                late
            );
            let _entered = span.enter();
            span.record("late", true);
            tracing::info!(stored = ?Some(7), share = 0.5, none = f64::NAN, below = -1, "passed on");
        });
        let target = module_path!();
        assert_eq!(
            found,
            [json!({
                "level": "INFO", "message": "passed on", "stored": "Some(7)", "share": 0.5, "none": null, "below": -1,
                "target": target,
                "span": {"name": "process", "consumer": "llm", "delivery": 2, "late": true},
            })]
        );
    }

    #[test]
    fn a_line_may_be_in_no_span_and_a_span_without_fields() {
        let found = lines(|| {
            tracing::warn!(error = %"a \"b\"\n", "not yet");
            let _entered = tracing::info_span!("begin").entered();
            tracing::error!("never");
        });
        let target = module_path!();
        assert_eq!(
            found,
            [
                json!({"level": "WARN", "message": "not yet", "error": "a \"b\"\n", "target": target}),
                json!({"level": "ERROR", "message": "never", "target": target, "span": {"name": "begin"}}),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_string_again(text: String) {
            let mut line = String::from("\"");
            Escaped(&mut line).write_str(&text).unwrap();
            line.push('"');
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
