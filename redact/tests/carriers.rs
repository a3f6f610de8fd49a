//! One secret in every syntax that carries secrets: it must be gone, and what is around it must stay.

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

use bonesetter_redact::{Options, Redactor, Rules};

const CANARY: &str = "Zq7xCanary9wK2";

/// Texts with `@` for the secret, and a word that must stay.
const TEXTS: &[(&str, &str)] = &[
    ("config loaded password=@ user=app", "user=app"),
    (
        "level=info msg=\"x\" db.password=\"@\" user=app",
        "user=app",
    ),
    ("password: @\nuser: app\n", "user: app"),
    ("password=`@\nuser=app", "\nuser=app"),
    (
        "{\"level\":\"info\",\"password\":\"@\",\"user\":\"app\"}",
        "\"user\":\"app\"",
    ),
    (
        "msg {\"outer\":\"{\\\"password\\\":\\\"@\\\",\\\"user\\\":\\\"app\\\"}\"}",
        "app",
    ),
    ("{'password': '@', 'user': 'app'}", "'user': 'app'"),
    ("{:password=>\"@\", :user=>\"app\"}", "app"),
    ("Config { password: \"@\", user: \"app\" }", "user: \"app\""),
    (
        "Config { password: Some(\"@\"), user: \"app\" }",
        "user: \"app\"",
    ),
    ("&{User:app Password:@ Port:1}", "User:app"),
    ("main.Config{User:\"app\", Password:\"@\"}", "User:\"app\""),
    ("Error [password=@, user=app]", "user=app"),
    ("Config(user=app, password=@)", "user=app"),
    (
        "postgres://app:@@db.shop.svc:5432/orders: timeout",
        "db.shop.svc:5432/orders",
    ),
    ("redis://:@@cache:6379/0", "cache:6379/0"),
    ("app:@@tcp(db:3306)/orders", "tcp(db:3306)/orders"),
    (
        "jdbc:postgresql://db/x?user=app&password=@&ssl=true",
        "jdbc:postgresql://db/x?user=app",
    ),
    (
        "jdbc:sqlserver://db:1433;user=app;password=@;encrypt=true",
        "encrypt=true",
    ),
    (
        "Server=db;User Id=app;Password=@;Encrypt=true",
        "Encrypt=true",
    ),
    ("host=db user=app password=@ dbname=x", "dbname=x"),
    ("host=db user=app password='@' dbname=x", "dbname=x"),
    (
        "DefaultEndpointsProtocol=https;AccountName=app;AccountKey=@;EndpointSuffix=x.net",
        "AccountName=app",
    ),
    ("GET /v1/x?token=@&page=2 HTTP/1.1", "page=2 HTTP/1.1"),
    ("GET /v1/x?page=2&api_key=@ HTTP/1.1", "page=2"),
    ("Authorization: Bearer @\nHost: app", "Host: app"),
    ("Authorization: Basic @\nHost: app", "Host: app"),
    ("authorization=[Bearer @], host=[app]", "host=[app]"),
    (
        "metadata: map[authorization:[Bearer @] user:[app]]",
        "user:[app]",
    ),
    ("X-Api-Key: @\nHost: app", "Host: app"),
    ("Cookie: session=@; theme=x\nHost: app", "Host: app"),
    (
        "Set-Cookie: session=@; Path=/; HttpOnly\nHost: app",
        "Path=/; HttpOnly",
    ),
    ("curl -H 'X-Auth-Token: @' http://app/", "http://app/"),
    ("curl -u admin:@ http://app/", "http://app/"),
    ("server --password @ --verbose", "--verbose"),
    ("server --password=@ --verbose", "--verbose"),
    ("server --set db.password=@,db.user=app", "db.user=app"),
    (
        "[\"server\",\"--api-token\",\"@\",\"--verbose\"]",
        "--verbose",
    ),
    ("[server --api-token @ --verbose]", "--verbose"),
    ("mysql -u app -p@ orders", "orders"),
    ("redis-cli -a @ ping", "ping"),
    ("sshpass -p @ ssh app", "ssh app"),
    ("PGPASSWORD=@ psql -U app", "psql -U app"),
    ("export DB_PASSWORD='@'\nexport USER=app", "USER=app"),
    ("ENV DB_PASSWORD @\nENV USER app", "USER app"),
    (
        "type=EXECVE argc=3 a0=\"server\" a1=\"--password\" a2=\"@\"",
        "a0=\"server\"",
    ),
    ("<password>@</password><user>app</user>", "<user>app</user>"),
    (
        "<property name=\"db.password\" value=\"@\"/><x y=\"app\"/>",
        "app",
    ),
    ("<add key=\"ApiSecret\" value=\"@\" />", "<add key="),
    ("<db user=\"app\" password=\"@\"/>", "user=\"app\""),
    ("CREATE USER app IDENTIFIED BY '@'", "CREATE USER app"),
    ("ALTER ROLE app WITH PASSWORD '@'", "ALTER ROLE app"),
    ("  + password = \"@\"\n  + user = \"app\"", "app"),
    (
        "  ~ db_password = \"@\" -> (known after apply)",
        "known after apply",
    ),
    (
        "[{\"name\":\"DB_PASSWORD\",\"value\":\"@\"},{\"name\":\"USER\",\"value\":\"app\"}]",
        "app",
    ),
    (
        "- name: DB_PASSWORD\n  value: @\n- name: USER\n  value: app\n",
        "value: app",
    ),
    (
        "env:[{Name:DB_PASSWORD Value:@ ValueFrom:nil} {Name:USER Value:app}]",
        "Value:app",
    ),
    ("      DB_PASSWORD:  @\n      USER:  app\n", "app"),
    (
        "kind: Secret\ndata:\n  x: @\nmetadata:\n  name: app\n",
        "kind: Secret",
    ),
    (
        "stringData:\n  config: |\n    @\nother: app\n",
        "other: app",
    ),
    ("machine github.com login app password @\n", "login app"),
    (
        "machine github.com\n  login app\n  password @\n",
        "login app",
    ),
    ("//registry.npmjs.org/:_authToken=@\nuser=app", "user=app"),
    ("db:5432:orders:app:@", "db:5432:orders:app"),
    (
        "\u{1b}[32mpassword\u{1b}[0m=\u{1b}[31m@\u{1b}[0m user=app",
        "user=app",
    ),
    ("pass\u{200b}word=@ user=app", "user=app"),
    ("body=user%3Dapp%26password%3D@%26x%3D1", "user%3Dapp"),
    (
        "sasl.jaas.config=X required username=\"app\" password=\"@\";",
        "username=\"app\"",
    ),
    ("password => '@', user => 'app'", "user => 'app'"),
    (
        "config[\"password\"] = \"@\"; user = \"app\"",
        "user = \"app\"",
    ),
    ("os.environ['API_TOKEN'] = '@' # app", "# app"),
    ("System.setProperty(\"api.token\", \"@\"); // app", "// app"),
    ("var apiToken string = \"@\" // app", "// app"),
    ("apiToken := \"@\" // app", "// app"),
    ("if token != \"@\" { app }", "{ app }"),
    ("using token @ failed for app", "failed for app"),
    ("password\n  @", "password"),
    ("The secret is '@' for app", "for app"),
    ("user,password\napp,@\n", "user,password"),
    ("\"user\",\"api_key\"\n\"app\",\"@\"\n", "api_key"),
    ("API Token:\n@\nHost: app", "Host: app"),
    (
        "2025-01-01T00:00:00.1Z stdout P password=Zq7xCan\n2025-01-01T00:00:00.2Z stdout F ary9wK2 user=app\n",
        "user=app",
    ),
    (
        "{\"auths\":{\"r.io\":{\"username\":\"app\",\"password\":\"@\"}}}",
        "r.io",
    ),
    (
        "http_requests_total{path=\"/cb?secret_key=@\",code=\"401\"} 3",
        "code=\"401\"",
    ),
    (
        "Liveness probe failed: command \"curl -H Authorization:Bearer @ http://app/\" exited",
        "http://app/",
    ),
    (
        "git clone https://app:@@github.com/x/y.git",
        "github.com/x/y.git",
    ),
    (
        "git clone https://@@github.com/x/y.git",
        "github.com/x/y.git",
    ),
    ("ftp://app:@@files/x", "files/x"),
    ("amqp://app:@@mq:5672/%2f", "mq:5672"),
    (
        "mongodb+srv://app:@@c0.x.mongodb.net/db?w=1",
        "c0.x.mongodb.net/db?w=1",
    ),
    (
        "spring.datasource.password=@\nspring.datasource.username=app",
        "username=app",
    ),
    (
        "spring: {datasource: {password: @, username: app}}",
        "username: app",
    ),
    ("password = @ ; user = app", "user = app"),
    ("requirepass @\nport 6379", "port 6379"),
    ("id;login;password\n1;app;@\n", "1;app;"),
    ("id\tpassword\tlogin\n1\t@\tapp\n", "\tapp"),
    (
        "<entry key=\"db.password\">@</entry><entry key=\"user\">app</entry>",
        "app</entry>",
    ),
    (
        "INSERT INTO users (login, password) VALUES ('app', '@')",
        "VALUES ('app'",
    ),
    (
        "CREATE LOGIN app WITH PASSWORD = N'@', CHECK_POLICY = OFF",
        "CHECK_POLICY = OFF",
    ),
    (
        "Credentials { password: Secret(\"@\"), user: \"app\" }",
        "user: \"app\"",
    ),
    (
        "form-data; name=\"password\"\r\n\r\n@\r\n--app",
        "name=\"password\"",
    ),
    (
        "HikariConfig - password.........................@",
        "HikariConfig",
    ),
    (
        "curl -s -u app:@ https://h.example.com/",
        "https://h.example.com/",
    ),
    (
        "acl {\n  tokens {\n    agent = \"@\"\n  }\n}\nuser = \"app\"",
        "user = \"app\"",
    ),
    ("password: <%= \"@\" %>\nuser: app", "user: app"),
    (
        "password: {{ .Values.pw | default \"@\" }}\nuser: app",
        ".Values.pw",
    ),
    (
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"app\" user_ada=\"@\";",
        "user_ada=",
    ),
    (
        "Key         Value\n---         -----\ndb_password    @\nuser           app\n",
        "app",
    ),
    ("auth_type PASS\n  auth_pass @\n  app\n", "app"),
    ("@,app,1001,\"system:masters\"\n", "app,1001"),
    ("db: {password: @, user: app}", "user: app"),
    ("\"password\": {\"value\": \"@\", \"user\": \"app\"}", "app"),
    (
        "{\"DbPassword\": {\"Type\": \"String\", \"Default\": \"@\"}}",
        "\"Type\": \"String\"",
    ),
    (
        "  + db {\n      + password             = \"@\"\n      + user = \"app\"\n",
        "user = \"app\"",
    ),
    ("the password for app is @", "the password for app is"),
    (
        "url=postgres://app:${DB_PASSWORD:-@}@db.shop:5432/x",
        "db.shop:5432/x",
    ),
    (
        "API_TOKEN=${API_TOKEN:-@} USER=app",
        "API_TOKEN=${API_TOKEN:-",
    ),
    ("changed the password of app to @.", "of app to"),
    ("location: ada:@@db1:5432 app", "app"),
    (
        "{\"detail\":[{\"loc\":[\"body\",\"password\"],\"msg\":\"too short\",\"input\":\"@\"}]}",
        "too short",
    ),
    (
        "{\"args\":[\"etcdctl\",\"--user\",\"root:@\",\"endpoint\"]}",
        "\"endpoint\"",
    ),
    ("pass\\u0077ord=@ user=app", "user=app"),
    ("p&#97;ssword=@ user=app", "user=app"),
];

fn redact(text: &str) -> String {
    let redactor = Redactor::new(Rules::builtin().unwrap()).unwrap();
    redactor.session(b"a test").redact_text(text).text
}

#[test]
fn no_carrier_lets_its_secret_through() {
    let redactor = Redactor::new(Rules::builtin().unwrap()).unwrap();
    let mut problems = Vec::new();
    for (template, kept) in TEXTS {
        let text = template
            .replacen("@@", "\u{0}@", 1)
            .replacen('@', "\u{1}", 1);
        let text = match text.find('\u{0}') {
            Some(_) => template.replacen('@', CANARY, 1),
            None => text.replace('\u{1}', CANARY),
        };
        let output = redactor.session(b"a test").redact_text(&text).text;
        if output.contains(CANARY) || output.contains("Zq7xCan") || output.contains("ary9wK2") {
            problems.push(format!("leaks: {text:?} -> {output:?}"));
        } else if !output.contains(kept) {
            problems.push(format!("loses {kept:?}: {text:?} -> {output:?}"));
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {}\n{}",
        problems.len(),
        TEXTS.len(),
        problems.join("\n")
    );
}

#[test]
fn ordinary_lines_stay_as_they_are() {
    for text in [
        "Back-off restarting failed container app in pod orders-5c9d8f7b6-x2x4z_shop(05cb8b41-c444-40d8-b595-c9a2b88534d9)",
        "Pulled image \"registry.example.com/shop/orders-api@sha256:45e23ade03b67e07596791aa66afdca8ef7decbdca45ec7c4d57bd71e1eda077\"",
        "panic: runtime error: invalid memory address [signal SIGSEGV: segmentation violation code=0x1 addr=0x0]",
        "LLM usage: prompt_tokens=1188 completion_tokens=773 max_tokens=4096 total_tokens=9464",
        "Error: required env DATABASE_URL is missing",
        "secret key \"password\" is missing in object: shop/orders",
        "level=info trace_id=0a8cacdf01c27263b5158fe7be6d33aa span_id=70c5d3ebd1dd12f4 msg=\"done\" status=200",
        "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available",
        "containerd://1476e6c7c3ba088e819b79874f2272f5aeb49fe5501a12aaad03a5425e3a77b0",
        "batch.kubernetes.io/controller-uid=05cb8b41-c444-40d8-b595-c9a2b88534d9",
        "password authentication failed for user \"app\"",
        "token expired, keyspace=default primary_key=17",
        "GIT_SHA=5fe409fee10ec58c78470c1f21862430bd671d25",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn addresses_become_equal_placeholders_and_ports_stay() {
    let output = redact(
        "Liveness probe failed: Get \"http://10.244.1.7:9999/healthz\": dial tcp 10.244.1.7:9999: connect: connection refused",
    );
    let placeholders: Vec<&str> = output
        .match_indices("<ip:")
        .map(|(at, _)| &output[at..at + 11])
        .collect();
    assert_eq!(placeholders.len(), 2, "{output}");
    assert_eq!(placeholders[0], placeholders[1]);
    assert_eq!(output.matches(":9999").count(), 2, "{output}");
    let rules = Rules::builtin().unwrap();
    let kept = rules.with_options(Options {
        ip_addresses: false,
        ..Options::default()
    });
    let mut session = Redactor::new(kept).unwrap().session(b"key");
    assert_eq!(
        session.redact_text("dial tcp 10.244.1.7:9999").text,
        "dial tcp 10.244.1.7:9999"
    );
}
