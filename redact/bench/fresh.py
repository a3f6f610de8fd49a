#!/usr/bin/env python3
"""Writes labelled texts with fresh secrets in every carrier, as JSON lines in the form of redaction.jsonl.

usage: fresh.py SEED > corpus.jsonl

Another seed makes other words, names and secrets: what a rule has learnt by heart does not help.
"""
import base64
import json
import random
import string
import sys
import urllib.parse

NAMES = (
    "DB_PASSWORD REDIS_PASSWORD SMTP_PASS API_TOKEN apiToken clientSecret client_secret STRIPE_SECRET_KEY encryptionKey"
    " jwtSecret SESSION_SECRET aws_secret_access_key accessToken refresh_token GITHUB_TOKEN vaultToken adminPassword"
    " keystorePassword signing_key AUTH_TOKEN webhookSecret privateKey db.password spring.datasource.password passwd"
).split()
WORDS = "harbor lantern meadow quartz ripple saffron timber umbra velvet willow zephyr cobalt ember fjord glacier".split()
PLAIN = "user=carla-x region=eu-north-9"


def main():
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    rows = []

    def word():
        return rng.choice(WORDS)

    def random_secret():
        kind = rng.randrange(5)
        letters = string.ascii_letters + string.digits
        if kind == 0:
            return f"{word().title()}-{word()}{rng.randrange(10, 99)}!"
        if kind == 1:
            return "".join(rng.choice(letters) for _ in range(rng.choice([16, 20, 24, 32, 40])))
        if kind == 2:
            return "".join(rng.choice("0123456789abcdef") for _ in range(32))
        if kind == 3:
            return word() + "_" + word() + str(rng.randrange(100, 999))
        return "".join(rng.choice(letters + "+/") for _ in range(43)) + "="

    def simple():
        return word() + "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(rng.choice([6, 9, 14])))

    def when():
        return f"2026-0{rng.randrange(1, 9)}-1{rng.randrange(9)}T0{rng.randrange(9)}:1{rng.randrange(9)}:2{rng.randrange(9)}.{rng.randrange(100, 999)}Z"

    def add(context, text, *secrets, kind="secret", keep=()):
        rows.append({"id": f"F{len(rows):05d}", "text": text, "secrets": list(secrets), "kind": kind, "context": context, "tier": "strong" if kind == "secret" else "core", "source": "fresh", "keep": list(keep)})

    for _ in range(12):
        s, t, n, w = random_secret(), simple(), rng.choice(NAMES), word()
        esc = json.dumps(s)[1:-1]
        add("env-pair-json", json.dumps({"env": [{"name": n, "value": s}, {"name": "REGION", "value": w}]}), s, keep=[w])
        add("env-pair-pretty", json.dumps([{"name": "REGION", "value": w}, {"value": s, "name": n}], indent=2), s)
        add("env-yaml", f"containers:\n- name: {w}\n  env:\n  - name: {n}\n    value: {json.dumps(s)}\n  - name: REGION\n    value: eu", s)
        for scheme, port in [("postgresql", 5432), ("mysql", 3306), ("mongodb+srv", 27017), ("redis", 6379), ("rediss", 6380), ("amqp", 5672), ("amqps", 5671), ("nats", 4222), ("clickhouse", 9000), ("cockroachdb", 26257), ("mssql", 1433), ("sqlserver", 1433), ("cassandra", 9042), ("kafka", 9092), ("mqtt", 1883), ("ldap", 389), ("neo4j+s", 7687), ("couchbase", 11210), ("influxdb", 8086), ("smtp", 587), ("snowflake", 443), ("trino", 8080), ("bolt", 7687), ("oracle", 1521), ("elasticsearch", 9200)]:
            if rng.random() < 0.3:
                add("dsn-url", f"{when()} ERROR dial {scheme}://{w}:{t}@{w}-db.svc:{port}/main: timeout", t, keep=[f"{port}/main"])
        add("dsn-kv", f"host={w}-db port=5432 user={w} password={t} sslmode=disable", t, keep=["sslmode=disable"])
        add("dsn-go", f"cannot open {w}:{t}@tcp({w}:3306)/shop?parseTime=true", t)
        add("dsn-ado", f"Data Source={w};Initial Catalog=x;User ID={w};Pwd={t};Pooling=true", t, keep=["Pooling=true"])
        add("dsn-jdbc", f"jdbc:mysql://{w}:3306/shop?user={w}&password={t}&useSSL=false", t, keep=["useSSL=false"])
        add("dsn-jdbc-oracle", f"url=jdbc:oracle:thin:{w}/{t}@{w}:1521:XE", t)
        add("dsn-jdbc-mssql", f"jdbc:sqlserver://{w}:1433;databaseName=a;user=sa;password={{{t}}};encrypt=true", t)
        add("dsn-jaas", f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{w}" password="{t}";', t)
        add("dsn-servicebus", f"Endpoint=sb://{w}.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={base64.b64encode(t.encode()).decode()}", base64.b64encode(t.encode()).decode())
        add("docker-config", json.dumps({"auths": {f"{w}.example.net": {"auth": base64.b64encode(f"{w}:{t}".encode()).decode()}}}), base64.b64encode(f"{w}:{t}".encode()).decode())
        config = json.dumps({"auths": {f"{w}.example.net": {"username": w, "password": t}}})
        add("dockerconfigjson", f"apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: {base64.b64encode(config.encode()).decode()}\n", base64.b64encode(config.encode()).decode())
        add("header-bearer", f"> GET /x HTTP/1.1\n> Host: {w}\n> Authorization: Bearer {t}\n> Accept: */*", t, keep=["Accept: */*"])
        b = base64.b64encode(f"{w}:{t}".encode()).decode()
        add("header-basic", f"request headers: {{Authorization: [Basic {b}], Accept: [*/*]}}", b)
        add("header-key", f"{when()} DEBUG upstream x-api-key: {t} x-request-id: 77", t, keep=["x-request-id: 77"])
        add("header-map", f"map[Accept:[*/*] X-Auth-Token:[{t}] Via:[{w}]]", t, keep=[f"Via:[{w}]"])
        add("nested-json", f"{when()} INFO got " + json.dumps({"body": json.dumps({"login": {"user": w, "password": s}}), "status": 200}), json.dumps(json.dumps(s)[1:-1])[1:-1] if "\\" in s else s)
        add("json-in-log", f"{when()} WARN [{w}] payload={json.dumps({n: s, 'n': 1})} took 3ms", esc, keep=["took 3ms"])
        add("yaml-in-log", f"{when()} INFO config:\n  server:\n    port: 80\n  {n}: {t}\n  debug: false", t, keep=["debug: false"])
        add("logfmt", f'level=warn ts={when()} {n}="{esc}" {PLAIN}', esc, keep=[PLAIN])
        head = when()
        cut = len(t) // 2
        add("cri-split", f"{head} stdout P {w} starting with {n}={t[:cut]}\n{head} stdout F {t[cut:]} {PLAIN}\n", t[:cut], t[cut:])
        add("percent", f"GET /cb?next=%2Fhome%3F{n}%3D{urllib.parse.quote(t, safe='')}%26x%3D1 HTTP/1.1", urllib.parse.quote(t, safe=""))
        add("percent-dsn", f"DATABASE={urllib.parse.quote(f'postgres://{w}:{t}@{w}:5432/x', safe='')}", t)
        add("base64-env", f"{when()} payload {base64.b64encode(f'{n}={t}'.encode()).decode()} stored", base64.b64encode(f"{n}={t}".encode()).decode(), keep=["stored"])
        pem = ["-----BEGIN RSA PRIVATE KEY-----"] + ["".join(rng.choice(string.ascii_letters + string.digits + "+/") for _ in range(64)) for _ in range(5)] + ["-----END RSA PRIVATE KEY-----"]
        add("pem", "\n".join(pem), *pem[1:-1])
        add("pem-records", "\n".join(f"{when()} INFO {line}" for line in pem), *pem[1:-1])
        add("pem-json", json.dumps({"tls": "\n".join(pem)}), *pem[1:-1])
        add("ansi", f"\x1b[36m{n}\x1b[0m=\x1b[33m{t}\x1b[0m \x1b[2m{PLAIN}\x1b[0m", t)
        add("ansi-split", f"\x1b[31mERROR\x1b[0m token \x1b[1m{t[:5]}\x1b[0m{t[5:]} for {n}={t}", t)
        add("csv", f"id,login,{n}\n1,{w},{t}\n2,x,{t}9\n", t)
        add("csv-semicolon", f"id;login;password\n1;{w};{t}\n", t)
        add("tsv", f"id\tlogin\tpassword\n1\t{w}\t{t}\n", t)
        add("xml-attribute", f'<bean id="{w}"><property name="{n}" value="{t}"/><x y="{w}"/></bean>', t)
        add("xml-element", f"<server><id>{w}</id><password>{t}</password></server>", t)
        add("xml-entry", f'<entry key="{n}">{t}</entry>', t)
        add("sql-identified", f"CREATE USER {w} IDENTIFIED BY '{t}';", t)
        add("sql-role", f"ALTER USER {w} WITH ENCRYPTED PASSWORD '{t}' VALID UNTIL 'infinity'", t)
        add("sql-insert", f"INSERT INTO users (login, password) VALUES ('{w}', '{t}')", t)
        add("sql-set", f"UPDATE accounts SET password = '{t}' WHERE login = '{w}'", t)
        add("sql-mssql", f"CREATE LOGIN {w} WITH PASSWORD = N'{t}', CHECK_POLICY = OFF", t)
        add("rust-debug", f'Settings {{ host: "{w}", {n.replace(".", "_").replace("-", "_").lower()}: Some("{t}"), retries: 3 }}', t, keep=["retries: 3"])
        add("rust-secret", f'Credentials {{ password: Secret("{t}"), user: "{w}" }}', t)
        add("go-struct", f"{{Host:{w} Password:{t} Port:1}}", t)
        add("go-struct-plus", f"&main.Config{{Host:\"{w}\", Token:\"{t}\", Port:1}}", t)
        add("java-map", f"Properties {{user={w}, password={t}, ssl=true}}", t, keep=["ssl=true"])
        add("java-record", f"DbConfig[url=x, username={w}, password={t}]", t)
        add("java-option", f"java -Dspring.datasource.password={t} -Xmx1g -jar {w}.jar", t, keep=["-Xmx1g"])
        add("python-dict", f"{{'host': '{w}', '{n}': '{t}', 'n': 1}}", t)
        add("python-repr", f"Config(host='{w}', password='{t}', port=1)", t)
        add("ruby-hash", f'{{:host=>"{w}", :password=>"{t}"}}', t)
        add("terraform", f'  ~ environment = {{\n      ~ "{n}" = "{t}" -> "{t}9"\n    }}', t)
        add("terraform-plain", f'  + master_password = "{t}"\n  + size = 3', t)
        add("hcl", f'variable "{w}" {{\n  default = "x"\n}}\ndb_password = "{t}"', t)
        add("audit-execve", f'type=EXECVE msg=audit(1.1:2): argc=4 a0="{w}" a1="--token" a2="{t}" a3="-v"', t, keep=['a3="-v"'])
        add("cookie", f"Cookie: theme=dark; sessionid={t}; lang=en", t)
        add("set-cookie", f"< Set-Cookie: auth={t}; Path=/; Secure", t)
        add("git-url", f"fatal: unable to access 'https://oauth2:{t}@git.{w}.dev/x/y.git/'", t)
        add("git-remote", f"origin\thttps://{w}:{t}@git.{w}.dev/x.git (push)", t)
        add("grpc-metadata", f"rpc error: metadata: {{authorization: ['Bearer {t}'], user-agent: [{w}]}}", t)
        add("grpc-pairs", f"outgoing md=[authorization=Bearer {t}, grpc-timeout=1S]", t, keep=["grpc-timeout=1S"])
        add("cli-flag", f"Liveness probe failed: exec {w} --client-secret {t} --check", t, keep=["--check"])
        add("cli-equals", f'["{w}","--api-key={t}","--check"]', t)
        add("cli-short", f"mysqldump -h {w} -u root -p{t} shop", t)
        add("cli-psql", f"+ PGPASSWORD={t} psql -h {w} -c 'select 1'", t)
        add("cli-curl", f"curl -s -u {w}:{t} https://{w}.example.net/", t)
        add("cli-redis", f"redis-cli -h {w} -a {t} --no-auth-warning", t)
        add("cli-helm", f"helm upgrade x --set auth.password={t},replicas=2", t, keep=["replicas=2"])
        add("cli-docker", f"docker login -u {w} -p {t} {w}.example.net", t)
        add("properties", f"{n}={t}\nserver.port=80", t, keep=["server.port=80"])
        add("dotenv", f"export {n}='{esc}'\nPORT=80", esc) if "'" not in s else None
        add("ini", f"[database]\nhost = {w}\npassword = {t}\n", t)
        add("toml", f'[db]\nurl = "postgres://{w}:{t}@{w}/x"\n', t)
        add("npmrc", f"//registry.{w}.dev/:_authToken={t}", t)
        add("netrc", f"machine {w}.dev\nlogin {w}\npassword {t}\n", t)
        add("event-message", f'Error: failed to start container: exec: "{w} --password {t}": not found', t)
        add("describe", f"    Environment:\n      {n}:  {t}\n      REGION:  eu\n", t)
        add("helm-values", f"auth:\n  existing: {w}\n  password: {t}\nreplicas: 2\n", t, keep=["replicas: 2"])
        add("loki-labels", f'{{app="{w}", token="{t}"}} line', t)
        add("traceback", f"  File \"/app/{w}.py\", line 3, in login\n    client = Client(user='{w}', api_key='{t}')\nValueError: x", t)
        add("node-dump", f"{{ host: '{w}', password: '{t}', port: 1 }}", t)
        add("spring-dump", f"HikariConfig - password.........................{t}", t)
        add("spring-mask", f"HikariDataSource (HikariPool-1) jdbcUrl=jdbc:postgresql://{w}/x?password={t}", t)
        add("k8s-secret", json.dumps({"kind": "Secret", "apiVersion": "v1", "data": {"x": base64.b64encode(t.encode()).decode()}}), base64.b64encode(t.encode()).decode())
        applied = json.dumps({"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"template": {"spec": {"containers": [{"name": w, "env": [{"name": n, "value": t}]}]}}}})
        add("last-applied", json.dumps({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}}), t)
        add("html-form", f'<input type="password" name="password" value="{t}">', t)
        add("form-body", f"body: login={w}&password={urllib.parse.quote(t)}&go=1", urllib.parse.quote(t), keep=["go=1"])
        add("multipart", f'Content-Disposition: form-data; name="password"\r\n\r\n{t}\r\n--x', t)
        add("systemd", f'Environment="DB_PASSWORD={t}" "PORT=80"', t)
        add("powershell", f"$env:API_TOKEN = \"{t}\"; Write-Host {w}", t)
        add("sentence", f"login of {w} with password '{t}' was refused", t)
        # Personal data.
        add("pii-email", f"{when()} INFO mail to {w}.{word()}@{w}-mail.example.org bounced", kind="pii")
        rows[-1]["secrets"] = [rows[-1]["text"].split("mail to ")[1].split(" ")[0]]
        ip = ".".join(str(rng.randrange(2, 250)) for _ in range(4))
        add("pii-ip", f"{when()} peer {ip}:443 reset", ip, kind="pii", keep=[":443 reset"])
        ip6 = "2a0" + f"{rng.randrange(1, 9)}:{rng.randrange(16, 255):x}:{rng.randrange(16, 999):x}::{rng.randrange(1, 999):x}"
        add("pii-ip6", f"{when()} peer [{ip6}]:443 reset", ip6, kind="pii")
        card = "4" + "".join(str(rng.randrange(10)) for _ in range(14))
        total = sum(sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(card))
        card += str(-total % 10)
        add("pii-card", f"charge card={card} declined", card, kind="pii")
        spaced = " ".join(card[i : i + 4] for i in range(0, 16, 4))
        add("pii-card-spaced", f"charge {spaced} declined", spaced, kind="pii")
        account = "".join(str(rng.randrange(10)) for _ in range(18))
        check = 98 - int(account + "131400") % 97
        iban = f"DE{check:02d}{account}"
        add("pii-iban", f"transfer to {iban} failed", iban, kind="pii")
        phone = f"+49 30 {rng.randrange(1000000, 9999999)}"
        add("pii-phone", f"sms to {phone} failed", phone, kind="pii")
        # Harmless.
        commit = "".join(rng.choice("0123456789abcdef") for _ in range(40))
        for text in [
            f"{when()} INFO {w} rolled out revision {commit}",
            f"{when()} INFO token refreshed for {w}, expires_in=3600 token_type=bearer",
            f"password authentication failed for user \"{w}\"",
            f"Pulled image \"{w}.example.net/{word()}/api@sha256:{commit}{commit[:24]}\"",
            f"{when()} WARN key not found: {w}/{word()}, cache_key={w}:{word()}:v2",
            f"primary_key={rng.randrange(99)} keyspace={w} max_tokens=512 secretName={w}",
            f"pod {w}-{rng.choice('bcdf')}5c9d8f7b6-x2x4z Pulling, session timeout=30s auth=none",
            f"the secret \"{w}\" has no key; author={w}",
            f"{when()} trace_id={commit[:32]} span_id={commit[:16]} status=200",
            f"GET /api/{w}/keys?page=2 200 12ms sort_key=name",
        ]:
            add("harmless", text, kind="clean-log")
    for row in rows:
        text = row["text"]
        row["spans"] = [[at, at + len(s)] for s in dict.fromkeys(row["secrets"]) for at in find_all(text, s)]
        row["optional"] = [] if row["kind"] != "clean-log" else []
        print(json.dumps(row))


def find_all(text, part):
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


main()
