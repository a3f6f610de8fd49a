//! What is checked of a delivery before a handler sees it.

use bonesetter_keys::{VerifyError, VerifyingKeys};
use bonesetter_proto::v1::SignedMessage;
use bonesetter_proto::{Message, Subject, SubjectError};

use crate::bus::{Pulled, header, signature};
use crate::stage::{Input, Received};

/// Why a delivery is not an input.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error(transparent)]
    Subject(SubjectError),
    #[error("the payload is not a message of the expected type")]
    Undecodable,
    #[error(
        "the message carries the header {0}, which the server writes into its own answers: an answer \
         was directed into this stream through a reply subject"
    )]
    Injected(String),
    #[error("the message names another subject inside than the one it was published under")]
    SubjectDiffers,
    #[error("the message carries no signature")]
    Unsigned,
    #[error(transparent)]
    Forged(VerifyError),
}

impl InputError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Subject(_) => "bad-subject",
            Self::Injected(_) => "injected",
            Self::Undecodable => "undecodable",
            Self::SubjectDiffers => "subject-differs",
            Self::Unsigned => "unsigned",
            Self::Forged(_) => "forged",
        }
    }
}

pub(super) fn read_input<M: Message>(
    pulled: &Pulled,
    stream: &'static str,
    trusted: &VerifyingKeys,
) -> Result<Input<M>, InputError> {
    let subject = read_subject(pulled)?;
    let (message, signed) = if M::SIGNED_BY.is_some() {
        let signature = signature(&pulled.headers).ok_or(InputError::Unsigned)?;
        let verified = trusted
            .verify::<M>(&pulled.subject, &pulled.payload, &signature)
            .map_err(InputError::Forged)?;
        let signed = SignedMessage {
            subject: pulled.subject.clone(),
            payload: pulled.payload.clone(),
            key_id: signature.key_id,
            signature: signature.bytes,
        };
        (Received::Verified(verified), Some(signed))
    } else {
        let message = M::decode(pulled.payload.clone()).map_err(|_| InputError::Undecodable)?;
        (Received::Unsigned(message), None)
    };
    if message
        .envelope()
        .is_none_or(|envelope| envelope.subject != pulled.subject)
    {
        return Err(InputError::SubjectDiffers);
    }
    Ok(Input {
        message,
        subject,
        signed,
        deliveries: pulled.deliveries,
        sequence: pulled.sequence,
        stream,
        stored_at: pulled.stored_at,
        traceparent: pulled.headers.get(header::TRACEPARENT).cloned(),
    })
}

/// Headers of the server's answers (direct get, status). No publisher of ours sets one.
const ANSWER_HEADERS: [&str; 5] = [
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Status",
    "Description",
];

/// The server does not check reply subjects, so whoever may ask it anything can direct the answer
/// into a stage's subject. Such an answer is not a message, whatever it holds.
pub(super) fn read_subject(pulled: &Pulled) -> Result<Subject, InputError> {
    let is_answers = |name: &&String| {
        ANSWER_HEADERS
            .iter()
            .any(|header| header.eq_ignore_ascii_case(name))
    };
    if let Some(name) = pulled.headers.keys().find(is_answers) {
        return Err(InputError::Injected(name.clone()));
    }
    pulled.subject.parse().map_err(InputError::Subject)
}
