//! Files that are parameters of a run: uploaded before it is sent, which then names them by their ids.
//! An upload starts nothing, so whatever became of one it may be repeated.
//! <https://docs.coze.cn/developer_guides/upload_files>, RFC 7578.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::Read;

use super::pace::{Retries, Setback};
use super::start::{Document, http_message};
use super::{Attempt, unreachable};
use crate::coze::call::{Call, UploadBody};
use crate::coze::code::{About, Meaning};
use crate::error::{Error, Kind};
use crate::input::params::FileParameter;

impl Attempt<'_> {
    /// The body of a run with the ids of its files. An error is one before anything was started.
    pub(super) fn upload_files<'b>(&mut self, body: &'b str) -> Result<Cow<'b, str>, Error> {
        let shared = self.runner.shared;
        let mut body = Cow::Borrowed(body);
        for file in &shared.files {
            let mut retries = Retries::new(self.runner.rules.retries);
            // The same bytes under two names are uploaded once.
            while file.is_awaited_in(&body) {
                self.observer.may_send()?;
                match self.upload(file)? {
                    Ok(id) => body = file.with_id(&id, &body).into(),
                    Err(setback) => self.pause_or_give_up(&mut retries, setback)?,
                }
            }
        }
        Ok(body)
    }

    /// The file's id, or why it is to be uploaded again after a pause.
    fn upload(&mut self, file: &FileParameter) -> Result<Result<String, Setback>, Error> {
        let clock = self.runner.clock;
        let boundary = format!("{:016x}{:016x}", clock.random(), clock.random());
        // The name is written as browsers do.
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            file.file_name()
                .replace('"', "%22")
                .replace('\r', "%0D")
                .replace('\n', "%0A")
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let has_changed = Cell::new(false);
        let bytes = file.reader(&has_changed);
        let mut form = head.as_bytes().chain(bytes).chain(tail.as_bytes());
        let sent = self.call(&Call::upload(UploadBody {
            content_type: format!("multipart/form-data; boundary={boundary}"),
            length: file.length + (head.len() + tail.len()) as u64,
            reader: RefCell::new(Box::new(move |buffer| form.read(buffer))),
        }));
        let mut response = match sent {
            _ if has_changed.get() => return Err(file.changed()),
            Ok(response) => response,
            Err(failure) if failure.is_transient() => {
                return Ok(Err(file.not_uploaded(unreachable(&failure)).into()));
            }
            Err(failure) => return Err(file.not_uploaded(unreachable(&failure))),
        };
        let document = Document::read(response.body.as_mut(), Vec::new());
        let envelope = self.service().envelope(&document.text);
        let (code, status) = (envelope.code(), response.status);
        let is_good = code.is_none() && (200..300).contains(&status);
        if let Some(id) = envelope.id().filter(|_| is_good) {
            return Ok(Ok(id));
        }
        let meaning = self.service().meaning(code, status, false);
        let kind = match meaning {
            Meaning::Refused => Kind::Refused,
            Meaning::Unclear if code.is_some() && status < 500 => Kind::Refused,
            Meaning::Unclear | Meaning::Failed | Meaning::RateLimited => Kind::Unreachable,
        };
        let has_words = envelope.msg.is_some();
        let said = envelope.said(|| http_message(status));
        let mut error = self.coze_error(kind, About::Upload, said);
        if meaning == Meaning::Refused && code.is_none() && status >= 400 {
            error = error.with_hint(self.service().hint_without_code(status, has_words));
        }
        let error = file.not_uploaded(error);
        if meaning == Meaning::Refused {
            return Err(error);
        }
        Ok(Err(Setback {
            error,
            is_rate: meaning == Meaning::RateLimited,
            retry_after: response.retry_after,
        }))
    }
}
