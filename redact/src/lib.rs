//! Bonesetter: the redaction engine
