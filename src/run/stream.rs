//! Reading a stream: events until one ends it, or it breaks off, and what that proves.

use std::io::{self, BufReader, Cursor, Read};

use super::start::{AfterPost, Post, unknown};
use super::{Attempt, Note, TAIL};
use crate::coze::fields;
use crate::coze::transcript::{AfterError, Ended, Transcript};
use crate::error::{Error, Kind};
use crate::http::{Body, Failure, HttpResponse};
use crate::proof::{After, Evidence, Reply};
use crate::response::Outcome;
use crate::sse::Frames;

/// What is read of a body at once.
const READ_SIZE: usize = 32 << 10;

/// The events of a body of which the first bytes were read already.
type Events = Frames<BufReader<io::Chain<Cursor<Vec<u8>>, Source>>>;

/// A body as std reads it. What its failure was is inside the error.
struct Source(Box<dyn Body>);

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(io::Error::other)
    }
}

impl Attempt<'_> {
    pub(super) fn stream(
        &mut self,
        post: Post<'_>,
        response: HttpResponse,
        first: Vec<u8>,
    ) -> AfterPost {
        let input = Cursor::new(first).chain(Source(response.body));
        let mut events = Frames::new(BufReader::with_capacity(READ_SIZE, input));
        let mut transcript = Transcript::default();
        let read = self.read_events(&mut events, &mut transcript, response.is_framed);
        if transcript.execute_id.is_none() {
            transcript.execute_id = fields::execute_id_of_tail(&events.unfinished());
        }
        let has_dropped = events.has_dropped();
        let mentions_run = transcript.mentions_run;
        let names_run = transcript.names_run();
        self.take(transcript);
        let (ended, after) = match read {
            Ok(read) => read,
            Err(too_large) => {
                let error = unknown(Error::unknown(too_large));
                return AfterPost::Finish(Outcome::Error(error));
            }
        };
        match ended {
            Ended::Done => self.done(),
            Ended::Broken { message } => self.stream_broke(&message),
            Ended::Interrupt(interrupt) => AfterPost::Finish(Outcome::Interrupted(interrupt)),
            Ended::Error { said, is_first } => {
                let meaning = self
                    .service()
                    .meaning(said.number(), response.status, false);
                let reply = Reply::Error {
                    meaning,
                    is_first,
                    after: if has_dropped { After::More } else { after },
                };
                let proof = self.judge(Evidence {
                    names_run,
                    mentions_run,
                    ..Evidence::of(reply)
                });
                let error = self.coze_error(Kind::Unknown, post.about, said);
                self.stop_others(proof, response.status, &error);
                self.after(proof, error, response.retry_after)
            }
        }
    }

    /// Reads until the stream ends or breaks off, and, after an Error, what comes after it. An error
    /// says what in it is larger than can be held.
    fn read_events(
        &mut self,
        events: &mut Events,
        transcript: &mut Transcript,
        is_framed: bool,
    ) -> Result<(Ended, After), String> {
        let broken = |message| Ok((Ended::Broken { message }, After::NotKnown));
        loop {
            let frame = match events.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return broken("the stream ended before the run did".to_owned()),
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    return Err(error.to_string());
                }
                Err(error) => return broken(failure(error)),
            };
            self.observer.note(&Note::Event(&frame));
            let is_cut = !frame.terminated;
            transcript.push(frame, self.service().events())?;
            let text = (!self.service().confirms_done()).then(|| transcript.end_text());
            let speaker = transcript.speaker.as_deref();
            self.observer.note(&Note::Heard { speaker, text });
            if let Some(execute_id) = &transcript.execute_id {
                self.learn_execute_id(execute_id);
            }
            let Some(ended) = transcript.ended().cloned() else {
                continue;
            };
            let after = match ended {
                // After a broken stream only for the run that it may name.
                Ended::Error { .. } | Ended::Broken { .. } if !is_cut => {
                    self.read_on(events, transcript, is_framed)
                }
                // Of another end it is of no account; and where the stream ended inside this event,
                // something after it may be missing.
                _ => After::NotKnown,
            };
            return Ok((ended, after));
        }
    }

    /// Coze sends a Done after an Error, and it may tell which run it was: that one was started. It is
    /// waited for, but not for long.
    fn read_on(&self, events: &mut Events, transcript: &mut Transcript, is_framed: bool) -> After {
        let (_, source) = events.get_mut().get_mut().get_mut();
        source.0.hurry(TAIL);
        let mut after = After::Nothing;
        loop {
            if transcript.names_run() {
                return After::More;
            }
            let has_ended = match events.next() {
                Ok(Some(frame)) => {
                    self.observer.note(&Note::Event(&frame));
                    after = match transcript.push_after_error(&frame, self.service().events()) {
                        // What comes after it is no part of it.
                        AfterError::Done => return after.max(After::NotKnown),
                        AfterError::Error => after.max(After::NotKnown),
                        AfterError::Other => After::More,
                    };
                    continue;
                }
                Ok(None) => true,
                Err(_) => false,
            };
            return match after {
                _ if events.has_begun() => After::More,
                after if has_ended && is_framed => after,
                after => after.max(After::NotKnown),
            };
        }
    }

    fn take(&mut self, mut transcript: Transcript) {
        if let Some(execute_id) = &transcript.execute_id {
            self.learn_execute_id(execute_id);
        }
        let progress = &mut self.progress;
        progress.debug_url = transcript.debug_url.take().or(progress.debug_url.take());
        progress.usage = transcript.usage.take();
        progress.heard = transcript.finish();
    }

    fn done(&mut self) -> AfterPost {
        if !self.progress.heard.is_whole {
            return self.stream_broke("the run is done, but text of it is missing");
        }
        if self.service().confirms_done() {
            let why = "the run is done, and its history has to confirm its text";
            return self.stream_broke(why);
        }
        AfterPost::Finish(Outcome::Success)
    }
}

/// What went wrong in the body.
fn failure(error: io::Error) -> String {
    match error.downcast::<Failure>() {
        Ok(failure) => failure.detail,
        Err(error) => error.to_string(),
    }
}
