//! Replay of fixtures inside the process of a test, for tests of other programs.
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let replay = reprise::testing::Replay::start("fixtures/demo").await?;
//! let base_url = replay.url(); // for any OpenAI client, or Anthropic's without the `/v1`
//! // …
//! replay.finish().await?; // fails if a request found no fixture
//! # Ok(()) }
//! ```

use std::path::Path;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    answer::Answers,
    config::{self, Config, Flags},
    domain::cassette::{PlayerStatus, Scrubber},
    server::{Server, StartError},
};

/// A server on a free local port that answers from fixtures. It ends when it is dropped.
#[derive(Debug)]
pub struct Replay {
    url: String,
    answers: Answers,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The reason why a replay does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are invalid.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address of the server cannot be determined.
    #[error("the address of the replay cannot be determined")]
    Address(#[from] std::io::Error),
}

/// Requests that found no fixture.
#[derive(Debug, thiserror::Error)]
#[error("{} requests found no fixture:\n{}", .0.len(), .0.join("\n"))]
pub struct Missed(pub Vec<String>);

impl Replay {
    /// Starts a server on a free port. Needs a Tokio runtime; reads neither the environment nor a settings file.
    pub async fn start(fixtures: impl AsRef<Path>) -> Result<Self, Error> {
        let flags = Flags::default().with("port", "0");
        let fixtures = [fixtures.as_ref().to_owned()];
        let config = Config::load_replay(&fixtures, &flags, &|_: &str| None)?;
        let server = Server::start_replay(config, Scrubber::default()).await?;
        let url = format!("http://{}/v1", server.address()?);
        let answers = server.answers();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(server.run(stop.clone().cancelled_owned(), std::future::pending()));
        tasks.close();
        Ok(Self { url, answers, stop, tasks })
    }

    /// The base URL for OpenAI clients, with `/v1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The fixtures that were played, and the number of misses.
    pub fn status(&self) -> Option<PlayerStatus> {
        self.answers.upstream().replay().map(crate::upstream::Replay::status)
    }

    /// Starts again with the first answer to each request.
    pub fn reset(&self) {
        if let Some(replay) = self.answers.upstream().replay() {
            // All scenarios together are there.
            let _ = replay.reset(None);
        }
    }

    /// Ends the replay. Fails if a request found no fixture.
    pub async fn finish(self) -> Result<(), Missed> {
        self.stop.cancel();
        self.tasks.wait().await;
        match self.answers.upstream().replay().map(crate::upstream::Replay::missed) {
            Some(missed) if !missed.is_empty() => Err(Missed(missed)),
            _ => Ok(()),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
