//! An HTTP server with probes.

use crate::log;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What `serve` does.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// TCP port, on every address of the container.
    pub(crate) port: u16,
    /// `/readyz` answers 503 until so much time has passed.
    pub(crate) startup_delay: Duration,
    /// `/readyz` answers 503 again after so much time.
    pub(crate) unready_after: Option<Duration>,
    /// `/healthz` answers 500 after so much time.
    pub(crate) unhealthy_after: Option<Duration>,
    /// A line that is written again and again.
    pub(crate) heartbeat: Option<(Duration, String)>,
}

/// Serves until the process ends.
pub(crate) fn run(service: &Service) -> Result<(), String> {
    let listener = TcpListener::bind(("0.0.0.0", service.port))
        .map_err(|error| format!("server: cannot listen on port {}: {error}", service.port))?;
    let started = Instant::now();
    log::line(
        "INFO",
        "server",
        &format!("listening on 0.0.0.0:{}", service.port),
    );
    if let Some((every, line)) = service.heartbeat.clone() {
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(every);
                log::line("INFO", "server", &line);
            }
        });
    }
    for stream in listener.incoming().flatten() {
        let service = service.clone();
        std::thread::spawn(move || answer(&stream, &service, started.elapsed()));
    }
    Ok(())
}

/// Answers one request and closes the connection. A client that goes away early is ignored.
fn answer(mut stream: &TcpStream, service: &Service, age: Duration) {
    if stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .is_err()
    {
        return;
    }
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    let rest_is_read = lines.map_while(Result::ok).any(|line| line.is_empty());
    if !rest_is_read {
        return;
    }
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let (status, body) = respond(path, service, age);
    let sent = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    drop(sent);
}

fn respond(path: &str, service: &Service, age: Duration) -> (&'static str, &'static str) {
    let past = |limit: Option<Duration>| limit.is_some_and(|limit| age >= limit);
    match path {
        "/healthz" if past(service.unhealthy_after) => ("500 Internal Server Error", "unhealthy\n"),
        "/readyz" if age < service.startup_delay => ("503 Service Unavailable", "starting\n"),
        "/readyz" if past(service.unready_after) => ("503 Service Unavailable", "not ready\n"),
        "/" | "/healthz" | "/readyz" => ("200 OK", "ok\n"),
        _ => ("404 Not Found", "not found\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Service, respond};
    use std::time::Duration;

    #[test]
    fn probes_follow_the_age_of_the_server() {
        let service = Service {
            port: 0,
            startup_delay: Duration::from_secs(5),
            unready_after: Some(Duration::from_mins(1)),
            unhealthy_after: None,
            heartbeat: None,
        };
        for (path, age, expected) in [
            ("/readyz", 4, "503"),
            ("/readyz", 5, "200"),
            ("/readyz", 60, "503"),
            ("/healthz", 4, "200"),
            ("/healthz", 600, "200"),
            ("/elsewhere", 1, "404"),
        ] {
            let (status, _) = respond(path, &service, Duration::from_secs(age));
            assert!(status.starts_with(expected), "{path} at {age} s: {status}");
        }
    }
}
