//! Keys and tokens that begin with a prefix of their service, by the services' documented prefixes.
//!
//! Lengths are a little below the documented ones: a token that was cut is still a secret. Each begins as a word does.

/// Kinds, prefixes, and what follows a prefix.
pub(in crate::domain::cassette) const SERVICES: &[(&str, &str, &str)] = &[
    // Models and their tools
    ("openai-key", "sk-(?:proj|svcacct|admin|None)-", "[A-Za-z0-9_-]{16,}"),
    ("google-key", "AIza", "[A-Za-z0-9_-]{35}"),
    ("google-key", r"ya29\.", "[A-Za-z0-9_-]{20,}"),
    ("google-key", "GOCSPX-", "[A-Za-z0-9_-]{20,}"),
    ("huggingface-token", "(?:hf|api_org)_", "[A-Za-z0-9]{30,}"),
    ("perplexity-key", "pplx-", "[A-Za-z0-9]{40,}"),
    ("groq-key", "gsk_", "[A-Za-z0-9]{40,}"),
    ("xai-key", "xai-", "[A-Za-z0-9]{60,}"),
    ("replicate-token", "r8_", "[A-Za-z0-9]{30,}"),
    ("nvidia-key", "nvapi-", "[A-Za-z0-9_-]{50,}"),
    ("together-key", "tgp_v1_", "[A-Za-z0-9_-]{40,}"),
    ("cerebras-key", "csk-", "[a-z0-9]{40,}"),
    ("langsmith-key", "lsv2_(?:pt|sk)_", "[a-f0-9]{32}"),
    ("pinecone-key", "pcsk_", "[A-Za-z0-9_]{50,}"),
    ("jina-key", "jina_", "[a-f0-9]{32}"),
    ("tavily-key", "tvly-", "[A-Za-z0-9-]{28,}"),
    ("elevenlabs-key", "sk_", "[a-f0-9]{48}"),
    // Code and packages
    ("github-token", "gh[pousr]_", "[A-Za-z0-9]{30,}"),
    ("github-token", "github_pat_", "[A-Za-z0-9_]{40,}"),
    (
        "gitlab-token",
        "gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-",
        "[A-Za-z0-9_.-]{18,}",
    ),
    ("gitlab-token", "GR1348941", "[A-Za-z0-9_-]{20,}"),
    ("bitbucket-token", "ATBB", "[A-Za-z0-9]{32}"),
    ("npm-token", "npm_", "[A-Za-z0-9]{30,}"),
    ("pypi-token", "pypi-", "[A-Za-z0-9_-]{50,}"),
    ("rubygems-key", "rubygems_", "[a-f0-9]{40,}"),
    ("crates-token", "cio", r"[A-Za-z0-9]{32}(?-u:\b)"),
    ("nuget-key", "oy2", "[a-z0-9]{43}"),
    ("docker-token", "dckr_[po]at_", "[A-Za-z0-9_-]{20,}"),
    ("artifactory-key", "AKCp", "[A-Za-z0-9]{60,}"),
    ("postman-key", "PMAK-", "[A-Za-z0-9-]{40,}"),
    // Clouds
    ("aws-key", "(?:AKIA|ASIA|ABIA|ACCA)", r"[A-Z0-9]{16}(?-u:\b)"),
    ("alibaba-key", "LTAI", r"[A-Za-z0-9]{12,24}(?-u:\b)"),
    ("digitalocean-token", "do[opr]_v1_", "[a-f0-9]{40,}"),
    ("heroku-key", "HRKU-", "[A-Za-z0-9_-]{30,}"),
    ("fly-token", "(?:fo1|fm[12][ar]?)_", "[A-Za-z0-9+/=_-]{40,}"),
    ("netlify-token", "nf[pcuo]_", "[A-Za-z0-9]{30,}"),
    ("supabase-key", "sb(?:p|_secret)_", "[A-Za-z0-9_-]{20,}"),
    ("planetscale-token", "pscale_(?:tkn|pw|oauth)_", "[A-Za-z0-9._=-]{30,}"),
    ("cloudflare-key", r"v1\.0-", "[a-f0-9]{24}-[a-f0-9]{100,}"),
    ("databricks-token", "dapi", "[a-f0-9]{32}"),
    ("tailscale-key", "tskey-", "[a-z]+-[A-Za-z0-9-]{16,}"),
    ("openshift-token", "sha256~", "[A-Za-z0-9_-]{43}"),
    ("pulumi-token", "pul-", "[a-f0-9]{40}"),
    // Secrets of other secrets
    ("vault-token", r"hv[sbr]\.", "[A-Za-z0-9_-]{20,}"),
    ("doppler-token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.", "[A-Za-z0-9._-]{36,}"),
    ("onepassword-token", "ops_eyJ", "[A-Za-z0-9+/=_-]{100,}"),
    ("age-key", "AGE-SECRET-KEY-1", "[0-9A-Z]{50,}"),
    // Measuring
    ("grafana-token", "gl(?:sa|c)_", "[A-Za-z0-9_+/=]{30,}"),
    ("sentry-token", "sntry[su]_", "[A-Za-z0-9+/=_-]{40,}"),
    ("newrelic-key", "NRAK-", "[A-Z0-9]{20,}"),
    ("dynatrace-token", r"dt0[a-z][0-9]{2}\.", r"[A-Z0-9]{24}\.[A-Z0-9]{60,}"),
    ("posthog-key", "phx_", "[A-Za-z0-9]{40,}"),
    // Messages and mail
    ("slack-token", "xox[abceoprs]-", "[A-Za-z0-9-]{10,}"),
    ("slack-token", "xapp-[0-9]-", "[A-Za-z0-9-]{20,}"),
    ("sendgrid-key", r"SG\.", r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("mailgun-key", "key-", r"[0-9a-f]{32}(?-u:\b)"),
    ("brevo-key", "xkeysib-", "[a-f0-9]{60,}"),
    ("resend-key", "re_", "[A-Za-z0-9]{8}_[A-Za-z0-9]{24}"),
    ("twilio-key", "SK", r"[0-9a-f]{32}(?-u:\b)"),
    // Money and shops
    ("stripe-key", "[sr]k_(?:live|test|prod)_", "[A-Za-z0-9]{10,}"),
    ("stripe-key", "whsec_", "[A-Za-z0-9+/=]{24,}"),
    ("square-token", "sq0(?:atp|csp|idp)-", "[A-Za-z0-9_-]{20,}"),
    ("square-token", "EAAA", "[A-Za-z0-9_-]{60}"),
    ("shopify-token", "shp(?:at|ca|pa|ss)_", "[A-Fa-f0-9]{30,}"),
    ("plaid-token", "access-(?:sandbox|development|production)-", "[0-9a-f-]{36}"),
    // Work
    ("atlassian-token", "AT(?:ATT|CTT)3", "[A-Za-z0-9_=-]{60,}"),
    ("airtable-token", "pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{60,}"),
    ("linear-key", "lin_(?:api|oauth)_", "[A-Za-z0-9]{30,}"),
    ("notion-token", "ntn_", "[A-Za-z0-9]{40,}"),
    ("figma-token", "fig[dou]_", "[A-Za-z0-9_-]{30,}"),
    ("typeform-token", "tfp_", "[A-Za-z0-9_.=-]{40,}"),
    ("mapbox-token", r"sk\.eyJ", r"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{16,}"),
    // Anthropic's ids of an account
    ("workspace", "wrkspc_", "[A-Za-z0-9]{8,}"),
];

/// Kinds and forms of tokens that begin in no special way, with the part that tells them.
pub(super) const OTHERS: &[(&str, &str, &str)] = &[
    ("azure-secret", "Q~", "[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    ("terraform-token", r"\.atlasv1\.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"),
    ("telegram-token", ":AA", r"[0-9]{9,10}:AA[A-Za-z0-9_-]{33}(?-u:\b)"),
    ("mailchimp-key", "-us[0-9]", r"[0-9a-f]{32}-us[0-9]{1,2}(?-u:\b)"),
    (
        "discord-token",
        r"[A-Za-z0-9_-]{20}\.[A-Za-z0-9_-]{6}\.",
        r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",
    ),
    (
        "webhook",
        r"hooks\.slack\.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9_/-]{20,}",
    ),
    ("webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/[A-Za-z0-9_/-]{20,}"),
];
