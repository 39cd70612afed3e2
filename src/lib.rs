//! Reprise: a sidecar that lets Open WebUI and any OpenAI client use Claude.

pub mod answer;
pub mod cli;
pub mod config;
pub mod domain;
pub mod report;
pub mod server;
pub mod store;
pub mod upstream;
