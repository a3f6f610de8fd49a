//! Log text that is hard on those who read it: secrets, stack traces, very long lines.

/// Lines that hold made-up secrets in the shapes that real services leak. They are put together
/// here, so that no scanner takes the source for a leak.
pub(crate) fn secrets() -> Vec<String> {
    let body = "Zx9Qw3Er7Ty5Ui1Op2As4Df6Gh8Jk0LmNb";
    let upper: String = body.to_uppercase().chars().take(16).collect();
    vec![
        format!(
            "connecting to postgres://orders:{}@db.orders.svc:5432/orders",
            &body[..14]
        ),
        format!("aws_access_key_id={}{upper}", "AKIA"),
        format!("aws_secret_access_key={body}{}", &body[..6]),
        format!("GET /v1/charges Authorization: Bearer {}", jwt(body)),
        format!("using token {}{body}{}", "ghp_", &body[..2]),
        format!(
            "slack client {}{}-{}-{}",
            "xoxb-",
            "123456789012",
            "123456789012",
            &body[..24]
        ),
        format!("password={} user=orders", &body[..12]),
        format!(
            "{{\"api_key\":\"{}{}\",\"region\":\"eu-west-1\"}}",
            "sk-",
            &body[..32]
        ),
    ]
}

fn jwt(body: &str) -> String {
    format!(
        "{}.{}.{body}",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJzdWIiOiJvcmRlcnMifQ"
    )
}

/// A stack trace as a runtime prints it.
pub(crate) fn stack_trace(language: &str) -> Result<&'static str, String> {
    match language {
        "java" => Ok(JAVA),
        "python" => Ok(PYTHON),
        "go" => Ok(GO),
        other => Err(format!(
            "--stack-trace: expected java, python or go, found {other:?}"
        )),
    }
}

/// One line of exactly `bytes` bytes.
pub(crate) fn long_line(bytes: usize) -> String {
    "payload=0123456789abcdef "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

const JAVA: &str = "\
Exception in thread \"main\" java.lang.IllegalStateException: could not load order 4711
\tat com.example.orders.OrderStore.load(OrderStore.java:87)
\tat com.example.orders.OrderService.find(OrderService.java:41)
\tat com.example.orders.Main.main(Main.java:19)
Caused by: java.sql.SQLException: connection refused: db.orders.svc:5432
\tat org.postgresql.core.v3.ConnectionFactoryImpl.openConnectionImpl(ConnectionFactoryImpl.java:331)
\t... 3 more";

const PYTHON: &str = "\
Traceback (most recent call last):
  File \"/app/main.py\", line 31, in <module>
    main()
  File \"/app/main.py\", line 24, in main
    store = OrderStore(os.environ[\"DATABASE_URL\"])
  File \"/usr/lib/python3.11/os.py\", line 678, in __getitem__
    raise KeyError(key) from None
KeyError: 'DATABASE_URL'";

const GO: &str = "\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x6b1f2a]

goroutine 1 [running]:
main.(*OrderStore).Load(0x0, 0x1267)
\t/src/orders/store.go:52 +0x2a
main.main()
\t/src/orders/main.go:18 +0x5c
exit status 2";

#[cfg(test)]
mod tests {
    use super::{long_line, secrets, stack_trace};

    #[test]
    fn long_lines_have_the_length_asked_for() {
        assert_eq!(long_line(70_001).len(), 70_001);
    }

    #[test]
    fn samples_are_single_lines_and_known_languages() {
        assert!(secrets().iter().all(|line| !line.contains('\n')));
        assert!(
            ["java", "python", "go"]
                .iter()
                .all(|language| stack_trace(language).is_ok())
        );
        assert!(stack_trace("cobol").is_err());
    }
}
