//! Reprise: a sidecar that lets Open WebUI and any OpenAI client use Claude.

pub mod domain;
