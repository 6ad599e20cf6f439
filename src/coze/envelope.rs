//! A JSON answer that is no stream: `{"code","msg","detail":{"logid"}}` with whatever else is at
//! its top. Refusals, the answer to a background start, and every poll come in it.
//! <https://docs.coze.cn/developer_guides/coze_error_codes>.

use std::borrow::Cow;

use crate::coze::fields::{self, Fields, Raw};
use crate::error::{Code, Error};

/// The outermost object of an answer.
pub(crate) type Envelope<'a> = Fields<'a>;

impl Envelope<'_> {
    /// Coze's code; 0, `null` and no code at all all mean that nothing is wrong.
    pub(crate) fn code(&self) -> Option<i64> {
        number_of_fault(self.code)
    }

    /// What went wrong, in Coze's own words; what it means is not judged yet. `otherwise`: the message
    /// when there is none.
    pub(crate) fn said(&self, otherwise: impl FnOnce() -> String) -> Error {
        let mut messages = [self.error_message, self.error_msg, self.msg].into_iter();
        let message = messages.find_map(fields::nonempty).map(Cow::into_owned);
        let code = self.code().or_else(|| number_of_fault(self.error_code));
        let mut error = Error::unknown(message.unwrap_or_else(otherwise));
        error.code = code.map(Code::Number);
        error.logid = self.logid();
        error
    }

    pub(crate) fn logid(&self) -> Option<String> {
        let own = |from: &Self| fields::nonempty(from.logid).or(fields::nonempty(from.log_id));
        let logid = own(self).or_else(|| own(&Self::parse(self.detail?.0)?));
        logid.map(Cow::into_owned)
    }

    /// Of an uploaded file.
    pub(crate) fn id(&self) -> Option<String> {
        let data = Self::parse(self.data?.0)?;
        fields::nonempty(data.id).map(Cow::into_owned)
    }
}

fn number_of_fault(code: Raw<'_>) -> Option<i64> {
    fields::number(code).filter(|&code| code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBMIT: &str = include_str!("../../tests/wire/cozecn_run_async_submit_2025_08.json");
    const SUBMIT_NO_CODE: &str = include_str!("../../tests/wire/doc_run_async_submit_no_code.json");
    const RESUME: &str = include_str!("../../tests/wire/doc_resume_response_0.json");
    const NEEDS_PAID_PLAN: &str =
        include_str!("../../tests/wire/envelope_6003_async_needs_paid_plan.json");

    #[test]
    fn a_background_start_names_the_run() {
        let submit = Envelope::parse(SUBMIT).unwrap();
        assert_eq!(submit.code(), None);
        assert_eq!(submit.execute_id().as_deref(), Some("7535298640308535332"));
        assert!(submit.debug_url().unwrap().contains("space_id"));
        let no_code = Envelope::parse(SUBMIT_NO_CODE).unwrap();
        assert_eq!(no_code.execute_id().as_deref(), Some("74248231312884****"));
        assert_eq!(no_code.said(String::new).message, "");
    }

    #[test]
    fn a_background_resume_may_meet_the_next_question() {
        let resume = Envelope::parse(RESUME).unwrap();
        let interrupt = resume.interrupt().unwrap();
        assert_eq!(interrupt.r#type, 5);
        assert!(
            interrupt
                .required_parameters
                .unwrap()
                .get()
                .contains("image")
        );
        assert_eq!(
            resume.logid().as_deref(),
            Some("202511061720005429856FA5***")
        );
    }

    #[test]
    fn a_refusal_names_its_code() {
        assert_eq!(Envelope::parse(NEEDS_PAID_PLAN).unwrap().code(), Some(6003));
        assert_eq!(
            Envelope::parse(r#"{"code":"4100"}"#).unwrap().code(),
            Some(4100)
        );
    }

    #[test]
    fn an_execute_id_hides_in_the_debug_url() {
        let body = r#"{"code":720701013,"debug_url":"https://w/?execute_id=75&x=1"}"#;
        assert_eq!(
            Envelope::parse(body).unwrap().execute_id().as_deref(),
            Some("75")
        );
    }
}
