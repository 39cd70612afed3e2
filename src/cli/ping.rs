//! `reprise ping`: for the health check of a container that has no curl.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;

use crate::config::{Config, Env};

const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(env: Env<'_>) -> anyhow::Result<ExitCode> {
    let port = Config::local_port(env)?;
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), PATIENCE)
        .with_context(|| format!("no server answers on port {port} of this machine"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(if &status == b"HTTP/1.1 200" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
