//! `PgBouncer` between the program and Postgres: in session mode it works, in the others the program says why not.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use super::*;

const PROGRAMS: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];

/// `PgBouncer`, as the documentation has it. Dropped, it is killed.
struct Pooler {
    child: Child,
    port: u16,
}

impl Pooler {
    /// `None`, and says so, where there is none.
    #[expect(
        clippy::print_stderr,
        reason = "a test that is skipped must not look like one that passed"
    )]
    fn start(postgres: &Postgres, mode: &str) -> Option<Self> {
        let Some(program) = PROGRAMS.iter().find(|path| std::path::Path::new(path).exists()) else {
            eprintln!("skipped: there is no PgBouncer");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=reprise\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = options, extra_float_digits\n",
            postgres.port()
        );
        let file = postgres.folder().join(format!("{mode}.ini"));
        std::fs::write(&file, settings).expect("a file");
        let mut command = crate::support::postgres::as_user(program.as_ref());
        let child = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Some(Self { child: child.expect("PgBouncer"), port })
    }

    fn url(&self) -> String {
        format!("postgres://reprise@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_pooler_works_by_session_and_is_refused_by_transaction() {
    if !backend::is_postgres() {
        return;
    }
    let postgres = Postgres::start().await;
    let upstream = Upstream::start().await;
    let Some(pooler) = Pooler::start(&postgres, "session") else { return };
    let setup = Setup::of(&upstream).set("REPRISE_DATABASE_URL", &pooler.url());
    let binary = Binary::start(&setup).await;
    upstream.push(Script::sse(Answer::of(MODEL).text(&["It is so."]).stop("end_turn")));
    for _ in 0..2 {
        let reply = binary.client().post(CHAT, &ask("Is it so?")).await;
        assert_eq!(sse::openai_text(&reply.chunks().await), "It is so.");
    }
    assert_eq!(upstream.messages(), 1);
    drop(binary);
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(&postgres, mode).expect("PgBouncer");
        let setup = Setup::of(&upstream).set("REPRISE_DATABASE_URL", &pooler.url());
        let mut serve: Command = crate::support::binary::command(&setup);
        let output = serve.arg("serve").output().expect("the program");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("pool_mode=session"), "{mode}: {told}");
    }
}
