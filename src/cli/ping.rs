//! `reprise ping`: for the health check of a container that has no curl.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;

use crate::config::{Config, Env, GlobalFlags};

const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(global: &GlobalFlags, env: Env<'_>) -> anyhow::Result<ExitCode> {
    let address = Config::local_address(global, env)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("no server answers on {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(if &status == b"HTTP/1.1 200" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
