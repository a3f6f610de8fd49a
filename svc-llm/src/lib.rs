//! Bonesetter: diagnoses incidents from redacted evidence
