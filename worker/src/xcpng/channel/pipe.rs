//! A command that runs in a guest: bytes in, frames out, its last words on stderr, how it ended.

use std::pin::pin;
use std::time::Duration;

use bioxen_guest::{FRAME_BYTES, length_of};
use russh::ChannelMsg;
use russh::client::Msg;
use russh::{ChannelReadHalf, ChannelWriteHalf};
use tokio::time::timeout;

use super::connection::Connection;

/// What is kept of stderr.
const SAID_BYTES_MOST: usize = 500;
const HEAD_BYTES: usize = 4;
const STDERR: u32 = 1;
/// For the word that the channel is closed, where the connection takes nothing.
const CLOSE_TIME: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pipe {
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    heard: Heard,
}

/// What came back so far.
#[derive(Debug, Default)]
struct Heard {
    unread: Vec<u8>,
    said: Vec<u8>,
    end: Option<Stop>,
}

/// Why nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error("it ended with status {0}")]
    Status(u32),
    #[error("it was ended by signal {0}")]
    Signal(String),
    #[error("the connection was closed")]
    Closed,
    #[error("its sshd runs no command")]
    Refused,
    #[error("what it said is no answer: {0}")]
    Garbled(String),
}

impl Pipe {
    /// # Errors
    /// No session for it; the connection ended.
    pub(super) async fn run(connection: &Connection, command: String) -> Result<Self, Stop> {
        let channel = connection.handle().channel_open_session().await.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => Stop::Refused,
            _ => Stop::Closed,
        })?;
        channel.exec(true, command).await.map_err(|_| Stop::Closed)?;
        let (read, write) = channel.split();
        Ok(Self { read, write, heard: Heard::default() })
    }

    /// Sends, and takes what comes meanwhile: a program that cannot get rid of its words reads nothing either.
    ///
    /// # Errors
    /// It ended; something was said before that nobody asked for.
    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Stop> {
        if !self.heard.unread.is_empty() {
            return Err(Stop::Garbled("words that nobody asked for".to_owned()));
        }
        {
            let mut sending = pin!(self.write.data_bytes(bytes));
            loop {
                tokio::select! {
                    sent = &mut sending => match sent {
                        Ok(()) => return Ok(()),
                        Err(_) => break,
                    },
                    message = self.read.wait() => self.heard.take(message)?,
                }
            }
        }
        Err(self.end().await)
    }

    /// The body of the next frame.
    ///
    /// # Errors
    /// It ended before, or said something else.
    pub(super) async fn frame(&mut self) -> Result<Vec<u8>, Stop> {
        loop {
            if let Some(body) = self.heard.frame()? {
                return Ok(body);
            }
            self.heard.take(self.read.wait().await)?;
        }
    }

    /// No more input for it.
    pub(super) async fn finish(&mut self) -> Result<(), Stop> {
        self.write.eof().await.map_err(|_| Stop::Closed)
    }

    /// Waits until it ends; what it says meanwhile on stdout goes nowhere. A signal comes without a status, so the end is
    /// where the channel closes.
    pub(super) async fn end(&mut self) -> Stop {
        loop {
            self.heard.unread.clear();
            if let Err(stop) = self.heard.take(self.read.wait().await) {
                return stop;
            }
        }
    }

    /// What it said last on stderr, as a clause of an error.
    pub(super) fn last_words(&self) -> String {
        let said = String::from_utf8_lossy(&self.heard.said);
        let said = said.trim();
        if said.is_empty() { String::new() } else { format!(" (its last words: {said:?})") }
    }

    pub(super) async fn close(self) {
        // One that is closed already, or whose connection takes nothing, needs no word.
        let _ = timeout(CLOSE_TIME, self.write.close()).await;
    }
}

impl Heard {
    fn take(&mut self, message: Option<ChannelMsg>) -> Result<(), Stop> {
        match message {
            Some(ChannelMsg::Data { data }) => {
                self.unread.extend_from_slice(&data);
                if self.unread.len() > HEAD_BYTES + FRAME_BYTES {
                    return Err(Stop::Garbled("more than one answer".to_owned()));
                }
            }
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => {
                self.said.extend_from_slice(&data);
                let surplus = self.said.len().saturating_sub(SAID_BYTES_MOST);
                self.said.drain(..surplus);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => self.end = Some(Stop::Status(exit_status)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.end = Some(Stop::Signal(format!("{signal_name:?}")));
            }
            Some(ChannelMsg::Failure) => return Err(Stop::Refused),
            Some(ChannelMsg::Close) | None => return Err(self.end.clone().unwrap_or(Stop::Closed)),
            Some(_) => {}
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        let Some((head, rest)) = self.unread.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = length_of(*head).map_err(|error| Stop::Garbled(error.to_string()))?;
        let Some(body) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.unread.drain(..HEAD_BYTES + length);
        Ok(Some(body))
    }
}
