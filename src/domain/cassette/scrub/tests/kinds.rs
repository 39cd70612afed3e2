//! Every kind of secret in every surrounding, and ordinary text that stays. The secrets are put together here, so that no
//! scanner takes this file for a leak.

use super::*;
use crate::domain::cassette::patterns::SERVICES;

/// Characters of secrets, in an order that looks random.
const ALL: &[u8] = b"q7Zt3XbP9kLm2RvW8nYd5HsJ4gFc6TxK1eUa0QwBzE";

/// Tokens: a kind, then parts, of which `*20` stands for 20 letters and digits, `x32` for hexadecimal, `A16` for capitals.
const TOKENS: &[(&str, &[&str])] = &[
    ("anthropic-key", &["sk-ant-", "api03-", "*40"]),
    ("openai-key", &["sk-", "proj-", "*40"]),
    ("key", &["sk-", "*40"]),
    ("google-key", &["AI", "za", "*35"]),
    ("google-key", &["ya", "29.", "*40"]),
    ("google-key", &["GOC", "SPX-", "*28"]),
    ("huggingface-token", &["h", "f_", "*34"]),
    ("perplexity-key", &["pp", "lx-", "*48"]),
    ("groq-key", &["gs", "k_", "*52"]),
    ("xai-key", &["xa", "i-", "*80"]),
    ("replicate-token", &["r", "8_", "*37"]),
    ("nvidia-key", &["nv", "api-", "*64"]),
    ("together-key", &["tgp_", "v1_", "*43"]),
    ("cerebras-key", &["cs", "k-", "x48"]),
    ("langsmith-key", &["ls", "v2_pt_", "x32"]),
    ("pinecone-key", &["pc", "sk_", "*70"]),
    ("jina-key", &["ji", "na_", "x32"]),
    ("tavily-key", &["tv", "ly-", "*32"]),
    ("elevenlabs-key", &["s", "k_", "x48"]),
    ("github-token", &["gh", "p_", "*36"]),
    ("github-token", &["github", "_pat_", "*82"]),
    ("gitlab-token", &["gl", "pat-", "*20"]),
    ("gitlab-token", &["GR13", "48941", "*20"]),
    ("bitbucket-token", &["AT", "BB", "*32"]),
    ("npm-token", &["np", "m_", "*36"]),
    ("pypi-token", &["py", "pi-", "*80"]),
    ("rubygems-key", &["ruby", "gems_", "x48"]),
    ("crates-token", &["ci", "o", "*32"]),
    ("nuget-key", &["oy", "2", "x43"]),
    ("docker-token", &["dckr", "_pat_", "*27"]),
    ("artifactory-key", &["AK", "Cp", "*69"]),
    ("postman-key", &["PM", "AK-", "*59"]),
    ("aws-key", &["AK", "IA", "A16"]),
    ("azure-secret", &["*3", "8", "Q", "~", "*34"]),
    ("alibaba-key", &["LT", "AI", "*20"]),
    ("digitalocean-token", &["dop", "_v1_", "x64"]),
    ("heroku-key", &["HR", "KU-", "*60"]),
    ("fly-token", &["fm", "2_", "*80"]),
    ("netlify-token", &["nf", "p_", "*40"]),
    ("supabase-key", &["sb", "p_", "x40"]),
    ("planetscale-token", &["pscale", "_tkn_", "*43"]),
    ("cloudflare-key", &["v1", ".0-", "x24", "-", "x146"]),
    ("databricks-token", &["da", "pi", "x32"]),
    ("tailscale-key", &["ts", "key-auth-", "*30"]),
    ("openshift-token", &["sha", "256~", "*43"]),
    ("pulumi-token", &["pu", "l-", "x40"]),
    ("terraform-token", &["*14", ".atlas", "v1.", "*67"]),
    ("vault-token", &["hv", "s.", "*90"]),
    ("doppler-token", &["dp", ".pt.", "*43"]),
    ("onepassword-token", &["ops_", "eyJ", "*200"]),
    ("age-key", &["AGE-SECRET-", "KEY-1", "A58"]),
    ("grafana-token", &["gl", "sa_", "*41"]),
    ("sentry-token", &["sn", "tryu_", "x64"]),
    ("newrelic-key", &["NR", "AK-", "A27"]),
    ("dynatrace-token", &["dt", "0c01.", "A24", ".", "A64"]),
    ("posthog-key", &["ph", "x_", "*43"]),
    ("slack-token", &["xo", "xb-", "*40"]),
    ("slack-token", &["xa", "pp-1-", "*60"]),
    ("discord-token", &["M", "*24", ".", "*6", ".", "*38"]),
    ("telegram-token", &["70123", "45678", ":A", "A", "*33"]),
    ("sendgrid-key", &["S", "G.", "*22", ".", "*43"]),
    ("mailgun-key", &["ke", "y-", "x32"]),
    ("mailchimp-key", &["x32", "-u", "s21"]),
    ("brevo-key", &["xkey", "sib-", "x64"]),
    ("resend-key", &["r", "e_", "*8", "_", "*24"]),
    ("twilio-key", &["S", "K", "x32"]),
    ("stripe-key", &["sk", "_live_", "*24"]),
    ("stripe-key", &["wh", "sec_", "*32"]),
    ("square-token", &["sq0", "csp-", "*43"]),
    ("square-token", &["EA", "AA", "*60"]),
    ("shopify-token", &["shp", "at_", "x32"]),
    ("plaid-token", &["access-", "sandbox-", "x8", "-", "x4", "-", "x4", "-", "x4", "-", "x12"]),
    ("atlassian-token", &["AT", "ATT3", "*180"]),
    ("airtable-token", &["pa", "t", "*14", ".", "x64"]),
    ("linear-key", &["lin", "_api_", "*40"]),
    ("notion-token", &["nt", "n_", "*46"]),
    ("figma-token", &["fi", "gd_", "*40"]),
    ("typeform-token", &["tf", "p_", "*59"]),
    ("mapbox-token", &["sk", ".eyJ", "*60", ".", "*22"]),
    ("workspace", &["wrk", "spc_", "*24"]),
    ("organization", &["org", "-", "*24"]),
    ("webhook", &["hooks.slack", ".com/services/", "T", "*8", "/", "*24"]),
    ("jwt", &["eyJ", "*20", ".eyJ", "*40", ".", "*43"]),
];

/// Values with what announces them: what is before, the secret, and what is after, with the kind.
const ANNOUNCED: &[(&str, &str, &[&str], &str)] = &[
    ("password", r#"{"password":""#, &["hun", "ter2"], r#""}"#),
    ("password", r#"{"user": "ann", "password": ""#, &["corr", "ect"], r#"", "n": 1}"#),
    ("password", "password = '", &["hun", "ter\"2"], "'"),
    ("password", r#"{\"db_password\": \""#, &["hun", "ter2"], r#"\"}"#),
    ("password", "DB_PASSWORD=", &["hun", "ter2"], "\nPORT=1"),
    ("password", "export PGPASSWORD=\"", &["hun", "ter2"], "\""),
    ("password", "password: ", &["hun", "ter22"], "\nport: 5432"),
    ("password", "curl -sS -u ann:", &["hun", "ter2"], " https://example.com"),
    ("password", "machine example.com login ann password ", &["hun", "ter2"], "\n"),
    ("password", "Server=db;User Id=ann;Pwd='", &["hun", "ter2"], "';"),
    ("parameter", "Server=db;User Id=ann;Password=", &["hun", "ter2"], ";Timeout=5"),
    ("parameter", "https://example.com/a?api_key=", &["abc", "def1"], "&b=2"),
    ("parameter", "https://example.com/a?b=2&amp;access_token=", &["abc", "def1"], " there"),
    ("parameter", "https://a.blob.example.com/x?sv=2024&sig=", &["*20", "%3D"], ""),
    ("parameter", "https://example.com/a?key=", &["*32"], "#top"),
    ("parameter", "https://example.com/back#id_token=", &["*32"], ""),
    ("url-password", "postgres://ann:", &["hun", "ter2"], "@db.example.com:5432/x"),
    ("url-password", "amqps://ann:", &["p@", "ss-w0rd"], "@db/x"),
    ("url-password", "redis://:", &["hun", "ter2"], "@cache:6379"),
    ("basic-auth", "Authorization: Basic ", &["YW5uOm", "h1bnRlcjI="], "\r\nAccept: */*"),
    ("basic-auth", "authorization=basic%20", &["YW5uOm", "h1bnRlcjI="], "&x=1"),
    ("basic-auth", r#"{"auths":{"ghcr.io":{"auth":""#, &["YW5uOm", "h1bnRlcjI="], r#""}}}"#),
    ("bearer-token", "Authorization: Bearer ", &["*30"], "\r\n"),
    ("authorization", "Authorization: Token ", &["x40"], "\r\n"),
    ("cookie", "Cookie: ", &["sid=", "*24", "; theme=dark"], "\r\nHost: x"),
    ("cookie", "Set-Cookie: ", &["session=", "abcdef"], "\r\n"),
    ("cookie", r#"{"Cookie":""#, &["sid=", "*24"], r#""}"#),
    ("cookie", r#"{"cookies":{"a":""#, &["*24"], r#""}}"#),
    ("secret", r#"{"client_secret":""#, &["*24"], r#""}"#),
    ("secret", r#"{"token":""#, &["*12"], r#""}"#),
    ("secret", r#"{"secrets":["plain",""#, &["*12"], r#""]}"#),
    ("secret", r#"{"headers":[{"name":"X-Api-Key","value":""#, &["*12"], r#""}]}"#),
    ("secret", "secret_key_base: ", &["x64"], "\n"),
    ("secret", "aws_secret_access_key = ", &["*20", "/", "*19"], "\n"),
    ("secret", "X-Api-Key: ", &["*24"], "\r\n"),
    ("secret", "//registry.npmjs.org/:_authToken=", &["x8", "-", "x4", "-", "x12"], "\n"),
    ("secret", "AccountKey=", &["*40", "/", "*45"], ";"),
    (
        "private-key",
        "",
        &[
            "-----BEGIN RSA ",
            "PRIVATE KEY-----\n",
            "*64",
            "\n",
            "*20",
            "\n-----END RSA ",
            "PRIVATE KEY-----",
        ],
        "\nbye",
    ),
    (
        "private-key",
        "",
        &[
            "-----BEGIN PGP ",
            "PRIVATE KEY BLOCK-----\nVersion: x\n\n",
            "*64",
            "\n-----END PGP ",
            "PRIVATE KEY BLOCK-----",
        ],
        "\nbye",
    ),
    (
        "private-key",
        "",
        &["-----BEGIN ", "PRIVATE KEY-----\n", "*64", "\n", "*64"],
        "\n\nand so on",
    ),
];

/// Texts that stay.
const ORDINARY: &[&str] = &[
    "password: string",
    "password: str | None = None, token: Optional[str] = None",
    "interface User { password: string; token: Uint8Array; secret?: Buffer }",
    "token_count: 12, max_tokens: 4096, \"max_tokens\": 1024",
    r#""token": "the""#,
    "Who is my secret santa? The secret: patience. Secrets of the sea; a token of love.",
    "the basic idea, Basic English, basic auth, Basic YmFzaWM",
    "Enter your password: ",
    r#"password = getpass("Password: ")"#,
    r#"input("password: ") + secret("token: ", 12345, "x")"#,
    r#"<input type="password" name="password" placeholder="Your password" autocomplete="current-password">"#,
    r#"password = os.environ["DB_PASSWORD"]; token = process.env.GITHUB_TOKEN1;"#,
    "PASSWORD=$DB_PASSWORD TOKEN=${{ secrets.NPM_TOKEN }} API_KEY=<your-api-key> SECRET=changeme",
    "token = generateToken32Bytes(user); access_token = oauth2_client_token",
    "https://example.com:8080/a/b?page=2&sort=name#top and mailto:ann@example.com",
    "https://user:password@example.com, https://$USER:$PASS@example.com, http://{user}:{password}@host",
    "git@github.com:ann/repo.git ssh://git@example.com:22/x",
    "fetch(url, { credentials: 'same-origin' }); {\"credentials\": \"include\"}",
    "document.cookie = \"theme=dark\"; Cookie: consent=yes; Set-Cookie: lang=en; Path=/; Max-Age=31536000",
    "?api_key=...&token=$TOKEN&access_token={token}&page_token=2",
    "a && token=getToken(); x;password=input()",
    "/etc/passwd and PASSWORD_FILE=/run/secrets/db, SECRET_KEY=/run/key",
    "The key: think first. key = value, Key: 3, keyboard: qwerty1234567890",
    "sk-fading-circle, hf_hub_download, npm_config_registry, glpat is a prefix, AKIA too, xoxb-",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit 31e9422aa0c55ad015a3bf4f1b2b0b822cd15d6c, id 550e8400-e29b-41d4-a716-446655440000",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "{\"errors\": {\"password\": \"must be at least 8 characters long\"}}",
    "fn secret(&self) -> &str; let token = self.token; token=token, password=password,",
    "login ann and password reset",
    "Plugin::Sha256Password => \"sha256_password\", password = \":password\"",
    "curl -u $USER:$PASSWORD https://example.com; curl -u user:password x",
];

/// Documents that stay.
const ORDINARY_JSON: &[&str] = &[
    r#"{"usage":{"input_tokens":12,"output_tokens":3,"cache_creation_input_tokens":0}}"#,
    r#"{"password":{"type":"string","description":"the user's password, of 8 to 64 characters"},"token":12,"secret":true}"#,
    r#"{"required":["user","password"],"token":"the","secret":"santa","password":"","next_page_token":"abc123def456"}"#,
    r#"{"logprobs":[{"token":" Hello","logprob":-0.1}],"eos_token":"</s>","pad_token":"pad12345"}"#,
    r#"{"name":"password","value":12,"label":"Password"}"#,
    r#"{"cookie":"oatmeal","cookies":["choc chip","oats"],"auth":"none","authorization":"Bearer"}"#,
    r#"{"secretName":"db-credentials-1","tokenizer":"cl100k_base","key":"user_42","keys":["a1b2c3d4e5"]}"#,
];

fn made(parts: &[&str]) -> String {
    let part = |part: &&str| {
        let (alphabet, count): (fn(&u8) -> bool, _) = match part.split_at(1) {
            ("*", count) => (|_| true, count),
            ("x", count) => (|c| c.is_ascii_digit() || (b'a'..=b'f').contains(c), count),
            ("A", count) => (|c| c.is_ascii_digit() || c.is_ascii_uppercase(), count),
            _ => (|_| true, ""),
        };
        match count.parse() {
            Ok(count) => {
                let chars: Vec<u8> = ALL.iter().copied().filter(alphabet).collect();
                chars.iter().cycle().take(count).map(|c| char::from(*c)).collect()
            }
            Err(_) => (*part).to_owned(),
        }
    };
    parts.iter().map(part).collect()
}

/// Checks that nothing of a secret is left, and that a second pass changes nothing.
fn check(before: &str, secret: &str, after: &str, kind: &str) {
    let scrubber = Scrubber::default();
    let text = format!("{before}{secret}{after}");
    let clean = scrubber.text(&text).unwrap_or_default();
    assert_eq!(clean, format!("{before}[redacted:{kind}]{after}"), "of {text}");
    assert_eq!(scrubber.text(&clean), None);
}

#[test]
fn every_token_is_found_in_every_surrounding() {
    for (kind, parts) in TOKENS {
        let token = &*made(parts);
        for (before, after) in [
            ("Use ", ", please."),
            ("", ""),
            ("https://example.com/?x=", "&y=1"),
            ("X-Thing: ", "\r\nHost: x"),
            ("{\"a\": \"", "\"}"),
            ("{\\\"a\\\": \\\"line\\n", "\\\"}"),
            ("a=%22", "%22"),
        ] {
            check(before, token, after, kind);
        }
        let clean = |json: &str| Scrubber::default().json(json).unwrap();
        let inner = format!("{{\"a\":{}}}", encode(token));
        let outer = |inner: &str| format!("{{\"text\":{}}}", encode(inner));
        let left = format!("{{\"a\":\"[redacted:{kind}]\"}}");
        assert_eq!(clean(&inner), left, "{token}");
        assert_eq!(clean(&outer(&inner)), outer(&left), "{token}");
        assert_eq!(clean(&outer(&outer(&inner))), outer(&outer(&left)), "{token}");
    }
}

#[test]
fn every_service_has_a_token_in_the_table() {
    for (kind, prefix, rest) in SERVICES {
        let form = Regex::new(&format!("^{prefix}{rest}")).unwrap();
        assert!(TOKENS.iter().any(|(_, parts)| form.is_match(&made(parts))), "{kind}: {prefix}");
    }
}

#[test]
fn what_a_name_announces_is_found() {
    for (kind, before, parts, after) in ANNOUNCED {
        let secret = &*made(parts);
        let whole = format!("{before}{secret}{after}");
        if serde_json::from_str::<serde_json::Value>(&whole).is_ok() {
            let document = Scrubber::default().json(&whole).unwrap();
            assert!(!document.contains(secret), "{document}");
            assert!(document.contains(&format!("\"[redacted:{kind}]\"")), "{document}");
        }
        // In one text, the names of outer objects and of other fields are not known.
        if !["cookies", "secrets", "headers"]
            .iter()
            .any(|outer| before.starts_with(&format!("{{\"{outer}")))
        {
            check(before, secret, after, kind);
            let clean = Scrubber::default().json(&format!("[{}]", encode(&whole))).unwrap();
            let left = format!("{before}[redacted:{kind}]{after}");
            assert_eq!(clean, format!("[{}]", encode(&left)));
        }
    }
}

#[test]
fn ordinary_text_stays() {
    for text in ORDINARY {
        assert_eq!(Scrubber::default().text(text), None);
    }
    for json in ORDINARY_JSON {
        assert_eq!(&Scrubber::default().json(json).unwrap(), json);
    }
}

#[test]
fn a_secret_is_found_behind_a_value_that_is_none() {
    let text = format!("\"password: \" + x; password = \"{}\"", made(&["hun", "ter2"]));
    assert_eq!(
        Scrubber::default().text(&text).unwrap(),
        "\"password: \" + x; password = \"[redacted:password]\""
    );
}

proptest! {
    #[test]
    fn announced_secrets_settle(parts in prop::collection::vec(prop_oneof![
        (0..ANNOUNCED.len()).prop_map(|at| {
            let (_, before, parts, after) = ANNOUNCED[at];
            format!("{before}{}{after}", made(parts))
        }),
        (0..TOKENS.len()).prop_map(|at| made(TOKENS[at].1)),
        (0..ORDINARY.len()).prop_map(|at| ORDINARY[at].to_owned()),
        "[\"'= :;&?{}\\\\,/@-]{0,4}",
        "\\PC{0,8}",
        Just("password".to_owned()),
        Just("[redacted:secret]".to_owned()),
    ], 0..8)) {
        let text = parts.concat();
        let once = Scrubber::default().text(&text).unwrap_or_else(|| text.clone());
        prop_assert_eq!(Scrubber::default().text(&once), None, "{} of {}", once, text);
        let json = format!("{{\"password\":{},\"a\":{}}}", encode(&text), encode(&once));
        let once = Scrubber::default().json(&json).unwrap();
        prop_assert_eq!(Scrubber::default().json(&once).unwrap(), once);
    }
}
