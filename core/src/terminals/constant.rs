//! `answer`: the same answer every time, built once; no Python runs for it.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use crate::answer::{Answer, Content};
use crate::layers::compress::pool::Fixed;
use crate::plan::PlanError;
use crate::response_head;

/// An answer that does not change.
pub struct Constant {
    status: StatusCode,
    content_type: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Arc<Fixed>,
}

impl Constant {
    /// Compiles the answer.
    pub fn build(
        status: u16,
        content_type: &str,
        body: &str,
        headers: &[(String, String)],
    ) -> Result<Self, PlanError> {
        let headers = response_head::headers_of(headers).map_err(PlanError::new)?;
        let status = response_head::final_status(status).map_err(PlanError::new)?;
        if response_head::has_no_content(status) && !body.is_empty() {
            return Err(PlanError::new(format!("an answer of status {status} has no content")));
        }
        Ok(Self {
            status,
            content_type: HeaderValue::from_str(content_type)
                .map_err(|_| PlanError::new(format!("{content_type:?} is not a content type")))?,
            headers,
            body: Fixed::new(Bytes::copy_from_slice(body.as_bytes())),
        })
    }

    /// A copy for one request; the body is shared.
    pub fn answer(&self) -> Answer {
        Answer {
            status: self.status,
            content_type: Some(self.content_type.clone()),
            headers: self.headers.clone(),
            content: Content::Fixed(Arc::clone(&self.body)),
        }
    }
}
