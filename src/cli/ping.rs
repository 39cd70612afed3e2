//! `reprise ping`: health check for a container without curl.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;

use crate::config::{Config, Env, Flags};

const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(flags: &Flags, env: Env<'_>) -> anyhow::Result<ExitCode> {
    let address = Config::load(flags, env)?.local_address();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("no server answers on {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(if &status == b"HTTP/1.1 200" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
