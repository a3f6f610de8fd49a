//! Which messages are believed.

use bonesetter_chassis::stage::Delivery;
use bonesetter_keys::{Verified, VerifyError, VerifyingKeys};
use bonesetter_proto::Message;

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Not a message of the stage.
    Undecodable,
    /// It names another subject inside.
    SubjectDiffers,
    /// It must be signed and is not.
    Unsigned,
    /// Its signature is not that of its writer.
    Forged,
}

impl Doubt {
    pub(super) const fn event_type(self) -> &'static str {
        match self {
            Self::Undecodable | Self::SubjectDiffers => "malformed",
            Self::Unsigned | Self::Forged => "auth_failure",
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::SubjectDiffers => "subject-differs",
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
        }
    }
}

pub(super) fn plain<M: Message>(delivery: &Delivery) -> Result<M, Doubt> {
    let message = M::decode(delivery.payload.clone()).map_err(|_| Doubt::Undecodable)?;
    let subject = delivery.subject.to_string();
    match message.envelope() {
        Some(envelope) if envelope.subject == subject => Ok(message),
        _ => Err(Doubt::SubjectDiffers),
    }
}

pub(super) fn signed<M: Message>(delivery: &Delivery, trusted: &VerifyingKeys) -> Result<M, Doubt> {
    let signature = delivery.signature().ok_or(Doubt::Unsigned)?;
    trusted
        .verify::<M>(&delivery.subject.to_string(), &delivery.payload, &signature)
        .map(Verified::into_inner)
        .map_err(|error| match error {
            VerifyError::Undecodable => Doubt::Undecodable,
            VerifyError::SubjectDiffers => Doubt::SubjectDiffers,
            VerifyError::NotSigned
            | VerifyError::UnknownKey { .. }
            | VerifyError::Mismatch { .. } => Doubt::Forged,
        })
}
