//! Answers of the API server to those who take them as JSON: no longer than they can hold, and of the form that was
//! asked for. Anything else (of a proxy in between, for example) is not used: an empty list that is none would read
//! as "no pods" and "no revision to go back to".

use std::error::Error;

use axum::body::{Bytes, HttpBody};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

/// Read of one answer. etcd takes objects of 1.5 MiB at most unless it is told otherwise, and a page of 500 pods has a
/// few MiB.
pub const MAX_BYTES: usize = 16 << 20;

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is more than anybody should have to hold.
    #[error("the answer is longer than {max} bytes")]
    TooLong {
        /// What is read at most.
        max: usize,
    },
    /// The connection failed on the way.
    #[error("the answer breaks off: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

/// The whole of an answer, if it has at most [`MAX_BYTES`].
pub async fn read<B>(body: B) -> Result<Bytes, AnswerError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    read_at_most(MAX_BYTES, body).await
}

async fn read_at_most<B>(max: usize, body: B) -> Result<Bytes, AnswerError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(AnswerError::TooLong { max }),
        Err(error) => Err(AnswerError::Broken(error)),
    }
}

/// The items of one page of a list, taken out of it; `None` where it is not a list of objects with names.
pub fn take_items(page: &mut Value) -> Option<Vec<Value>> {
    let Value::Array(items) = page.get_mut("items")?.take() else {
        return None;
    };
    let is_named = |item: &Value| item.pointer("/metadata/name").is_some_and(Value::is_string);
    items.iter().all(is_named).then_some(items)
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::body::Body;
    use futures::executor::block_on;
    use futures::{StreamExt as _, stream};
    use serde_json::json;

    use super::*;

    /// A body in pieces, whose length nobody announces.
    fn body(pieces: &[Result<&'static str, io::ErrorKind>]) -> Body {
        Body::from_stream(stream::iter(pieces.to_vec()).map(|piece| piece.map_err(io::Error::from)))
    }

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let read = |pieces: &[_]| block_on(read_at_most(8, body(pieces)));
        assert_eq!(read(&[]).unwrap(), "");
        assert_eq!(read(&[Ok("0123"), Ok("4567")]).unwrap(), "01234567");
        let error = read(&[Ok("0123"), Ok("4567"), Ok("8")]).unwrap_err();
        assert_eq!(error.to_string(), "the answer is longer than 8 bytes");
        let error = read(&[Ok("0123"), Err(io::ErrorKind::ConnectionReset)]).unwrap_err();
        assert!(matches!(error, AnswerError::Broken(_)), "{error}");
    }

    #[test]
    fn a_page_is_a_list_of_objects_with_names() {
        for (page, items) in [
            (json!({"items": []}), Some(0)),
            (json!({"items": [{"metadata": {"name": "a"}}]}), Some(1)),
            (json!({}), None),
            (json!([]), None),
            (json!("ok"), None),
            (json!({"items": null}), None),
            (json!({"items": {"metadata": {"name": "a"}}}), None),
            (json!({"items": [{"metadata": {"name": "a"}}, 7]}), None),
            (json!({"items": [{"metadata": {"name": 7}}]}), None),
            (json!({"items": [{"metadata": {}}]}), None),
        ] {
            let taken = take_items(&mut page.clone()).map(|items| items.len());
            assert_eq!(taken, items, "{page}");
        }
    }
}
